from __future__ import annotations

from dataclasses import replace
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.engine.forwards import state_machine
from tui_forward.engine.forwards.state_machine import (
    TABLE,
    AddressOpened,
    AddressTaken,
    DialFailed,
    DialStarted,
    Failed,
    Input,
    ListenerBlocked,
    LoginPending,
    Paused,
    PodMissing,
    PodMoved,
    PortAnswered,
    PortRefused,
    Resumed,
    Status,
    Stopped,
    TunnelLost,
    TunnelUp,
    next_status,
)
from tui_forward.model import BlockedBy, ForwardState, Reason, ReasonCode
from tui_forward.reasons import reason_text

TAKEN = Reason(code=ReasonCode.LOCAL_PORT_TAKEN, port="80", process="nginx (812)")
NO_PODS_READY = Reason(
    code=ReasonCode.POD_CREATING, pod="web-1", object="deploy/web", ready=0, total=2
)
NOT_FOUND = Reason(code=ReasonCode.TARGET_NOT_FOUND, kind="deployment", name="web")
RESOLVING = Reason(code=ReasonCode.TARGET_RESOLVING, object="shop/deploy/web:80")
UNUSABLE = Reason(code=ReasonCode.POD_UNUSABLE, pod="web-1")
REPLACED = Reason(code=ReasonCode.POD_REPLACED, pod="a", successor="b")
REFUSED = Reason(code=ReasonCode.NETWORK_REFUSED, server="api:6443", dialed_pod="web-1")
EXPIRED = Reason(code=ReasonCode.AUTH_FAILED, text="credentials expired", hint="Log in")
PLUGIN = Reason(code=ReasonCode.AUTH_PLUGIN_RUNNING, name="cloud-login")
DEVICE_CODE = Reason(code=ReasonCode.AUTH_LOGIN_RUNNING, name="cloud-login", detail="enter X-1")
CLOSED = Reason(code=ReasonCode.TUNNEL_CLOSED_BY_SERVER)
CRASHED = Reason(code=ReasonCode.FORWARD_FAILED, detail="ValueError: x")
PORT_REFUSED = Reason(code=ReasonCode.PORT_REFUSED, port="80", pod="a")
V6_TAKEN = Reason(code=ReasonCode.LOCAL_ADDRESS_TAKEN, address="[::1]:80", process="nginx (812)")
STOPPED = Reason(code=ReasonCode.FORWARD_STOPPED)
UNSTABLE = Reason(code=ReasonCode.POD_UNSTABLE, pod="web-1", container="main", restarts=17)


def connecting(pod: str) -> DialStarted:
    return DialStarted(Reason(code=ReasonCode.FORWARD_CONNECTING, pod=pod, port="80"))


def forwarding(pod: str) -> TunnelUp:
    return TunnelUp(Reason(code=ReasonCode.FORWARD_READY, pod=pod, port="80"))


INPUTS: dict[type[Input], list[Input]] = {
    ListenerBlocked: [ListenerBlocked(TAKEN)],
    PodMissing: [
        PodMissing(NO_PODS_READY),
        PodMissing(NOT_FOUND),
        PodMissing(NO_PODS_READY, lost=UNUSABLE),
    ],
    PodMoved: [PodMoved(REPLACED)],
    DialStarted: [connecting("b"), DialStarted(UNSTABLE)],
    LoginPending: [LoginPending(PLUGIN), LoginPending(DEVICE_CODE)],
    DialFailed: [DialFailed(REFUSED, 12.0), DialFailed(EXPIRED, 12.0)],
    TunnelUp: [forwarding("b"), TunnelUp(UNSTABLE)],
    TunnelLost: [TunnelLost(CLOSED)],
    PortRefused: [PortRefused(PORT_REFUSED)],
    PortAnswered: [PortAnswered()],
    AddressTaken: [AddressTaken(V6_TAKEN)],
    AddressOpened: [AddressOpened()],
    Failed: [Failed(CRASHED, 12.0)],
    Paused: [Paused()],
    Resumed: [Resumed()],
    Stopped: [Stopped(STOPPED)],
}
ALL = [event for group in INPUTS.values() for event in group]


def run(*events: Input, status: Status = state_machine.INITIAL) -> Status:
    for event in events:
        status = next_status(status, event)
    return status


def text(status: Status) -> str:
    return reason_text(status.reason)


READY = run(connecting("a"), forwarding("a"))


