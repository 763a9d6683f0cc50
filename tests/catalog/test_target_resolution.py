from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.catalog.factories import down, owner, pod, service, target, workload
from tui_forward.catalog.target_resolution import (
    is_replacement_of,
    resolve_pod,
    resolve_selected,
    selectorless,
    sibling_selector,
    target_not_found,
)
from tui_forward.model import (
    Balance,
    BlockedBy,
    ContainerFault,
    DeclaredPort,
    OwnerRef,
    Pod,
    PodRef,
    Reason,
    ReasonCode,
    Resolution,
    Resolved,
    Service,
    TargetKind,
    Unresolved,
    Workload,
)
from tui_forward.reasons import blocked_by, reason_hint, reason_text

NODES = "0/3 nodes are available: 3 Insufficient cpu."


def found(resolution: Resolution) -> tuple[str, int]:
    assert isinstance(resolution, Resolved), resolution
    return resolution.pod.name, resolution.port


def refused(resolution: Resolution) -> Unresolved:
    assert isinstance(resolution, Unresolved), resolution
    return resolution


def gone(pod: Pod) -> bool:
    return False


# What selects pods ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "anchor", "port", "expected"),
    [
        (TargetKind.SERVICE, service(), "80", 8080),
        (TargetKind.SERVICE, service(), "www", 8080),
        (TargetKind.SERVICE, service(cluster_ip="None"), "80", 80),
        (TargetKind.DEPLOYMENT, workload(), "80", 80),
        (TargetKind.DEPLOYMENT, workload(), "http", 8080),
        (TargetKind.STATEFULSET, workload(TargetKind.STATEFULSET), "http", 8080),
        (TargetKind.DAEMONSET, workload(TargetKind.DAEMONSET), "http", 8080),
        (TargetKind.REPLICASET, workload(TargetKind.REPLICASET), "http", 8080),
        (TargetKind.JOB, workload(TargetKind.JOB), "http", 8080),
        (TargetKind.SELECTOR, None, "http", 8080),
    ],
)
def test_every_kind_resolves_to_a_pod_and_port(
    kind: TargetKind, anchor: Service | Workload | None, port: str, expected: int
) -> None:
    resolution = resolve_selected(target(kind, port=port), anchor, [pod("b"), pod("a")])
    assert found(resolution) == ("a", expected)


def others(resolution: Resolution) -> list[str]:
    assert isinstance(resolution, Resolved), resolution
    return [one.pod.name for one in resolution.others]


def test_ready_pods_are_resolved_if_connections_are_spread() -> None:
    pods = [
        pod("web-1"),
        pod("web-2"),
        pod("web-3", ready=False),
        pod("web-4", deleting=True),
        pod("web-5", faults=(down(waiting="CrashLoopBackOff"),)),
        pod("web-6"),
    ]
    one = target(TargetKind.SERVICE, port="80")
    spread = msgspec.structs.replace(one, balance=Balance.SPREAD)
    assert others(resolve_selected(one, service(), pods)) == []
    anchor = msgspec.structs.replace(service(), affinity_s=60)
    resolution = resolve_selected(spread, anchor, pods)
    assert found(resolution)[0] == "web-1"
    assert others(resolution) == ["web-2", "web-6"]
    assert isinstance(resolution, Resolved)
    assert resolution.affinity_s == 60
    assert {one.port for one in resolution.others} == {8080}
    kept = resolve_selected(spread, anchor, pods, trusted=lambda one: one.name != "web-6")
    assert others(kept) == ["web-2"]
    # None is Ready: the one that is used is alone.
    alone = resolve_selected(spread, anchor, [pod("web-3", ready=False)])
    assert others(alone) == []


def test_resolved_pod_attributes() -> None:
    one = pod(node="n1", ready=False, restarts=3)
    resolution = resolve_selected(target(), workload(), [one])
    assert isinstance(resolution, Resolved)
    assert resolution.pod.node == "n1"
    assert not resolution.ready
    assert resolution.incarnation == "3"
    restarted = resolve_selected(target(), workload(), [pod(node="n1", ready=False, restarts=4)])
    assert restarted != resolution


