from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.engine.forwards import state_machine
from tui_forward.engine.forwards.state_machine import (
    TABLE,
    DialFailed,
    DialStarted,
    Failed,
    Input,
    ListenerBlocked,
    Paused,
    PodMissing,
    PodMoved,
    Resumed,
    Status,
    Stopped,
    TunnelLost,
    TunnelUp,
    next_status,
)
from tui_forward.model import BlockedBy, ForwardState

INPUTS: dict[type[Input], list[Input]] = {
    ListenerBlocked: [ListenerBlocked("local port 80 is taken by nginx (812)")],
    PodMissing: [
        PodMissing("0 of 2 pods are ready"),
        PodMissing("there is no deployment", blocked_by=BlockedBy.TARGET),
        PodMissing("0 of 2 pods are ready", lost="pod a can no longer be used"),
    ],
    PodMoved: [PodMoved("pod a was replaced by b")],
    DialStarted: [DialStarted("connecting to b:80")],
    DialFailed: [
        DialFailed("connection refused", 12.0),
        DialFailed("credentials expired", 12.0, blocked_by=BlockedBy.CREDENTIALS, hint="log in"),
    ],
    TunnelUp: [TunnelUp("forwarding to b:80 by SPDY")],
    TunnelLost: [TunnelLost("the API server closed the tunnel")],
    Failed: [Failed("the program failed", 12.0)],
    Paused: [Paused()],
    Resumed: [Resumed()],
    Stopped: [Stopped("switched off")],
}
ALL = [given for group in INPUTS.values() for given in group]


def run(*given: Input, status: Status = state_machine.INITIAL) -> Status:
    for one in given:
        status = next_status(status, one)
    return status


READY = run(DialStarted("connecting to a:80"), TunnelUp("forwarding to a:80"))


def test_every_pair_has_a_cell() -> None:
    inputs = set(get_args(Input))
    assert inputs == set(INPUTS)
    assert set(TABLE) == set(ForwardState)
    assert all(set(row) == inputs for row in TABLE.values())


@given(st.lists(st.sampled_from(ALL), max_size=30))
def test_what_is_shown_is_always_consistent(given: list[Input]) -> None:
    status = state_machine.INITIAL
    up = False
    for one in given:
        before, status = status, next_status(status, one)
        assert status.reason
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
            assert isinstance(one, TunnelUp), "only a tunnel makes a forward ready"
        if isinstance(one, TunnelUp):
            up = True
        elif isinstance(one, TunnelLost | PodMissing | PodMoved | Failed | Paused | Stopped):
            up = False
        if status.state is ForwardState.READY:
            assert up, "ready although the tunnel is gone"
        if status.state is ForwardState.RECONNECTING:
            assert status.was_ready


@pytest.mark.parametrize("one", ALL, ids=lambda one: type(one).__name__)
def test_nothing_but_resume_leaves_a_pause_except_the_end(one: Input) -> None:
    paused = run(Paused(), status=READY)
    after = next_status(paused, one)
    if isinstance(one, Resumed):
        assert after.state is ForwardState.STARTING
        assert not after.paused
        assert not after.was_ready
    elif isinstance(one, Stopped):
        assert after.state is ForwardState.STOPPED
        assert not after.paused
    else:
        assert after == paused


@pytest.mark.parametrize("one", ALL, ids=lambda one: type(one).__name__)
def test_nothing_leaves_the_end(one: Input) -> None:
    over = run(Stopped("switched off"), status=READY)
    assert next_status(over, one).state is ForwardState.STOPPED


def test_a_first_start_in_words() -> None:
    status = run(PodMissing("0 of 2 pods of deploy/web are ready"))
    assert (status.state, status.reason) == (
        ForwardState.WAITING,
        "0 of 2 pods of deploy/web are ready",
    )
    status = run(DialStarted("connecting to web-1:80"), status=status)
    assert (status.state, status.reason) == (ForwardState.CONNECTING, "connecting to web-1:80")
    status = run(DialFailed("cannot reach pod web-1: refused", 99.0), status=status)
    assert (status.state, status.retry_at) == (ForwardState.CONNECTING, 99.0)
    again = run(DialStarted("connecting to web-1:80"), status=status)
    assert again == replace(status, retry_at=None), "why it failed is more than that it is tried"
    other = run(DialStarted("connecting to web-2:80"), status=status)
    assert (other.reason, other.retry_at) == ("connecting to web-2:80", None)


