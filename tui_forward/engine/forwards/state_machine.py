"""The state of a forward as a table: state × input → the next status, in words.

Pure. `forward` does the I/O and feeds what it learns in here; nothing else decides what a
person is told. The rule that matters most: `READY` is entered by `TunnelUp` alone, and
`TunnelLost` and `PodMissing` leave it at once.

Inputs are past tense: things that have happened. `TABLE` has a cell for every pair; a cell
holds the rule to apply, or `keep` where the input does not change what is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tui_forward.model import BlockedBy, ForwardState

STARTING = ForwardState.STARTING
WAITING = ForwardState.WAITING
CONNECTING = ForwardState.CONNECTING
READY = ForwardState.READY
RECONNECTING = ForwardState.RECONNECTING
BLOCKED = ForwardState.BLOCKED
STOPPED = ForwardState.STOPPED


# --------------------------------------------------------------------------------------
# What is shown
# --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Status:
    """What a person is told about a forward.

    Attributes:
        state: One of the states.
        reason: Never empty.
        hint: What the person can do, if anything.
        blocked_by: Set exactly in `BLOCKED`.
        retry_at: Epoch seconds of the next try, where the state waits for a clock.
        paused: Stopped with the intention to go on.
        was_ready: It has been ready since it was started or resumed: from then on trouble
            is `RECONNECTING`, not `WAITING` or `CONNECTING`.
        lost: Why it is not ready any more; begins every `RECONNECTING` reason.
        dialling: What the latest dial is about.
    """

    state: ForwardState
    reason: str
    hint: str = ""
    blocked_by: BlockedBy | None = None
    retry_at: float | None = None
    paused: bool = False
    was_ready: bool = False
    lost: str = ""
    dialling: str = ""


INITIAL = Status(STARTING, "opening the local port")


# --------------------------------------------------------------------------------------
# What has happened
# --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListenerBlocked:
    """The local port cannot be had; it is tried again by itself."""

    reason: str
    hint: str = ""
    blocked_by: BlockedBy = BlockedBy.PORT


@dataclass(frozen=True, slots=True)
class PodMissing:
    """The target means no usable pod now.

    Attributes:
        lost: What became of the pod there was, where `reason` does not say it.
        pending: Whether there is one is not known yet.
    """

    reason: str
    hint: str = ""
    blocked_by: BlockedBy | None = None
    lost: str = ""
    pending: bool = False


@dataclass(frozen=True, slots=True)
class PodMoved:
    """The target means another pod than the one the tunnel goes to."""

    reason: str


@dataclass(frozen=True, slots=True)
class DialStarted:
    """A tunnel is being opened."""

    reason: str


@dataclass(frozen=True, slots=True)
class DialFailed:
    """No tunnel could be opened.

    Attributes:
        retry_at: Epoch seconds of the next try.
        blocked_by: Set when waiting alone cannot help.
    """

    reason: str
    retry_at: float | None
    hint: str = ""
    blocked_by: BlockedBy | None = None


@dataclass(frozen=True, slots=True)
class TunnelUp:
    """A tunnel is upgraded and has answered."""

    reason: str


@dataclass(frozen=True, slots=True)
class TunnelLost:
    """The last tunnel is gone, or does not answer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The program itself failed; the forward starts over at `retry_at`."""

    reason: str
    retry_at: float


@dataclass(frozen=True, slots=True)
class Paused:
    """The person stopped it for a while."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The person goes on."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """It is over."""

    reason: str


Input = (
    ListenerBlocked
    | PodMissing
    | PodMoved
    | DialStarted
    | DialFailed
    | TunnelUp
    | TunnelLost
    | Failed
    | Paused
    | Resumed
    | Stopped
)


# --------------------------------------------------------------------------------------
# Rules
# --------------------------------------------------------------------------------------

Rule = Callable[[Status, Input], Status]


def _because(status: Status, now: str) -> str:
    """What happens now, behind why it is not ready any more; says nothing twice."""
    if not status.lost or status.lost in now:
        return now
    return f"{status.lost}; {now}"


def _clear(status: Status, state: ForwardState, reason: str) -> Status:
    return replace(
        status, state=state, reason=reason, hint="", blocked_by=None, retry_at=None, paused=False,
        dialling="",
    )  # fmt: skip


def _keep(status: Status, _: Input) -> Status:
    return status


def _port_blocked(status: Status, given: Input) -> Status:
    assert isinstance(given, ListenerBlocked)
    blocked = _clear(status, BLOCKED, given.reason)
    return replace(blocked, hint=given.hint, blocked_by=given.blocked_by)


