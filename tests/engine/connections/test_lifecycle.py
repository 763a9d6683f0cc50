from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.engine.connections.lifecycle import (
    PUBLIC_STATES,
    TRANSITIONS,
    Action,
    Input,
    State,
    next_transition,
)

_WITH_CHANNEL = (
    State.HELD,
    State.OPEN,
    State.HALF_CLOSED,
    State.EOF_SENT,
    State.POD_ENDED,
    State.POD_ENDED_AFTER_EOF,
)
_CHANNEL_ENDS = (Input.CHANNEL_CLOSED, Input.CHANNEL_FAILED, Input.TUNNEL_LOST)


@pytest.mark.parametrize(("state", "event"), list(product(State, Input)))
def test_every_input_in_every_state_has_a_transition(state: State, event: Input) -> None:
    action, after = next_transition(state, event)
    if (state, event) not in TRANSITIONS:
        assert (action, after) == (Action.NONE, state)
    elif event is Input.ENDED:
        assert (action, after) == (Action.RELEASE, State.CLOSED)
    else:
        assert after is not state


def test_every_state_has_a_public_state() -> None:
    assert set(PUBLIC_STATES) == set(State)


def test_closed_is_final() -> None:
    assert all(next_transition(State.CLOSED, event)[1] is State.CLOSED for event in Input)


@pytest.mark.parametrize("state", _WITH_CHANNEL)
@pytest.mark.parametrize("event", _CHANNEL_ENDS)
def test_end_of_channel_delivers_what_is_buffered(state: State, event: Input) -> None:
    action, after = next_transition(state, event)
    assert action is Action.DELIVER
    assert after in (State.DRAINING, State.DRAINING_FAILED)


@pytest.mark.parametrize(
    ("state", "event", "expected"),
    [
        (State.OPEN, Input.CHANNEL_CLOSED, State.DRAINING),
        (State.OPEN, Input.CHANNEL_FAILED, State.DRAINING_FAILED),
        (State.OPEN, Input.TUNNEL_LOST, State.DRAINING_FAILED),
        (State.EOF_SENT, Input.CHANNEL_FAILED, State.DRAINING),
        (State.EOF_SENT, Input.TUNNEL_LOST, State.DRAINING_FAILED),
        (State.POD_ENDED_AFTER_EOF, Input.CHANNEL_FAILED, State.DRAINING),
        (State.POD_ENDED_AFTER_EOF, Input.TUNNEL_LOST, State.DRAINING_FAILED),
    ],
)
def test_failure_after_eof_was_sent_is_the_expected_end(
    state: State, event: Input, expected: State
) -> None:
    assert next_transition(state, event)[1] is expected


def test_held_back_eof_is_not_sent_after_the_pod_ended() -> None:
    _, after = next_transition(State.HALF_CLOSED, Input.POD_EOF)
    assert next_transition(after, Input.EOF_DUE) == (Action.NONE, State.POD_ENDED)


def test_failed_connection_is_queued_again_on_retry() -> None:
    assert next_transition(State.FAILED, Input.RETRY) == (Action.NONE, State.QUEUED)


@given(st.lists(st.sampled_from(Input)))
def test_socket_is_closed_at_most_once(events: list[Input]) -> None:
    state = State.QUEUED
    closing = []
    for event in events:
        action, state = next_transition(state, event)
        if action in (Action.FINISH, Action.RELEASE):
            closing.append(action)
    assert len(closing) == (state is State.CLOSED)
