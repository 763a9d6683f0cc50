from __future__ import annotations

import time

import msgspec
import pytest

from tests.support.recorded_faults import load_fault
from tests.support.recorded_pods import decode_recorded, recorded_pods
from tui_forward.engine.connections.pod_history import PodHistory, may_be_explained
from tui_forward.engine.connections.record import ConnectionRecord
from tui_forward.model import ContainerExit, DeclaredPort, Pod, PodRef, Reason, ReasonCode
from tui_forward.reasons import reason_text

REF = PodRef(namespace="shop", name="web-1", uid="u1")
RUNNING = Pod(namespace="shop", name="web-1", uid="u1", phase="Running", ip="10.0.0.1")
TERMINATING = msgspec.structs.replace(RUNNING, deleting=True, delete_by=1000.0)
EVICTED = msgspec.structs.replace(TERMINATING, disruption="EvictionByEvictionAPI")
OPENED, CLOSED = 100.0, 200.0

DELETED = ReasonCode.CONNECTION_POD_DELETED
EVICTION = ReasonCode.CONNECTION_POD_EVICTED
ENDED = ReasonCode.CONNECTION_CONTAINER_ENDED
RESTARTED = ReasonCode.CONNECTION_CONTAINER_RESTARTED
SANDBOX = ReasonCode.CONNECTION_SANDBOX_RECREATED


def exited(
    *, number: int = 1, code: int = 137, restarted: bool = False, container: str = "c",
    reason: str = "Error",
) -> Pod:  # fmt: skip
    end = ContainerExit(
        container=container, number=number, code=code, restarted=restarted, reason=reason
    )
    return msgspec.structs.replace(RUNNING, exits=(end,))


def explained(
    *reports: tuple[float, Pod | None],
    opened: float = OPENED,
    closed: float = CLOSED,
    port: int = 80,
) -> Reason | None:
    history = PodHistory(REF, port)
    history.update(RUNNING, 0.0)
    for at, pod in reports:
        history.update(pod, at)
    return history.explain_end(opened, closed)


@pytest.mark.parametrize(
    ("reports", "code"),
    [
        ([], None),
        ([(198.0, RUNNING)], None),
        ([(193.0, TERMINATING)], DELETED),
        ([(150.0, TERMINATING), (199.0, None)], DELETED),
        ([(199.0, None)], DELETED),  # by force
        ([(200.9, None)], DELETED),
        ([(201.1, None)], None),  # closed before
        ([(201.1, TERMINATING)], None),
        ([(150.0, None)], None),  # it left the selection of the watch long ago
        ([(150.0, None), (160.0, RUNNING)], None),
        ([(199.0, EVICTED)], EVICTION),
        ([(198.0, EVICTED), (199.0, None)], EVICTION),
        ([(199.2, exited())], ENDED),
        ([(199.2, exited()), (199.9, exited(restarted=True))], RESTARTED),
        ([(200.5, exited(restarted=True))], RESTARTED),
        ([(120.0, exited(restarted=True))], None),  # another container, earlier
        ([(120.0, exited(restarted=True)), (199.0, exited(number=2))], ENDED),
        ([(199.0, msgspec.structs.replace(RUNNING, sandbox_ready=False))], SANDBOX),
        ([(199.0, msgspec.structs.replace(exited(restarted=True), ip="10.0.0.2"))], SANDBOX),
        ([(199.0, msgspec.structs.replace(TERMINATING, sandbox_ready=False))], DELETED),
    ],
)
def test_end_is_explained_by_what_was_reported(
    reports: list[tuple[float, Pod | None]], code: ReasonCode | None
) -> None:
    reason = explained(*reports)
    assert (reason.code if reason is not None else None) is code


def test_pod_that_will_not_run_again() -> None:
    evicted = decode_recorded(load_fault("033-evicted-by-kubelet")["objects"]["pod"])
    reason = explained((199.0, evicted))
    assert reason is not None
    assert (reason.code, reason.detail) == (EVICTION, "TerminationByKubelet")
    late = msgspec.structs.replace(RUNNING, phase="Failed", reason="DeadlineExceeded")
    reason = explained((199.0, late))
    assert reason is not None
    assert reason_text(reason) == "closed: pod web-1 ended (DeadlineExceeded)"
    assert explained((150.0, late)) is None


def test_events_before_the_connection_did_not_end_it() -> None:
    assert explained((99.0, TERMINATING)) is None, "a pod with a long grace period may serve on"
    assert explained((99.0, exited(restarted=True)), closed=102.0) is None
    over = explained((99.0, TERMINATING), (199.5, msgspec.structs.replace(exited(), deleting=True)))
    assert over is not None
    assert over.code is DELETED


