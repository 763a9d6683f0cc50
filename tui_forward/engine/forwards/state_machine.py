"""State machine of a forward as a table: state × input → next status. Pure.

`READY` is entered by `TunnelUp` alone, and `TunnelLost` and `PodMissing` leave it at once. A tunnel
to a container that crash-loops carries connections, but the forward stays `WAITING`.
Inputs are events that have happened. `TABLE` has a rule for every pair, `_keep` where the input
does not change the status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tui_forward import reasons
from tui_forward.model import BlockedBy, ForwardState, Reason, ReasonCode

STARTING = ForwardState.STARTING
WAITING = ForwardState.WAITING
CONNECTING = ForwardState.CONNECTING
READY = ForwardState.READY
RECONNECTING = ForwardState.RECONNECTING
BLOCKED = ForwardState.BLOCKED
STOPPED = ForwardState.STOPPED


# --------------------------------------------------------------------------------- Status


@dataclass(frozen=True, slots=True)
class Status:
    """Status of a forward as users see it."""

    state: ForwardState  # one of the states
    reason: Reason  # why it is in this state
    # Epoch seconds of the next attempt, where the state waits for a clock.
    retry_at: float | None = None
    paused: bool = False  # stopped by the user for a while
    # It has been ready since it was started or resumed: from then on a failure leads to
    # `RECONNECTING`, not to `CONNECTING`, and to `WAITING` only if a pod has to run first.
    was_ready: bool = False
    lost: Reason | None = None  # why it is not ready any more; begins every `RECONNECTING` reason
    dialing: Reason | None = None  # reason of the latest dial
    tunnel_up: Reason | None = None  # reason of the latest `TunnelUp`, until the tunnel is lost
    refused: Reason | None = None  # why the port refuses connections, while `READY`
    address_taken: Reason | None = None  # which local address another program holds

    @property
    def hint(self) -> str:
        """What the user can do, if anything."""
        return reasons.reason_hint(self.reason)

    @property
    def blocked_by(self) -> BlockedBy | None:
        """Set exactly in `BLOCKED`."""
        return reasons.blocked_by(self.reason) if self.state is BLOCKED else None

    @property
    def admits(self) -> bool:
        """Whether connections may use the tunnel."""
        return self.tunnel_up is not None

    @property
    def warnings(self) -> tuple[Reason, ...]:
        """What is wrong although the forward may work, the worst first."""
        found: list[Reason] = []
        if self.state is READY:
            up = self.tunnel_up
            cautious = up is not None and up.code is not ReasonCode.FORWARD_READY
            found += filter(None, (self.refused, up if cautious else None))
        if self.address_taken is not None:
            found.append(self.address_taken)
        return tuple(found)


INITIAL = Status(STARTING, Reason(code=ReasonCode.FORWARD_STARTING))


# --------------------------------------------------------------------------------- Inputs


@dataclass(frozen=True, slots=True)
class _WithReason:
    reason: Reason


class ListenerBlocked(_WithReason):
    """The local port cannot be opened; it is retried automatically."""


@dataclass(frozen=True, slots=True)
class PodMissing(_WithReason):
    """The target has no usable pod now."""

    # Why the previous pod cannot be used, where `reason` does not name that pod.
    lost: Reason | None = None


class PodMoved(_WithReason):
    """The target resolves to another pod than the one the tunnel goes to."""


class DialStarted(_WithReason):
    """A tunnel is being opened."""


class LoginPending(_WithReason):
    """Credentials have to come first: a plugin runs, which may wait for the user."""


@dataclass(frozen=True, slots=True)
class DialFailed(_WithReason):
    """No tunnel could be opened."""

    retry_at: float | None  # `steady_time` of the next attempt


class TunnelUp(_WithReason):
    """A tunnel is upgraded and has answered."""


class TunnelLost(_WithReason):
    """The last tunnel is gone, or does not answer."""


class PortRefused(_WithReason):
    """A container that runs refuses connections to the port."""


@dataclass(frozen=True, slots=True)
class PortAnswered:
    """The port has accepted a connection."""


class AddressTaken(_WithReason):
    """Another program holds one of the local addresses; the others are open."""


@dataclass(frozen=True, slots=True)
class AddressOpened:
    """All local addresses are open."""


@dataclass(frozen=True, slots=True)
class Failed(_WithReason):
    """The program itself failed; the forward restarts at `retry_at`."""

    retry_at: float


@dataclass(frozen=True, slots=True)
class Paused:
    """The user paused it."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The user resumed it."""


