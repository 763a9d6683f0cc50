"""Judgement of pods whose containers are in every state of the API."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tui_forward.catalog.pod_reasons import shorten_end, shorten_start, why_doubtful, why_unusable
from tui_forward.kube.api.resources import PODS
from tui_forward.model import Pod, ReasonCode
from tui_forward.reasons import reason_hint, reason_text, short_reason

Object = dict[str, Any]
Code = ReasonCode

RUNNING: Object = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
NOW = STARTED_AT + 3600.0


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int = 1, reason: str = "", **more: Any) -> Object:
    times = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:00Z"}
    return {"terminated": {"exitCode": code, "reason": reason, **times, **more}}


def status(name: str, state: Object, restarts: int = 0, last: Object | None = None) -> Object:
    return {
        "name": name,
        "state": state,
        "lastState": last or {},
        "restartCount": restarts,
        "started": "running" in state,
        "ready": "running" in state,
    }


def made(
    *statuses: Object,
    inits: tuple[Object, ...] = (),
    sidecars: tuple[str, ...] = (),
    phase: str = "Running",
    policy: str = "Always",
    initialized: bool = False,
    deleting: bool = False,
    ready: bool = False,
    **spec: Any,
) -> Pod:
    """Return a decoded pod; container "main" declares port 80."""
    containers: list[Object] = [{"name": one["name"]} for one in statuses]
    for container in containers:
        if container["name"] == "main":
            container["ports"] = [{"containerPort": 80}]
    init_containers: list[Object] = [{"name": one["name"]} for one in inits]
    for container in init_containers:
        if container["name"] in sidecars:
            container["restartPolicy"] = "Always"
            container["ports"] = [{"containerPort": 15000}]
    conditions = [{"type": "Ready", "status": str(ready)}]
    if initialized:
        conditions.append({"type": "Initialized", "status": "True"})
    metadata: Object = {"name": "web-1", "namespace": "shop", "uid": "u"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:10:00Z"
    raw = {
        "metadata": metadata,
        "spec": {
            "nodeName": "node-a",
            "restartPolicy": policy,
            "containers": containers,
            "initContainers": init_containers,
            **spec,
        },
        "status": {
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": list(statuses),
            "initContainerStatuses": list(inits),
        },
    }
    return PODS.decode(json.dumps(raw).encode())


def main(state: Object, restarts: int = 0, last: Object | None = None) -> Object:
    return status("main", state, restarts, last)


LOOP = waiting("CrashLoopBackOff", "back-off 40s restarting failed container=main pod=web-1")


@pytest.mark.parametrize(
    ("state", "last", "code"),
    [
        (RUNNING, None, None),
        (waiting("ContainerCreating"), None, Code.POD_CREATING),
        (waiting("PodInitializing"), None, Code.POD_CREATING),
        ({}, None, Code.POD_CREATING),
        (waiting("ErrImagePull"), None, Code.POD_IMAGE_PULL),
        (waiting("ImagePullBackOff"), None, Code.POD_IMAGE_PULL),
        (waiting("ErrImageNeverPull"), None, Code.POD_IMAGE_PULL),
        (waiting("InvalidImageName"), None, Code.POD_IMAGE_PULL),
        (waiting("ImageInspectError"), None, Code.POD_IMAGE_PULL),
        (waiting("CreateContainerConfigError"), None, Code.POD_CONTAINER_ERROR),
        (waiting("CreateContainerError"), None, Code.POD_CONTAINER_ERROR),
        (waiting("RunContainerError"), None, Code.POD_START_ERROR),
        (LOOP, ended(reason="StartError"), Code.POD_START_ERROR),
        (LOOP, ended(reason="ContainerCannotRun"), Code.POD_START_ERROR),
        (LOOP, ended(reason="Error"), Code.POD_CRASH_LOOPING),
        (LOOP, ended(0, "Completed"), Code.POD_CRASH_LOOPING),
        (LOOP, ended(137, "OOMKilled"), Code.POD_OUT_OF_MEMORY),
        (ended(137, "OOMKilled"), None, Code.POD_OUT_OF_MEMORY),
        (ended(reason="Error"), None, Code.POD_CRASH_LOOPING),
        (ended(255, "ContainerStatusUnknown"), None, Code.POD_CRASH_LOOPING),
        (waiting("ContainerCreating"), ended(reason="Error"), Code.POD_CRASH_LOOPING),
        (waiting("SomethingNew", "words"), None, Code.POD_CREATING),
    ],
)
def test_state_of_the_container_decides(
    state: Object, last: Object | None, code: ReasonCode | None
) -> None:
    pod = made(main(state, 3, last))
    reason = why_unusable(pod, 80)
    assert (reason.code if reason else None) is code
    # Without a port, the only container is the one that counts.
    assert why_unusable(pod) == reason
    if reason is not None:
        assert (reason.pod, reason.container) == ("web-1", "main")
    leaving = why_unusable(made(main(state, 3, last), deleting=True), 80)
    assert (leaving.code if leaving else None) is (code and Code.POD_TERMINATING)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((ended(7, "Error"), ended(7, "Error")), (LOOP, ended(7, "Error"))),
        ((ended(137, "OOMKilled"), ended(1)), (LOOP, ended(137, "OOMKilled"))),
        (
            (waiting("RunContainerError", "no x"), ended(128, "StartError", message="no x")),
            (LOOP, ended(128, "StartError", message="no x")),
        ),
        (
            (waiting("ErrImagePull", "rpc error: not found"), None),
            (
                waiting(
                    "ImagePullBackOff",
                    'Back-off pulling image "x:1": ErrImagePull: rpc error: not found',
                ),
                None,
            ),
        ),
    ],
)
def test_alternating_reasons_are_one(
    first: tuple[Object, Object | None], second: tuple[Object, Object | None]
) -> None:
    # `restartCount` is 3 and the kubelet waits 40 s, as it would by its rule.
    reasons = [why_unusable(made(main(state, 3, last)), 80) for state, last in (first, second)]
    assert reasons[0] == reasons[1]


@pytest.mark.parametrize(
    ("restarts", "ran_until", "expected_s"),
    [(0, "00:01:00", None), (1, "00:01:00", 10), (4, "00:01:00", 80), (6, "00:01:00", 300),
     (40, "00:01:00", 300), (40, "00:30:00", None)],
)  # fmt: skip
def test_next_start_follows_the_rule_of_the_kubelet(
    restarts: int, ran_until: str, expected_s: float | None
) -> None:
    state = ended(finishedAt=f"2026-01-01T{ran_until}Z")
    pod = made(main(state, restarts, ended()))
    reason = why_unusable(pod, 80)
    assert reason is not None
    at = None if expected_s is None else pod.faults[0].ended_at + expected_s
    assert reason.at == at


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [
        ("Never", 0, Code.POD_COMPLETED),
        ("Never", 5, Code.POD_FAILED),
        ("OnFailure", 0, Code.POD_COMPLETED),
        ("OnFailure", 5, Code.POD_CRASH_LOOPING),
        ("Always", 0, Code.POD_CRASH_LOOPING),
    ],
)
def test_container_that_ended_for_good_beside_a_running_one(
    policy: str, code: int, expected: ReasonCode
) -> None:
    pod = made(main(ended(code)), status("side", RUNNING), policy=policy)
    reason = why_unusable(pod, 80)
    assert reason is not None
    assert (reason.code, reason.container) == (expected, "main")
    assert why_unusable(pod, 9999) is None, "the other one may listen there"


def test_restart_rules_of_a_container_may_restart_it() -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [5]}}]
    containers = [{"name": "main", "restartPolicy": "Never", "restartPolicyRules": rules}]
    reason = why_unusable(made(main(ended(5)), containers=containers), 80)
    assert reason is not None
    assert reason.code is Code.POD_CRASH_LOOPING


CRASHED = status("side", ended(9), 2, ended(9))


@pytest.mark.parametrize(("port", "usable"), [(80, True), (9999, True), (None, True)])
def test_other_container_that_crashes_is_a_doubt_only(port: int | None, usable: bool) -> None:
    pod = made(main(RUNNING), CRASHED)
    assert (why_unusable(pod, port) is None) is usable
    doubt = why_doubtful(pod, now=NOW)
    assert doubt is not None
    assert doubt.code is Code.POD_NOT_READY
    assert reason_text(doubt).startswith(
        "pod web-1 is not Ready: container side is down (exit 9, restarted 2×)"
    )


def test_port_of_the_container_that_is_down_is_unusable_whatever_the_others_do() -> None:
    reason = why_unusable(made(main(ended(7)), status("side", RUNNING), ready=True), 80)
    assert reason is not None
    assert reason.container == "main"


def test_running_container_serves_while_another_image_is_pulled() -> None:
    pod = made(main(RUNNING), status("side", waiting("ErrImagePull")), phase="Pending")
    assert why_unusable(pod, 80) is None
    assert why_unusable(made(main(waiting("ErrImagePull")), phase="Pending"), 80) is not None


DONE = ended(0, "Completed")


@pytest.mark.parametrize(
    ("inits", "code", "text"),
    [
        (
            (status("one", RUNNING), status("two", waiting("PodInitializing"))),
            Code.POD_INIT_RUNNING, "init container one of pod web-1 still runs (1 of 2), since ",
        ),
        (
            (status("one", DONE), status("two", ended(3), 1, ended(3))),
            Code.POD_INIT_FAILING, "init container two of pod web-1 fails (exit 3, restarted 1×)",
        ),
        (
            (status("one", DONE), status("two", LOOP, 3, ended(3))),
            Code.POD_INIT_FAILING, "init container two of pod web-1 fails (exit 3, restarted 3×)",
        ),
        (
            (status("one", waiting("ImagePullBackOff")),),
            Code.POD_IMAGE_PULL, "pod web-1 cannot pull its image",
        ),
        (
            (status("one", waiting("CreateContainerConfigError", "no x")),),
            Code.POD_CONTAINER_ERROR, "container one of pod web-1 cannot be created: no x",
        ),
        (
            (status("one", LOOP, 3, ended(128, "StartError")),),
            Code.POD_START_ERROR, "container one of pod web-1 cannot start its program",
        ),
        (
            (status("one", waiting("PodInitializing")),),
            Code.POD_CREATING, "pod web-1 is still being created",
        ),
    ],
)  # fmt: skip
def test_init_containers_hold_up_the_others(
    inits: tuple[Object, ...], code: ReasonCode, text: str
) -> None:
    pod = made(main(waiting("PodInitializing")), inits=inits, phase="Pending")
    reason = why_unusable(pod, 80)
    assert reason is not None
    assert reason.code is code
    assert reason_text(reason).startswith(text)


def test_previous_log_is_hinted_where_there_is_one() -> None:
    first = made(main(waiting("PodInitializing")), inits=(status("one", ended(3)),))
    again = made(main(waiting("PodInitializing")), inits=(status("one", LOOP, 1, ended(3)),))
    reasons = [why_unusable(pod, 80) for pod in (first, again)]
    assert [reason_hint(reason) for reason in reasons if reason is not None] == [
        "Check its log: kubectl logs -n shop web-1 -c one",
        "Check its log: kubectl logs -n shop web-1 -c one --previous",
    ]


@pytest.mark.parametrize(
    ("proxy", "others", "options", "port", "code"),
    [
        # It runs before the others start.
        (RUNNING, waiting("PodInitializing"), {}, 80, Code.POD_CREATING),
        (RUNNING, RUNNING, {"initialized": True}, 80, None),
        (RUNNING, RUNNING, {"initialized": True}, 15000, None),
        # It crashes beside the others.
        (ended(1), RUNNING, {"initialized": True}, 80, None),
        (ended(1), RUNNING, {"initialized": True}, 15000, Code.POD_CRASH_LOOPING),
        # It crashes and holds up the others.
        (ended(1), waiting("PodInitializing"), {}, 80, Code.POD_INIT_FAILING),
        (LOOP, waiting("PodInitializing"), {}, 15000, Code.POD_CREATING),
        # The others crash.
        (RUNNING, ended(1), {"initialized": True}, 80, Code.POD_CRASH_LOOPING),
        (RUNNING, ended(1), {"initialized": True}, 15000, None),
    ],
)  # fmt: skip
def test_sidecars(
    proxy: Object, others: Object, options: Object, port: int, code: ReasonCode | None
) -> None:
    pod = made(main(others), inits=(status("proxy", proxy),), sidecars=("proxy",), **options)
    reason = why_unusable(pod, port)
    assert (reason.code if reason else None) is code


def test_lost_node_makes_the_state_unknown() -> None:
    lost = msgspec.structs.replace(made(main(RUNNING)), reason="NodeLost")
    for pod in (made(main(RUNNING), phase="Unknown"), lost):
        reason = why_unusable(pod, 80)
        assert reason is not None
        assert (reason.code, reason.node) == (Code.POD_UNKNOWN, "node-a")


def test_ready_pod_has_no_doubt() -> None:
    assert why_doubtful(made(main(RUNNING), ready=True), now=NOW) is None


def ran(seconds: int, code: int = 1, reason: str = "Error") -> Object:
    finished = datetime.fromtimestamp(STARTED_AT - 60.0, UTC)
    started = datetime.fromtimestamp(STARTED_AT - 60.0 - seconds, UTC)
    return ended(code, reason, startedAt=started.isoformat(), finishedAt=finished.isoformat())


@pytest.mark.parametrize(
    ("restarts", "last", "stable_after_s"),
    [
        (0, None, 0),
        (1, ran(3), 0),  # restarted at once, as after every first crash
        (2, ran(3), 10),
        (17, ran(3), 10),
        (17, ran(3, 0, "Completed"), 10),
        (17, ran(3, 137, "OOMKilled"), 10),
        (3, ran(100), 20),
        (6, ran(100), 160),
        (7, ran(100), 200),
        (40, ran(500), 300),
        (40, ran(600), 0),  # the kubelet starts over
        (40, ended(128, "StartError", startedAt="1970-01-01T00:00:00Z"), 10),
        (40, ended(255, "ContainerStatusUnknown", startedAt=None, finishedAt=None), 0),
    ],
)
@pytest.mark.parametrize("ready", [True, False])
def test_container_that_crash_loops_is_unstable_until_it_outlasts_its_runs(
    restarts: int, last: Object | None, stable_after_s: int, ready: bool
) -> None:
    pod = made(main(RUNNING, restarts, last), ready=ready)
    assert why_unusable(pod, 80) is None, "its connections are served as long as it runs"
    for run_s in (-4, 0, 1, 9, 10, 19, 20, 159, 160, 199, 200, 299, 300, 5000):
        doubt = why_doubtful(pod, 80, now=STARTED_AT + run_s)
        if run_s >= stable_after_s or not stable_after_s:
            assert (doubt.code if doubt else None) is (None if ready else Code.POD_NOT_READY)
            continue
        assert doubt is not None
        assert doubt.code is Code.POD_UNSTABLE
        assert (doubt.restarts, doubt.at) == (restarts, STARTED_AT + stable_after_s)
        assert why_doubtful(pod, now=STARTED_AT + run_s) == doubt, "the only container"


def test_clock_far_behind_the_node_tells_nothing_about_a_run() -> None:
    pod = made(main(RUNNING, 17, ran(3)), ready=True)
    assert why_doubtful(pod, 80, now=STARTED_AT - 60.0) is None


def test_unstable_container_is_the_one_of_the_port() -> None:
    pod = made(main(RUNNING), status("side", RUNNING, 17, ran(3)), ready=True)
    assert why_doubtful(pod, 80, now=STARTED_AT) is None
    assert why_doubtful(pod, 9999, now=STARTED_AT) is None, "the other one may listen there"
    pod = made(main(RUNNING, 17, ran(3)), status("side", RUNNING), ready=True)
    doubt = why_doubtful(pod, 80, now=STARTED_AT)
    assert doubt is not None
    assert (doubt.code, doubt.container) == (Code.POD_UNSTABLE, "main")
    assert reason_text(doubt).startswith(
        "container main of pod web-1 crash-loops (exit 1, restarted 17×); it runs now, and counts"
    )
    assert short_reason(doubt) == "pod crash-loops · 17 restarts"


def test_gate_is_the_doubt_only_if_every_container_runs() -> None:
    gates = [{"conditionType": "example.com/lb"}]
    doubt = why_doubtful(made(main(RUNNING), readinessGates=gates), now=NOW)
    assert doubt is not None
    assert (doubt.code, doubt.name) == (Code.POD_READINESS_GATE, "example.com/lb")
    doubt = why_doubtful(made(main(RUNNING), CRASHED, readinessGates=gates), now=NOW)
    assert doubt is not None
    assert doubt.code is Code.POD_NOT_READY


def test_shortened_messages_keep_the_cause() -> None:
    long = "wrapped: " * 40 + "the cause is at the end of this message"
    assert len(shorten_end(long)) <= 160
    assert shorten_end(long).startswith("…wrapped: ")
    assert shorten_end(long).endswith("the cause is at the end of this message")
    assert shorten_end("x" * 500) == "…" + "x" * 159
    assert shorten_start("The cause comes first. " + "y " * 400).startswith(
        "The cause comes first."
    )
    assert len(shorten_start("y" * 500)) == 160
    assert shorten_end("short.\n") == shorten_start("short.\n") == "short"