def test_first_start_of_a_second_container_is_no_restart() -> None:
    before = resolve_selected(target(), workload(), [pod(container_ids=("a",))])
    after = resolve_selected(target(), workload(), [pod(container_ids=("a", "b"))])
    assert before == after


PULLING = pod(
    "web-1", phase="Pending", faults=(down(waiting="ImagePullBackOff", message="no such image"),)
)
CRASHED = pod(
    "web-2",
    ready=False,
    faults=(down(waiting="CrashLoopBackOff", ended="Error", exit_code=1, restarts=2),),
)
CREATED = pod("web-3", phase="Pending", faults=(down(waiting="ContainerCreating"),))
UNSCHEDULED = pod("web-4", phase="Pending", node="", scheduled=False, message=NODES)
EVICTED = pod("web-5", phase="Failed", reason="Evicted", owner=OwnerRef("Deployment", "web"))
CRASH_TEXT = "container main of pod web-2 is down (exit 1, restarted 2×)"


@pytest.mark.parametrize(
    ("anchor", "pods", "reason"),
    [
        (workload(replicas=0), [], "deploy/web is scaled to 0 replicas"),
        (workload(), [], "deploy/web has no pods yet"),
        (workload(observed=False), [], "no controller has seen deploy/web yet"),
        (
            workload(message='pods "web-" is forbidden: exceeded quota: small'),
            [],
            'deploy/web cannot create pods: pods "web-" is forbidden: exceeded quota: small',
        ),
        (workload(TargetKind.DAEMONSET, replicas=0), [], "deploy/web runs on no node"),
        (workload(TargetKind.JOB, suspended=True), [], "deploy/web is suspended"),
        (workload(), [PULLING], "pod web-1 cannot pull its image: no such image"),
        (workload(), [CRASHED], CRASH_TEXT),
        (
            workload(),
            [CRASHED, PULLING],
            "0 of 2 pods of deploy/web are ready: pod web-1 cannot pull its image: no such image",
        ),
        (
            workload(),
            [CREATED, UNSCHEDULED, CRASHED],
            f"0 of 3 pods of deploy/web are ready: {CRASH_TEXT}",
        ),
        (
            workload(),
            [CREATED, UNSCHEDULED],
            "0 of 2 pods of deploy/web are ready: pod web-4 is not scheduled to a node: "
            "0/3 nodes are available: 3 Insufficient cpu",
        ),
        (workload(), [EVICTED, CREATED], "pod web-3 is still being created"),
        (workload(), [EVICTED], "pod web-5 has ended: Evicted"),
        (
            workload(),
            [pod("web-1", deleting=True, phase="Pending")],
            "all pods of deploy/web are Terminating (web-1); waiting for their replacements",
        ),
        (
            workload(),
            [pod("web-1", deleting=True, faults=(down(ended="Error"),)), CREATED],
            "pod web-3 is still being created",
        ),
    ],
)
def test_reasons_without_a_usable_pod(anchor: Workload, pods: list[Pod], reason: str) -> None:
    resolution = refused(resolve_selected(target(), anchor, pods))
    assert reason_text(resolution.reason) == reason
    assert blocked_by(resolution.reason) is None


@pytest.mark.parametrize(
    ("kind", "name", "anchor", "reason"),
    [
        (
            TargetKind.SERVICE,
            "web",
            service(),
            "no pod matches the selector of svc/web (app=web)",
        ),
        (TargetKind.SELECTOR, "app=x", None, "no pod in namespace shop matches -l app=x"),
        (TargetKind.JOB, "web", workload(TargetKind.JOB, replicas=0), "job/web has no pods yet"),
    ],
)
def test_reasons_without_a_selected_pod(
    kind: TargetKind, name: str, anchor: Service | Workload | None, reason: str
) -> None:
    assert reason_text(refused(resolve_selected(target(kind, name), anchor, [])).reason) == reason


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        (down(waiting="ImagePullBackOff"), "kubectl describe pod -n shop web-1"),
        (down(waiting="ErrImagePull", is_init=True), "kubectl describe pod -n shop web-1"),
        (
            down(waiting="CrashLoopBackOff", ended="Error", has_previous_log=True),
            "kubectl logs -n shop web-1 -c main --previous",
        ),
        (down(ended="Error", exit_code=1), "kubectl logs -n shop web-1 -c main"),
        (down(waiting="CreateContainerConfigError"), "kubectl describe pod -n shop web-1"),
    ],
)
def test_hints(fault: ContainerFault, hint: str) -> None:
    one = pod(phase="Pending", faults=(fault,))
    assert hint in reason_hint(refused(resolve_selected(target(), workload(), [one])).reason)
    by_name = resolve_pod(target(TargetKind.POD, "web-1"), one)
    assert hint in reason_hint(refused(by_name).reason)