def _pod_missing(status: Status, given: Input) -> Status:
    assert isinstance(given, PodMissing)
    if given.blocked_by is not None:
        blocked = _clear(status, BLOCKED, given.reason)
        return replace(blocked, hint=given.hint, blocked_by=given.blocked_by)
    if status.was_ready:
        waiting = _clear(status, RECONNECTING, _because(status, given.reason))
    else:
        waiting = _clear(status, STARTING if given.pending else WAITING, given.reason)
    return replace(waiting, hint=given.hint)


def _pod_missing_while_ready(status: Status, given: Input) -> Status:
    # The pod that is missing is itself the reason why it is not ready any more.
    assert isinstance(given, PodMissing)
    return _pod_missing(replace(status, lost=given.lost), given)


def _lost(status: Status, given: Input) -> Status:
    assert isinstance(given, TunnelLost | PodMoved)
    return _clear(replace(status, lost=given.reason), RECONNECTING, given.reason)


def _dialling(status: Status, given: Input) -> Status:
    assert isinstance(given, DialStarted)
    if status.retry_at is not None and status.dialling == given.reason:
        # The same once more: why it failed says more, and words that change a dozen times a
        # second cannot be read.
        return replace(status, retry_at=None)
    if status.was_ready:
        dialling = _clear(status, RECONNECTING, _because(status, given.reason))
    else:
        dialling = _clear(status, CONNECTING, given.reason)
    return replace(dialling, dialling=given.reason)


def _dial_failed(status: Status, given: Input) -> Status:
    assert isinstance(given, DialFailed)
    if given.blocked_by is not None:
        failed = replace(_clear(status, BLOCKED, given.reason), blocked_by=given.blocked_by)
    elif status.was_ready:
        failed = _clear(status, RECONNECTING, _because(status, given.reason))
    else:
        failed = _clear(status, CONNECTING, given.reason)
    return replace(failed, hint=given.hint, retry_at=given.retry_at, dialling=status.dialling)


def _up(status: Status, given: Input) -> Status:
    assert isinstance(given, TunnelUp)
    return replace(_clear(status, READY, given.reason), was_ready=True, lost="")


def _failed(status: Status, given: Input) -> Status:
    assert isinstance(given, Failed)
    if status.was_ready:
        return replace(
            _clear(replace(status, lost=""), RECONNECTING, given.reason), retry_at=given.retry_at
        )
    return replace(_clear(status, STARTING, given.reason), retry_at=given.retry_at)


def _paused(status: Status, _: Input) -> Status:
    paused = _clear(status, STOPPED, "paused; the local port is kept, connections are refused")
    return replace(paused, paused=True, was_ready=False, lost="")


def _resumed(status: Status, _: Input) -> Status:
    return _clear(status, STARTING, "going on")


def _resumed_if_paused(status: Status, given: Input) -> Status:
    return _resumed(status, given) if status.paused else status


def _stopped(status: Status, given: Input) -> Status:
    assert isinstance(given, Stopped)
    return _clear(status, STOPPED, given.reason)


# --------------------------------------------------------------------------------------
# The table
# --------------------------------------------------------------------------------------

# BLOCKED is left by whatever shows that the obstacle is gone: a pod that is looked for, a
# dial, a tunnel. Without a local port `forward` does none of these, so BLOCKED by PORT is left
# when the port is there, and not before.
_BEFORE_READY: Mapping[type[Input], Rule] = {
    ListenerBlocked: _keep,
    PodMissing: _pod_missing,
    PodMoved: _keep,  # not ready: the pod that is dialled next is named by DialStarted
    DialStarted: _dialling,
    DialFailed: _dial_failed,
    TunnelUp: _up,
    TunnelLost: _keep,  # there was none
    Failed: _failed,
    Paused: _paused,
    Resumed: _keep,
    Stopped: _stopped,
}

TABLE: Mapping[ForwardState, Mapping[type[Input], Rule]] = {
    STARTING: {**_BEFORE_READY, ListenerBlocked: _port_blocked},
    WAITING: {**_BEFORE_READY, ListenerBlocked: _port_blocked},
    CONNECTING: _BEFORE_READY,
    READY: {
        **_BEFORE_READY,
        PodMissing: _pod_missing_while_ready,
        PodMoved: _lost,
        DialStarted: _keep,  # a further tunnel beside the one that is up
        DialFailed: _keep,
        TunnelLost: _lost,
    },
    RECONNECTING: {**_BEFORE_READY, PodMoved: _lost},
    BLOCKED: {**_BEFORE_READY, ListenerBlocked: _port_blocked},
    STOPPED: {
        **dict.fromkeys(_BEFORE_READY, _keep),
        Resumed: _resumed_if_paused,
        Stopped: _stopped,
    },
}


def next_status(status: Status, given: Input) -> Status:
    """The status after an input. Total: every pair of state and input has an answer."""
    return TABLE[status.state][type(given)](status, given)