def test_every_state_has_a_rule_for_every_input() -> None:
    inputs = set(get_args(Input))
    assert inputs == set(INPUTS)
    assert set(TABLE) == set(ForwardState)
    assert all(set(row) == inputs for row in TABLE.values())


@given(st.lists(st.sampled_from(ALL), max_size=30))
def test_status_is_always_consistent(events: list[Input]) -> None:
    status = state_machine.INITIAL
    up = False
    for event in events:
        before, status = status, next_status(status, event)
        assert text(status)
        assert (status.blocked_by is not None) == (status.state is ForwardState.BLOCKED)
        assert not status.paused or status.state is ForwardState.STOPPED
        if status.retry_at is not None:
            assert status.state in {
                ForwardState.STARTING,
                ForwardState.CONNECTING,
                ForwardState.RECONNECTING,
                ForwardState.BLOCKED,
            }
        if before.state is not ForwardState.READY and status.state is ForwardState.READY:
            assert isinstance(event, TunnelUp), "only a tunnel makes a forward ready"
        if isinstance(event, TunnelUp):
            up = True
        elif isinstance(event, TunnelLost | PodMissing | PodMoved | Failed | Paused | Stopped):
            up = False
        assert up or not status.admits
        if status.state is ForwardState.READY:
            assert up, "ready although the tunnel is gone"
            codes = [reason.code for reason in status.warnings]
            assert status.reason.code is (codes[0] if codes else ReasonCode.FORWARD_READY)
        else:
            assert not status.admits or status.state is ForwardState.WAITING
            assert status.refused is None, "known only of the pod that a tunnel leads to"
        if status.state is ForwardState.RECONNECTING:
            assert status.was_ready


@pytest.mark.parametrize("event", ALL, ids=lambda event: type(event).__name__)
def test_only_resume_and_stop_leave_a_pause(event: Input) -> None:
    paused = run(Paused(), status=READY)
    after = next_status(paused, event)
    if isinstance(event, Resumed):
        assert after.state is ForwardState.STARTING
        assert not after.paused
        assert not after.was_ready
    elif isinstance(event, Stopped):
        assert after.state is ForwardState.STOPPED
        assert not after.paused
    else:
        assert replace(after, address_taken=None) == paused


@pytest.mark.parametrize("event", ALL, ids=lambda event: type(event).__name__)
def test_stopped_is_final(event: Input) -> None:
    stopped = run(Stopped(STOPPED), status=READY)
    assert next_status(stopped, event).state is ForwardState.STOPPED


def test_states_before_the_first_tunnel() -> None:
    status = run(PodMissing(NO_PODS_READY))
    assert (status.state, text(status)) == (
        ForwardState.WAITING,
        "0 of 2 pods of deploy/web are ready: pod web-1 is still being created",
    )
    status = run(connecting("web-1"), status=status)
    assert (status.state, text(status)) == (ForwardState.CONNECTING, "connecting to web-1:80")
    status = run(DialFailed(REFUSED, 99.0), status=status)
    assert (status.state, status.retry_at) == (ForwardState.CONNECTING, 99.0)
    again = run(connecting("web-1"), status=status)
    assert again == replace(status, retry_at=None), "the failure is shown until the pod changes"
    other = run(connecting("web-2"), status=status)
    assert (text(other), other.retry_at) == ("connecting to web-2:80", None)


def test_target_that_is_being_resolved_is_not_missing() -> None:
    first = run(PodMissing(RESOLVING))
    assert (first.state, text(first)) == (ForwardState.STARTING, "looking for shop/deploy/web:80")
    again = run(TunnelLost(CLOSED), PodMissing(RESOLVING), status=READY)
    assert again.state is ForwardState.RECONNECTING
    assert text(again) == "the server closed the tunnel; looking for shop/deploy/web:80"


def test_reasons_after_ready_begin_with_the_loss() -> None:
    lost = run(TunnelLost(CLOSED), status=READY)
    assert (lost.state, lost.reason) == (ForwardState.RECONNECTING, CLOSED)
    again = run(connecting("a"), status=lost)
    assert text(again) == "the server closed the tunnel; connecting to a:80"
    assert again.reason.code is ReasonCode.FORWARD_CONNECTING
    failed = run(DialFailed(REFUSED, 9.0), status=again)
    assert text(failed) == (
        "the server closed the tunnel; cannot reach pod web-1: api:6443 refuses connections"
    )
    assert failed.retry_at == 9.0
    assert run(forwarding("a"), status=failed) == READY