@pytest.mark.parametrize(
    ("kind", "anchor", "port", "pods"),
    [
        (TargetKind.SERVICE, service(), "81", [pod()]),
        (TargetKind.SERVICE, service(), "81", []),  # reported before there is any pod
        (TargetKind.SERVICE, service(DeclaredPort(number=80, target="admin")), "80", [pod()]),
        (TargetKind.DEPLOYMENT, workload(), "admin", [pod()]),
        (TargetKind.DEPLOYMENT, workload(), "dns", [pod()]),
        (TargetKind.SELECTOR, None, "53", [pod()]),
    ],
)
def test_missing_port_blocks(
    kind: TargetKind, anchor: Service | Workload | None, port: str, pods: list[Pod]
) -> None:
    resolution = refused(resolve_selected(target(kind, port=port), anchor, pods))
    assert blocked_by(resolution.reason) is BlockedBy.TARGET
    assert reason_hint(resolution.reason)


def test_missing_objects() -> None:
    resolution = target_not_found(target(TargetKind.SERVICE, "web"))
    assert reason_text(resolution.reason) == 'there is no service "web" in namespace shop'
    assert blocked_by(resolution.reason) is BlockedBy.TARGET
    bare = selectorless(target(TargetKind.SERVICE, "web"))
    assert "has no selector" in reason_text(bare.reason)
    assert blocked_by(bare.reason) is BlockedBy.TARGET


def test_selected_pod_reported_gone_by_its_tunnel() -> None:
    resolution = resolve_selected(target(), workload(), [pod()], trusted=gone)
    assert reason_text(refused(resolution).reason) == (
        "pod web-1 is Running, but its tunnel reported it as gone"
    )
    two = resolve_selected(
        target(), workload(), [pod(), pod("web-2")], trusted=lambda p: p.name != "web-1"
    )
    assert found(two)[0] == "web-2"


# Pods by name ------------------------------------------------------------------------------

BY_NAME = target(TargetKind.POD, "web-1")
PINNED = target(TargetKind.POD, "web-1", pin=True)
REF = {"namespace": "shop", "name": "web-1", "uid": "uid-web-1", "node": "node-a"}
DEPLOYED: dict[str, Any] = {"owner": owner("Deployment")}


@pytest.mark.parametrize("by_name", [BY_NAME, PINNED])
@pytest.mark.parametrize("one", [pod(), pod(ready=False)])
def test_running_pod_is_used(by_name: Any, one: Pod) -> None:
    assert found(resolve_pod(by_name, one)) == ("web-1", 80)


def test_running_pod_is_kept_despite_a_better_sibling() -> None:
    one, other = pod(ready=False, **DEPLOYED), pod("web-2", **DEPLOYED)
    assert found(resolve_pod(BY_NAME, one, siblings=[one, other]))[0] == "web-1"


@pytest.mark.parametrize(
    "one",
    [
        pod(deleting=True, **DEPLOYED),
        pod(phase="Failed", status="Evicted", **DEPLOYED),
        pod(phase="Succeeded", **DEPLOYED),
    ],
)
def test_terminating_pod_is_replaced_by_a_sibling(one: Pod) -> None:
    other = pod("web-2", **DEPLOYED)
    assert found(resolve_pod(BY_NAME, one, siblings=[one, other]))[0] == "web-2"
    pinned = resolve_pod(PINNED, one, siblings=[one, other])
    assert isinstance(pinned, Resolved if one.phase == "Running" else Unresolved)