class Stopped(_WithReason):
    """It has ended."""


Input = (
    ListenerBlocked
    | PodMissing
    | PodMoved
    | DialStarted
    | LoginPending
    | DialFailed
    | TunnelUp
    | TunnelLost
    | PortRefused
    | PortAnswered
    | AddressTaken
    | AddressOpened
    | Failed
    | Paused
    | Resumed
    | Stopped
)


# ---------------------------------------------------------------------------------- Rules

# The keys of the table select the rule by the type of the input.
Rule = Callable[[Status, Any], Status]


def _enter(status: Status, state: ForwardState, reason: Reason) -> Status:
    entered = replace(status, state=state, reason=reason, retry_at=None, paused=False, dialing=None)
    return entered if state is READY else replace(entered, tunnel_up=None, refused=None)


def _show(status: Status) -> Status:
    """Return the status with the reason to show: the worst warning while `READY`."""
    if status.state is not READY or status.tunnel_up is None:
        return status
    reason = next(iter(status.warnings), status.tunnel_up)
    if reason is status.address_taken:
        reason = reasons.add_previous(reason, status.tunnel_up)
    return replace(status, reason=reason)


def _reconnect(status: Status, reason: Reason) -> Status:
    return _enter(status, RECONNECTING, reasons.add_previous(reason, status.lost))


def _keep(status: Status, _: Input) -> Status:
    return status


def _block_listener(status: Status, event: ListenerBlocked) -> Status:
    return _enter(status, BLOCKED, event.reason)


def _miss_pod(status: Status, event: PodMissing) -> Status:
    if reasons.blocked_by(event.reason) is not None:
        return _enter(status, BLOCKED, event.reason)
    if status.was_ready and not reasons.waits_for_pod(event.reason):
        return _reconnect(status, event.reason)
    resolving = event.reason.code is ReasonCode.TARGET_RESOLVING
    return _enter(status, STARTING if resolving else WAITING, event.reason)


def _miss_pod_while_ready(status: Status, event: PodMissing) -> Status:
    # The missing pod is itself the reason why the forward is not ready any more.
    return _miss_pod(replace(status, lost=event.lost), event)


def _lose_tunnel(status: Status, event: TunnelLost | PodMoved) -> Status:
    return _enter(replace(status, lost=event.reason), RECONNECTING, event.reason)


def _start_dial(status: Status, event: DialStarted) -> Status:
    if status.retry_at is not None and status.dialing == event.reason:
        # A repeated attempt: why the last one failed is more useful, and a text that changes
        # a dozen times a second cannot be read.
        return replace(status, retry_at=None)
    if _is_unstable(event.reason):
        return _enter(status, WAITING, event.reason)
    if status.was_ready:
        dialing = _reconnect(status, event.reason)
    else:
        dialing = _enter(status, CONNECTING, event.reason)
    return replace(dialing, dialing=event.reason)


def _pend_login(status: Status, event: LoginPending) -> Status:
    if reasons.blocked_by(event.reason) is not None:
        return _enter(status, BLOCKED, event.reason)
    if status.was_ready:
        return _reconnect(status, event.reason)
    return _enter(status, CONNECTING, event.reason)


def _fail_dial(status: Status, event: DialFailed) -> Status:
    if reasons.blocked_by(event.reason) is not None:
        failed = _enter(status, BLOCKED, event.reason)
    elif status.state is WAITING and _is_unstable(status.reason):
        return status  # the container is about to crash, or to be stable and dialed again
    elif status.was_ready:
        failed = _reconnect(status, event.reason)
    else:
        failed = _enter(status, CONNECTING, event.reason)
    return replace(failed, retry_at=event.retry_at, dialing=status.dialing)