def test_loss_is_the_oldest_of_several_reasons() -> None:
    gone = Reason(code=ReasonCode.POD_DELETED, pod="web-1")
    awaiting = Reason(code=ReasonCode.POD_AWAITING_REPLACEMENT, previous=gone)
    status = run(TunnelLost(CLOSED), PodMissing(awaiting), status=READY)
    assert text(status) == (
        "the server closed the tunnel; pod web-1 is gone; waiting for its replacement"
    )


def test_missing_pod_while_ready() -> None:
    gone = run(PodMissing(NO_PODS_READY, lost=UNUSABLE), status=READY)
    assert gone.state is ForwardState.RECONNECTING
    assert text(gone) == (
        "pod web-1 can no longer be used; "
        "0 of 2 pods of deploy/web are ready: pod web-1 is still being created"
    )
    moved = run(connecting("web-2"), status=gone)
    assert text(moved) == "pod web-1 can no longer be used; connecting to web-2:80"


def test_reason_is_not_repeated() -> None:
    lost = run(TunnelLost(CLOSED), status=READY)
    failed = run(DialFailed(replace_dialed(CLOSED, "a"), 9.0), status=lost)
    assert text(failed) == "cannot reach pod a: the server closed the tunnel"


def replace_dialed(reason: Reason, pod: str) -> Reason:
    return Reason(code=reason.code, dialed_pod=pod)


def test_blocked_and_unblocked() -> None:
    blocked = run(DialFailed(EXPIRED, 9.0), status=READY)
    assert blocked == READY, "a spare tunnel that cannot be opened does not matter"
    lost = run(TunnelLost(CLOSED), status=READY)
    blocked = run(DialFailed(EXPIRED, 9.0), status=lost)
    assert (blocked.state, blocked.blocked_by, blocked.hint, blocked.retry_at) == (
        ForwardState.BLOCKED,
        BlockedBy.CREDENTIALS,
        "Log in",
        9.0,
    )
    assert run(forwarding("a"), status=blocked) == READY


def test_taken_port_blocks_until_it_is_free() -> None:
    blocked = run(ListenerBlocked(TAKEN))
    assert (blocked.state, blocked.blocked_by) == (ForwardState.BLOCKED, BlockedBy.PORT)
    free = run(PodMissing(NO_PODS_READY), status=blocked)
    assert (free.state, free.blocked_by) == (ForwardState.WAITING, None)
    assert "describe pod" in free.hint


CRASHING = Reason(code=ReasonCode.POD_CRASH_LOOPING, pod="web-1", container="main", exit_code=1)


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        (CRASHING, ForwardState.WAITING),
        (Reason(code=ReasonCode.POD_OUT_OF_MEMORY), ForwardState.WAITING),
        (Reason(code=ReasonCode.POD_IMAGE_PULL), ForwardState.WAITING),
        (Reason(code=ReasonCode.POD_START_ERROR), ForwardState.WAITING),
        (Reason(code=ReasonCode.POD_INIT_FAILING), ForwardState.WAITING),
        (
            Reason(code=ReasonCode.POD_AWAITING_REPLACEMENT, cause=CRASHING),
            ForwardState.WAITING,
        ),
        (Reason(code=ReasonCode.TARGET_SCALED_TO_ZERO), ForwardState.WAITING),
        (Reason(code=ReasonCode.POD_CREATING), ForwardState.RECONNECTING),
        (Reason(code=ReasonCode.POD_DELETED), ForwardState.RECONNECTING),
        (Reason(code=ReasonCode.POD_COMPLETED), ForwardState.BLOCKED),
        (Reason(code=ReasonCode.TARGET_FAILED), ForwardState.BLOCKED),
    ],
)
@pytest.mark.parametrize("before", [READY, replace(READY, state=ForwardState.RECONNECTING)])
def test_container_that_is_down_is_awaited_after_it_was_ready(
    reason: Reason, state: ForwardState, before: Status
) -> None:
    assert run(PodMissing(reason), status=before).state is state


