"""State machine of one local connection: (state, input) -> (action, state).

A table without behavior: `LocalConnection` carries out the actions. Data does not pass
through here, only events that happen a few times per connection.
"""

from __future__ import annotations

from enum import IntEnum, auto
from typing import Final

from tui_forward.model import ConnectionState


class State(IntEnum):
    """States of a connection; `PUBLIC_STATES` has what is shown of them."""

    QUEUED = auto()  # no channel: waits for a tunnel, or for the retry of a refused connection
    HELD = auto()
    """The channel is open; the client's data is held back until a refusal would be here."""
    OPEN = auto()  # data flows in both directions
    HALF_CLOSED = auto()
    """The client sent its FIN, which is held back as long as the pod may answer."""
    EOF_SENT = auto()  # the FIN was passed on; the pod has to end the connection
    POD_ENDED = auto()  # the pod sends no more; whether that is a failure is still to come
    POD_ENDED_AFTER_EOF = auto()  # the same, after the client's FIN was passed on
    DRAINING = auto()  # the channel is closed; buffered data is written to the client
    DRAINING_FAILED = auto()  # the same, after a failure
    FAILED = auto()  # the channel failed and its data is delivered: to be retried or given up
    CLOSED = auto()  # the socket is closed. Final


class Input(IntEnum):
    """Events of a connection."""

    CHANNEL_OPENED = auto()
    CHANNEL_HELD = auto()  # the channel is open, but data should not be sent yet
    HOLD_EXPIRED = auto()
    CLIENT_EOF = auto()
    EOF_DUE = auto()
    """The pod was silent for the half-close timeout, or the client has closed its socket."""
    POD_EOF = auto()
    CHANNEL_CLOSED = auto()
    CHANNEL_FAILED = auto()
    TUNNEL_LOST = auto()
    DELIVERED = auto()  # the client's socket took everything that was buffered
    RETRY = auto()
    ENDED = auto()  # an error, an abort or a time limit ends the connection


class Action(IntEnum):
    """What `LocalConnection` does on a transition."""

    NONE = auto()
    START_UPLOAD = auto()
    HOLD_UPLOAD = auto()
    STOP_UPLOAD = auto()
    HOLD_EOF = auto()
    SEND_EOF = auto()
    DELIVER = auto()  # deliver what is buffered, then input `DELIVERED`
    FINISH = auto()  # close the socket in order: both sides ended
    REPORT_FAILURE = auto()  # retry or give up
    RELEASE = auto()  # close the socket with the reason given to the input


_CHANNEL_FAILURES: Final = (Input.CHANNEL_FAILED, Input.TUNNEL_LOST)
_BEFORE_EOF: Final = (State.HELD, State.OPEN, State.HALF_CLOSED, State.POD_ENDED)
_AFTER_EOF: Final = (State.EOF_SENT, State.POD_ENDED_AFTER_EOF)

TRANSITIONS: Final[dict[tuple[State, Input], tuple[Action, State]]] = {
    (State.QUEUED, Input.CHANNEL_OPENED): (Action.START_UPLOAD, State.OPEN),
    (State.QUEUED, Input.CHANNEL_HELD): (Action.HOLD_UPLOAD, State.HELD),
    (State.HELD, Input.HOLD_EXPIRED): (Action.START_UPLOAD, State.OPEN),
    (State.OPEN, Input.CLIENT_EOF): (Action.HOLD_EOF, State.HALF_CLOSED),
    (State.HALF_CLOSED, Input.EOF_DUE): (Action.SEND_EOF, State.EOF_SENT),
    (State.HELD, Input.POD_EOF): (Action.STOP_UPLOAD, State.POD_ENDED),
    (State.OPEN, Input.POD_EOF): (Action.STOP_UPLOAD, State.POD_ENDED),
    (State.HALF_CLOSED, Input.POD_EOF): (Action.STOP_UPLOAD, State.POD_ENDED),
    (State.EOF_SENT, Input.POD_EOF): (Action.STOP_UPLOAD, State.POD_ENDED_AFTER_EOF),
    **{
        (state, Input.CHANNEL_CLOSED): (Action.DELIVER, State.DRAINING)
        for state in (*_BEFORE_EOF, *_AFTER_EOF)
    },
    **{
        (state, failure): (Action.DELIVER, State.DRAINING_FAILED)
        for state in _BEFORE_EOF
        for failure in _CHANNEL_FAILURES
    },
    # The runtime cuts the application off one second after a FIN, which it reports as a
    # failure. A lost tunnel is a failure all the same.
    **{(state, Input.CHANNEL_FAILED): (Action.DELIVER, State.DRAINING) for state in _AFTER_EOF},
    **{(state, Input.TUNNEL_LOST): (Action.DELIVER, State.DRAINING_FAILED) for state in _AFTER_EOF},
    (State.DRAINING, Input.DELIVERED): (Action.FINISH, State.CLOSED),
    (State.DRAINING_FAILED, Input.DELIVERED): (Action.REPORT_FAILURE, State.FAILED),
    (State.FAILED, Input.RETRY): (Action.NONE, State.QUEUED),
    **{
        (state, Input.ENDED): (Action.RELEASE, State.CLOSED)
        for state in State
        if state is not State.CLOSED
    },
}
"""All transitions that do something; any other input leaves the state as it is."""

PUBLIC_STATES: Final = dict.fromkeys(State, ConnectionState.CLOSING) | {
    State.QUEUED: ConnectionState.QUEUED,
    State.HELD: ConnectionState.OPEN,
    State.OPEN: ConnectionState.OPEN,
    State.CLOSED: ConnectionState.CLOSED,
}


def next_transition(state: State, event: Input) -> tuple[Action, State]:
    """Return what to do on an input, and the state after it."""
    return TRANSITIONS.get((state, event), (Action.NONE, state))
