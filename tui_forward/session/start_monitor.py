"""The wait of a front end until forwards that it has started are ready."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from tui_forward.common.arguments import format_duration_arg
from tui_forward.errors import ConfigError, NotReadyError, StartError, TuiForwardError
from tui_forward.model import (
    BlockedBy,
    Event,
    EventKind,
    ForwardSpec,
    ForwardState,
    ReasonCode,
    Snapshot,
)
from tui_forward.reasons import is_login
from tui_forward.session import Session

# Interval of looks at the health of API servers.
_HEALTH_S: Final = 0.2
# Faults of a connection to an API server that time does not cure.
_WRONG_SERVER: Final = frozenset(
    {
        ReasonCode.API_REDIRECTED,
        ReasonCode.API_UNKNOWN_PATH,
        ReasonCode.NETWORK_CERTIFICATE,
        ReasonCode.NETWORK_CERTIFICATE_EXPIRED,
        ReasonCode.NETWORK_CERTIFICATE_NAME,
        ReasonCode.NETWORK_CERTIFICATE_NOT_YET_VALID,
        ReasonCode.NETWORK_CLIENT_CERTIFICATE,
        ReasonCode.NETWORK_DNS,
        ReasonCode.NETWORK_NOT_HTTP,
        ReasonCode.NETWORK_NOT_TLS,
        ReasonCode.NETWORK_PROTOCOL,
        ReasonCode.NETWORK_PROXY_AUTH,
        ReasonCode.NETWORK_PROXY_NOT_HTTP,
        ReasonCode.NETWORK_PROXY_REFUSED,
    }
)


class StartMonitor:
    """Waits until each of its forwards was ready once, or has its local port if that is enough.

    What only the user can change is an error: a forward that is blocked, a server that is not the
    right one. An API server that does not answer is waited for, and so is a login. Forwards that
    are not ready after `timeout_s` are an error with `hint`, unless their state has one; None waits
    forever. The owner passes all events of the session to `notice`.
    """

    def __init__(self, session: Session, *, timeout_s: float | None, hint: str) -> None:
        self._session = session
        self._timeout_s = timeout_s
        self._hint = hint
        self._pending: dict[str, ForwardSpec] = {}
        self._need_port: set[str] = set()  # those of them that need no more
        self._changed = asyncio.Event()

    def add(self, forward_id: str, spec: ForwardSpec, *, only_port: bool = False) -> None:
        """Wait for a forward that was just started, with `only_port` until it has its port."""
        self._pending[forward_id] = spec
        if only_port:
            self._need_port.add(forward_id)

    def notice(self, event: Event) -> None:
        """Take a forward as started that is ready, or was stopped."""
        is_ready = event.event is EventKind.STATE and event.state is ForwardState.READY
        if is_ready or event.event is EventKind.STOPPED:
            self._pending.pop(event.forward, None)
        self._changed.set()

    async def wait(self) -> None:
        """Return once every forward was ready or stopped. StartError, ConfigError: see the class.

        Cancellation has no effect on the forwards.
        """
        loop = asyncio.get_running_loop()
        begun_at = loop.time()
        while self._pending:
            snapshot = await self._session.snapshot()
            self._remove_started(snapshot)
            self._raise_problem(snapshot)
            if self._timeout_s is not None and loop.time() - begun_at > self._timeout_s:
                self._raise_not_ready(snapshot, self._timeout_s)
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HEALTH_S):
                    await self._changed.wait()

    def _remove_started(self, snapshot: Snapshot) -> None:
        """Remove what is ready, or gone: its event may have come before `add`."""
        waiting = {
            one.id
            for one in snapshot.forwards
            if one.state is not ForwardState.READY
            and not (one.id in self._need_port and one.listening)
        }
        for forward_id in self._pending.keys() - waiting:
            del self._pending[forward_id]

    def _raise_problem(self, snapshot: Snapshot) -> None:
        """Raise on what time does not cure."""
        for forward in snapshot.forwards:
            is_blocked = forward.state is ForwardState.BLOCKED and not is_login(forward.code)
            if forward.id in self._pending and is_blocked:
                raise _error_of(forward.blocked_by)(
                    forward.reason, hint=forward.hint, code=forward.code
                )
        contexts = {spec.target.context for spec in self._pending.values()}
        for health in snapshot.health:
            affected = health.context in contexts or "" in contexts
            wrong = health.blocked_by is not None or health.code in _WRONG_SERVER
            wrong = wrong and not is_login(health.code)
            if health.ok is False and health.error and affected and wrong:
                raise _error_of(health.blocked_by)(health.error, hint=health.hint, code=health.code)

    def _raise_not_ready(self, snapshot: Snapshot, waited_s: float) -> None:
        """Raise for the first forward that was never ready."""
        for forward in snapshot.forwards:
            if forward.id in self._pending:
                raise NotReadyError(
                    f"not ready within {format_duration_arg(waited_s)}: {forward.reason}",
                    hint=forward.hint or self._hint,
                    code=forward.code,
                )


def _error_of(blocked_by: BlockedBy | None) -> type[TuiForwardError]:
    return ConfigError if blocked_by is BlockedBy.CONFIG else StartError