def test_missing_pod_is_replaced_by_a_sibling() -> None:
    origin, other = pod(**DEPLOYED), pod("web-2", **DEPLOYED)
    assert found(resolve_pod(BY_NAME, None, origin=origin, siblings=[other]))[0] == "web-2"
    stranger = pod("web-3", owner=owner("Deployment", "other"))
    resolution = resolve_pod(BY_NAME, None, origin=origin, siblings=[stranger])
    assert reason_text(refused(resolution).reason) == (
        "pod web-1 is gone; waiting for its replacement by deploy/web"
    )


def test_replacement_is_kept_while_ready() -> None:
    origin = pod(**DEPLOYED)
    two, three = pod("web-2", ready_since=2, **DEPLOYED), pod("web-3", ready_since=1, **DEPLOYED)
    resolution = resolve_pod(
        BY_NAME, None, origin=origin, siblings=[two, three], current="uid-web-2"
    )
    assert found(resolution)[0] == "web-2"


def test_starting_pod_is_awaited() -> None:
    one = pod(phase="Pending", **DEPLOYED)
    resolution = refused(resolve_pod(BY_NAME, one, siblings=[one, pod("web-2", **DEPLOYED)]))
    assert reason_text(resolution.reason) == "pod web-1 is still being created"
    unschedulable = pod(phase="Pending", node="", message=NODES)
    assert reason_text(refused(resolve_pod(BY_NAME, unschedulable)).reason) == (
        "pod web-1 is not scheduled to a node: 0/3 nodes are available: 3 Insufficient cpu"
    )


def test_crashing_pod_is_awaited_despite_a_good_sibling() -> None:
    one = pod(ready=False, faults=(down(ended="Error", exit_code=1),), **DEPLOYED)
    resolution = refused(resolve_pod(BY_NAME, one, siblings=[one, pod("web-2", **DEPLOYED)]))
    assert resolution.reason.code is ReasonCode.POD_CRASH_LOOPING
    assert (resolution.pod, resolution.port) == (PodRef(**REF), 80)


def test_good_pod_is_preferred_to_a_crashing_one() -> None:
    crashing = pod("web-1", faults=(down(ended="Error", exit_code=1),))  # Ready lags behind
    assert found(resolve_selected(target(), workload(), [crashing, pod("web-9")]))[0] == "web-9"
    unready = pod("web-9", ready=False)
    assert found(resolve_selected(target(), workload(), [crashing, unready]))[0] == "web-9"


@pytest.mark.parametrize(
    ("better", "expected"),
    [
        (pod("web-2"), "web-2"),
        (pod("web-2", ready=False), "web-1"),
        (pod("web-2", phase="Pending"), "web-1"),
        (pod("web-2", faults=(down(ended="Error"),)), "web-1"),
    ],
)
def test_terminating_pod_serves_while_nothing_better_exists(better: Pod, expected: str) -> None:
    leaving = pod(deleting=True, delete_by=50.0)
    pods = [leaving, better]
    resolution = resolve_selected(target(), workload(), pods, current="uid-web-1")
    assert found(resolution)[0] == expected
    assert isinstance(resolution, Resolved)
    assert resolution.ready is (expected == "web-2"), "a refusal by a pod that goes is not final"
    if expected == "web-1":
        assert resolution.caution == Reason(
            code=ReasonCode.POD_TERMINATING, pod="web-1", namespace="shop", at=50.0
        )
    named = resolve_pod(
        BY_NAME,
        msgspec.structs.replace(leaving, owner=owner("Deployment")),
        siblings=[msgspec.structs.replace(better, owner=owner("Deployment"))],
    )
    assert found(named)[0] == expected


@pytest.mark.parametrize(
    ("kind", "node", "follows"),
    [
        ("Deployment", "node-b", True),
        ("ReplicaSet", "node-b", True),
        ("Job", "node-b", True),
        ("StatefulSet", "node-a", False),  # another ordinal is another database
        ("DaemonSet", "node-b", False),  # another node's is another one
        ("DaemonSet", "node-a", True),
        ("Rollout", "node-a", False),  # nothing is known about what is unknown
    ],
)
def test_is_replacement_of(kind: str, node: str, follows: bool) -> None:
    origin = pod(owner=owner(kind))
    assert is_replacement_of(pod("web-2", owner=owner(kind), node=node), origin) is follows
    assert (
        is_replacement_of(pod("web-1", uid="new", owner=owner(kind), node=node), origin)
        or not follows
    )