def test_what_is_still_looked_for_is_not_said_to_be_missing() -> None:
    looking = PodMissing("looking for shop/deploy/web:80", pending=True)
    first = run(looking)
    assert (first.state, first.reason) == (ForwardState.STARTING, "looking for shop/deploy/web:80")
    again = run(TunnelLost("closed"), looking, status=READY)
    assert again.state is ForwardState.RECONNECTING
    assert again.reason == "closed; looking for shop/deploy/web:80"


def test_after_readiness_every_reason_begins_with_what_was_lost() -> None:
    lost = run(TunnelLost("the API server closed the tunnel"), status=READY)
    assert (lost.state, lost.reason) == (
        ForwardState.RECONNECTING,
        "the API server closed the tunnel",
    )
    again = run(DialStarted("connecting to a:80"), status=lost)
    assert again.reason == "the API server closed the tunnel; connecting to a:80"
    failed = run(DialFailed("cannot reach pod a: no route", 9.0), status=again)
    assert failed.reason == "the API server closed the tunnel; cannot reach pod a: no route"
    assert failed.retry_at == 9.0
    up = run(TunnelUp("forwarding to a:80"), status=failed)
    assert up == READY


def test_a_pod_that_is_gone_without_a_replacement() -> None:
    gone = run(
        PodMissing("replacement web-2 is starting", lost="pod web-1 can no longer be used"),
        status=READY,
    )
    assert gone.state is ForwardState.RECONNECTING
    assert gone.reason == "pod web-1 can no longer be used; replacement web-2 is starting"
    moved = run(DialStarted("connecting to web-2:80"), status=gone)
    assert moved.reason == "pod web-1 can no longer be used; connecting to web-2:80"


def test_a_reason_does_not_say_anything_twice() -> None:
    lost = run(TunnelLost("the tunnel was closed"), status=READY)
    failed = run(DialFailed("cannot reach pod a: the tunnel was closed", 9.0), status=lost)
    assert failed.reason == "cannot reach pod a: the tunnel was closed"


def test_blocked_and_unblocked() -> None:
    blocked = run(
        DialFailed("credentials expired", 9.0, hint="log in", blocked_by=BlockedBy.CREDENTIALS),
        status=READY,
    )
    assert blocked == READY, "a spare tunnel that cannot be opened does not matter"
    lost = run(TunnelLost("closed"), status=READY)
    blocked = run(
        DialFailed("credentials expired", 9.0, hint="log in", blocked_by=BlockedBy.CREDENTIALS),
        status=lost,
    )
    assert (blocked.state, blocked.blocked_by, blocked.hint, blocked.retry_at) == (
        ForwardState.BLOCKED,
        BlockedBy.CREDENTIALS,
        "log in",
        9.0,
    )
    assert run(TunnelUp("forwarding to a:80"), status=blocked) == READY


def test_a_taken_port() -> None:
    blocked = run(ListenerBlocked("local port 80 is taken by nginx (812)", "choose another"))
    assert (blocked.state, blocked.blocked_by) == (ForwardState.BLOCKED, BlockedBy.PORT)
    free = run(PodMissing("deploy/web has no pods yet"), status=blocked)
    assert (free.state, free.blocked_by, free.hint) == (ForwardState.WAITING, None, "")


def test_a_failure_of_the_program_is_never_ready() -> None:
    failed = run(Failed("the program failed", 9.0), status=READY)
    assert failed.state is ForwardState.RECONNECTING
    assert failed.retry_at == 9.0
    assert run(Failed("the program failed", 9.0)).state is ForwardState.STARTING


def test_a_moved_pod_while_not_ready_is_told_by_the_dial() -> None:
    connecting = run(DialStarted("connecting to a:80"))
    assert run(PodMoved("pod a was replaced by b"), status=connecting) == connecting
    lost = run(TunnelLost("closed"), status=READY)
    moved = run(PodMoved("pod a was replaced by b"), status=lost)
    assert moved == replace(lost, reason="pod a was replaced by b", lost="pod a was replaced by b")