def _is_unstable(reason: Reason) -> bool:
    return reason.code is ReasonCode.POD_UNSTABLE


def _become_ready(status: Status, event: TunnelUp) -> Status:
    if _is_unstable(event.reason):
        return replace(_enter(status, WAITING, event.reason), tunnel_up=event.reason)
    ready = _enter(status, READY, event.reason)
    return _show(replace(ready, was_ready=True, lost=None, tunnel_up=event.reason))


def _lose_tunnel_while_waiting(status: Status, _: Input) -> Status:
    return replace(status, tunnel_up=None)


def _refuse(status: Status, event: PortRefused) -> Status:
    return _show(replace(status, refused=event.reason))


def _answer(status: Status, _: Input) -> Status:
    return _show(replace(status, refused=None))


def _miss_address(status: Status, event: AddressTaken) -> Status:
    return _show(replace(status, address_taken=event.reason))


def _open_address(status: Status, _: Input) -> Status:
    return _show(replace(status, address_taken=None))


def _fail(status: Status, event: Failed) -> Status:
    state = RECONNECTING if status.was_ready else STARTING
    return replace(_enter(status, state, event.reason), lost=None, retry_at=event.retry_at)


def _pause(status: Status, _: Input) -> Status:
    paused = _enter(status, STOPPED, Reason(code=ReasonCode.FORWARD_PAUSED))
    return replace(paused, paused=True, was_ready=False, lost=None)


def _resume_if_paused(status: Status, _: Input) -> Status:
    if not status.paused:
        return status
    return _enter(status, STARTING, Reason(code=ReasonCode.FORWARD_RESUMING))


def _stop(status: Status, event: Stopped) -> Status:
    return _enter(status, STOPPED, event.reason)


# ------------------------------------------------------------------------------ The table

# BLOCKED is left by each input that proves the obstacle gone: a pod that is looked up, a dial, a
# tunnel. Without a local port `forward` does none of these, so BLOCKED by PORT is left once the
# port is open, not before.
_BEFORE_READY: Mapping[type[Input], Rule] = {
    ListenerBlocked: _keep,
    PodMissing: _miss_pod,
    PodMoved: _keep,  # not ready: the pod that is dialed next is named by DialStarted
    DialStarted: _start_dial,
    LoginPending: _pend_login,
    DialFailed: _fail_dial,
    TunnelUp: _become_ready,
    TunnelLost: _keep,  # there was none
    PortRefused: _keep,
    PortAnswered: _keep,
    AddressTaken: _miss_address,
    AddressOpened: _open_address,
    Failed: _fail,
    Paused: _pause,
    Resumed: _keep,
    Stopped: _stop,
}

TABLE: Mapping[ForwardState, Mapping[type[Input], Rule]] = {
    STARTING: {**_BEFORE_READY, ListenerBlocked: _block_listener},
    WAITING: {
        **_BEFORE_READY,
        ListenerBlocked: _block_listener,
        PodMoved: _lose_tunnel_while_waiting,
        TunnelLost: _lose_tunnel_while_waiting,
    },
    CONNECTING: _BEFORE_READY,
    READY: {
        **_BEFORE_READY,
        PodMissing: _miss_pod_while_ready,
        PodMoved: _lose_tunnel,
        DialStarted: _keep,  # another tunnel beside the one that is up
        LoginPending: _keep,  # its tunnel is authenticated already
        DialFailed: _keep,
        TunnelLost: _lose_tunnel,
        PortRefused: _refuse,
        PortAnswered: _answer,
    },
    RECONNECTING: {**_BEFORE_READY, PodMoved: _lose_tunnel},
    BLOCKED: {**_BEFORE_READY, ListenerBlocked: _block_listener},
    STOPPED: {
        **dict.fromkeys(_BEFORE_READY, _keep),
        AddressTaken: _miss_address,
        AddressOpened: _open_address,
        Resumed: _resume_if_paused,
        Stopped: _stop,
    },
}


def next_status(status: Status, event: Input) -> Status:
    """Return the status after an input. Total: every pair of state and input has a rule."""
    return TABLE[status.state][type(event)](status, event)