@pytest.mark.parametrize("before", [state_machine.INITIAL, READY])
def test_forward_to_a_crash_loop_waits_while_its_container_runs(before: Status) -> None:
    down = run(PodMissing(CRASHING), status=before)
    dialed = run(DialStarted(UNSTABLE), status=down)
    up = run(TunnelUp(UNSTABLE), status=dialed)
    lost = run(TunnelLost(CLOSED), status=up)
    states = [one.state for one in (down, dialed, up, lost)]
    assert states == [ForwardState.WAITING] * 4
    assert [one.admits for one in (down, dialed, up, lost)] == [False, False, True, False]
    assert run(DialFailed(REFUSED, 9.0), status=dialed) == dialed
    assert run(DialFailed(EXPIRED, 9.0), status=dialed).state is ForwardState.BLOCKED
    assert run(forwarding("web-1"), status=up).state is ForwardState.READY, "it outlasts its runs"
    assert not run(PodMissing(CRASHING), status=up).admits


def test_container_that_runs_again_is_dialed_at_once() -> None:
    down = run(PodMissing(CRASHING), status=READY)
    assert (down.state, down.was_ready) == (ForwardState.WAITING, True)
    again = run(connecting("web-1"), status=down)
    assert again.state is ForwardState.RECONNECTING
    assert run(forwarding("web-1"), status=again).state is ForwardState.READY


def test_internal_error_is_never_ready() -> None:
    failed = run(Failed(CRASHED, 9.0), status=READY)
    assert failed.state is ForwardState.RECONNECTING
    assert failed.retry_at == 9.0
    assert run(Failed(CRASHED, 9.0)).state is ForwardState.STARTING


def test_moved_pod_before_ready_is_reported_by_the_dial() -> None:
    status = run(connecting("a"))
    assert run(PodMoved(REPLACED), status=status) == status
    lost = run(TunnelLost(CLOSED), status=READY)
    moved = run(PodMoved(REPLACED), status=lost)
    assert moved == replace(lost, reason=REPLACED, lost=REPLACED)


def test_refused_port_is_ready_with_a_warning_until_it_answers() -> None:
    refused = run(PortRefused(PORT_REFUSED), status=READY)
    assert (refused.state, refused.reason) == (ForwardState.READY, PORT_REFUSED)
    assert refused.warnings == (PORT_REFUSED,)
    assert run(forwarding("a"), status=refused) == refused, "the pod was reported again"
    assert run(PortAnswered(), status=refused) == READY


@pytest.mark.parametrize(
    "event", [TunnelLost(CLOSED), PodMoved(REPLACED), PodMissing(NO_PODS_READY)]
)
def test_refusal_is_forgotten_with_the_tunnel(event: Input) -> None:
    refused = run(PortRefused(PORT_REFUSED), status=READY)
    assert run(event, forwarding("a"), status=refused).warnings == ()


def test_worst_warning_is_the_reason() -> None:
    not_ready = TunnelUp(Reason(code=ReasonCode.POD_NOT_READY, pod="a"))
    status = run(AddressTaken(V6_TAKEN))
    assert status.warnings == (V6_TAKEN,), "also before it is ready"
    ready = run(connecting("a"), forwarding("a"), status=status)
    assert ready.reason == replace_previous(V6_TAKEN, forwarding("a").reason)
    ready = run(not_ready, status=ready)
    assert ready.reason == not_ready.reason
    ready = run(PortRefused(PORT_REFUSED), status=ready)
    assert ready.warnings == (PORT_REFUSED, not_ready.reason, V6_TAKEN)
    assert ready.reason == PORT_REFUSED
    assert run(AddressOpened(), PortAnswered(), forwarding("a"), status=ready) == READY


def replace_previous(reason: Reason, previous: Reason) -> Reason:
    return msgspec.structs.replace(reason, previous=previous)


def test_login_is_shown_until_there_are_credentials() -> None:
    running = run(LoginPending(PLUGIN))
    assert (running.state, running.blocked_by) == (ForwardState.CONNECTING, None)
    waiting = run(LoginPending(DEVICE_CODE), status=running)
    assert (waiting.state, waiting.blocked_by) == (ForwardState.BLOCKED, BlockedBy.CREDENTIALS)
    assert "cloud-login is waiting: enter X-1" in text(waiting)
    assert run(connecting("a"), status=waiting).state is ForwardState.CONNECTING
    assert run(PodMissing(RESOLVING), status=waiting).state is ForwardState.STARTING


def test_login_of_a_list_does_not_disturb_a_ready_forward() -> None:
    assert run(LoginPending(DEVICE_CODE), status=READY) == READY


def test_login_after_an_outage_is_part_of_it() -> None:
    lost = run(TunnelLost(CLOSED), status=READY)
    assert run(LoginPending(PLUGIN), status=lost).state is ForwardState.RECONNECTING