@pytest.mark.parametrize(
    ("origin", "pin", "reason"),
    [
        (pod(), False, "pod web-1 is gone; waiting for one of the same name"),
        (pod(**DEPLOYED), True, "pod web-1 is gone; waiting for one of the same name"),
        (
            pod(owner=owner("DaemonSet", "agent"), node="n1"),
            False,
            "pod web-1 is gone; waiting for its replacement by ds/agent on node n1",
        ),
        (
            pod(owner=owner("StatefulSet", "web")),
            False,
            "pod web-1 is gone; waiting for its replacement by sts/web",
        ),
    ],
)
def test_missing_pod_is_awaited(origin: Pod, pin: bool, reason: str) -> None:
    by_name = PINNED if pin else BY_NAME
    resolution = refused(resolve_pod(by_name, None, origin=origin))
    assert reason_text(resolution.reason) == reason
    assert blocked_by(resolution.reason) is None


def test_starting_replacement_is_named() -> None:
    other = pod("web-2", phase="Pending", **DEPLOYED)
    resolution = refused(resolve_pod(BY_NAME, None, origin=pod(**DEPLOYED), siblings=[other]))
    assert reason_text(resolution.reason).endswith(
        "by deploy/web: pod web-2 is still being created"
    )
    leaving = pod(deleting=True, faults=(down(ended="Completed", exit_code=0),), **DEPLOYED)
    resolution = refused(resolve_pod(BY_NAME, leaving, siblings=[leaving, other]))
    assert reason_text(resolution.reason) == (
        "pod web-1 is Terminating; waiting for its replacement: pod web-2 is still being created"
    )


def test_pod_that_never_existed() -> None:
    resolution = refused(resolve_pod(BY_NAME, None))
    assert reason_text(resolution.reason) == 'there is no pod "web-1" in namespace shop'
    assert blocked_by(resolution.reason) is BlockedBy.TARGET
    assert "deployment" in reason_hint(resolution.reason)


@pytest.mark.parametrize("kind", [None, "Job"])
def test_completed_pod_blocks(kind: str | None) -> None:
    one = pod(phase="Succeeded", status="Completed", owner=OwnerRef(kind, "x") if kind else None)
    resolution = refused(resolve_pod(BY_NAME, one))
    assert reason_text(resolution.reason) == "pod web-1 has completed; it will not run again"
    assert blocked_by(resolution.reason) is BlockedBy.TARGET


def test_failed_deployment_pod_waits_for_its_replacement() -> None:
    one = pod(phase="Failed", reason="Evicted", **DEPLOYED)
    resolution = refused(resolve_pod(BY_NAME, one))
    assert reason_text(resolution.reason) == (
        "pod web-1 has ended: Evicted; waiting for its replacement"
    )
    assert blocked_by(resolution.reason) is None


def test_named_pod_reported_gone_by_its_tunnel() -> None:
    one, other = pod(**DEPLOYED), pod("web-2", **DEPLOYED)
    assert "its tunnel reported it as gone" in reason_text(
        refused(resolve_pod(PINNED, one, trusted=gone)).reason
    )
    moved = resolve_pod(BY_NAME, one, siblings=[one, other], trusted=lambda p: p is not one)
    assert found(moved)[0] == "web-2"


def test_sibling_selector_omits_pod_specific_labels() -> None:
    labels = {
        "app": "web",
        "tier": "front",
        "pod-template-hash": "6d8c",
        "rollouts-pod-template-hash": "6d8c",
        "controller-revision-hash": "x",
        "apps.kubernetes.io/pod-index": "0",
    }
    assert sibling_selector(pod(labels=labels)) == "app=web,tier=front"
    assert sibling_selector(pod(labels={})) == ""