def test_unknown_pod_explains_nothing() -> None:
    history = PodHistory(REF, 80)
    history.update(None, 1.0)
    assert history.explain_end(OPENED, CLOSED) is None
    assert not history.is_known
    history.update(exited(number=3), 2.0)  # the first report has no change
    assert history.explain_end(0.0, 3.0) is None


def test_container_of_another_port_does_not_count() -> None:
    ports = (
        DeclaredPort(number=80, container="web"), DeclaredPort(number=9, container="sidecar"),
    )  # fmt: skip
    sidecar = msgspec.structs.replace(exited(container="sidecar"), ports=ports)
    assert explained((199.0, sidecar)) is None
    web = msgspec.structs.replace(exited(container="web"), ports=ports)
    assert explained((199.0, web)) is not None
    assert explained((199.0, web), port=81) is not None, "declared by none: it may be any"


def test_reason_names_container_and_exit_code() -> None:
    reason = explained((199.0, exited(code=137, reason="OOMKilled", restarted=True)))
    assert reason is not None
    assert (reason.container, reason.exit_code, reason.status) == ("c", 137, "OOMKilled")


def test_terminating_pod_says_until_when() -> None:
    history = PodHistory(REF, 80)
    assert history.condition is None
    history.update(RUNNING, 1.0)
    assert history.condition is None
    history.update(TERMINATING, 2.0)
    assert history.condition == Reason(code=ReasonCode.POD_TERMINATING, pod="web-1", at=1000.0)
    history.update(None, 3.0)
    assert history.condition == Reason(code=ReasonCode.POD_DELETED, pod="web-1")


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        ("030-deleted-mid-connection", DELETED, "mid was deleted"),
        ("031-force-deleted-mid-connection", DELETED, "was deleted"),
        ("032-evicted-by-api-mid-connection", EVICTION, "EvictionByEvictionAPI"),
        ("035-container-killed-mid-connection", RESTARTED, "c was restarted (exit code 137)"),
        ("036-sandbox-killed-mid-connection", SANDBOX, "sandbox of pod victim4 was lost"),
    ],
)
def test_recorded_ends(fault: str, code: ReasonCode, text: str) -> None:
    pods = list(recorded_pods(fault))
    known = next((pod for pod in pods if pod is not None), RUNNING)
    before = msgspec.structs.replace(
        known, deleting=False, delete_by=0.0, disruption="", exits=(), sandbox_ready=True
    )
    history = PodHistory(REF, 7000)
    history.update(before, 0.0)
    for number, pod in enumerate(pods):
        history.update(pod, 10.0 + number)
    reason = history.explain_end(5.0, 10.0 + len(pods) - 1)
    assert reason is not None
    assert reason.code is code
    assert text in reason_text(reason)


def test_only_ends_without_a_cause_may_be_explained() -> None:
    assert may_be_explained(ReasonCode.CONNECTION_CLOSED_BY_APPLICATION)
    assert may_be_explained(ReasonCode.CONNECTION_CLOSED_WITHOUT_DATA)
    assert may_be_explained(ReasonCode.PORT_RESET)
    assert not may_be_explained(ReasonCode.CONNECTION_CLOSED_BY_CLIENT)
    assert not may_be_explained(ReasonCode.PORT_REFUSED)
    for final in (DELETED, EVICTION, SANDBOX, RESTARTED):
        assert not may_be_explained(final)


@pytest.mark.parametrize(
    ("later", "code"),
    [
        (msgspec.structs.replace(exited(), sandbox_ready=False), SANDBOX),
        (msgspec.structs.replace(exited(), deleting=True), DELETED),
        (msgspec.structs.replace(exited(), phase="Failed", disruption="Terminated"), EVICTION),
        (exited(restarted=True), RESTARTED),
    ],
)
def test_cause_of_a_container_that_ended_may_follow(later: Pod, code: ReasonCode) -> None:
    """A runtime that stops a sandbox ends the containers first, as does a kubelet that evicts."""
    history = PodHistory(REF, 80)
    history.update(RUNNING, time.monotonic())
    record = ConnectionRecord(1, "f", "127.0.0.1:1")
    record.connected(history)
    history.update(exited(), time.monotonic())
    record.close(Reason(code=ReasonCode.CONNECTION_CLOSED_BY_APPLICATION))
    assert record.explain_end()
    assert record.close_reason is not None
    assert record.close_reason.code is ENDED
    history.update(later, time.monotonic())
    record.explain_end()
    assert record.close_reason.code is code
