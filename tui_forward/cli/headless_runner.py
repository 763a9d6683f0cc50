"""Forwards without a dashboard: start them, print their events, stop them on a signal.

A forward that cannot become ready until someone changes something is an error of the command. An
API server that does not answer is waited for, and so is a login. A forward that was ready once
stays active whatever happens later: it waits, reconnects, or reports what it needs from the user.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from tui_forward.cli.event_output import EventPrinter
from tui_forward.common.arguments import format_duration_arg, is_loopback
from tui_forward.errors import ConfigError, ForwardError, TransportError
from tui_forward.model import (
    BlockedBy,
    EventKind,
    Forward,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    ReasonCode,
    Snapshot,
)
from tui_forward.reasons import is_login
from tui_forward.session import Session
from tui_forward.session.batch import run_batch

# Interval of health checks while a forward was never ready.
_HEALTH_S = 0.2
# Faults of a connection to an API server that time does not cure.
_WRONG_SERVER = frozenset(
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
# How long to wait for the last events of forwards.
_STOP_S = 2.0


class StartError(ForwardError):
    """A forward cannot become ready without action by the user."""


class HeadlessRunner:
    """Runs forwards on a session until a stop event. The session is not closed here.

    A forward that is not ready `first_ready_s` after the start is an error; None waits forever.
    """

    def __init__(
        self, session: Session, printer: EventPrinter, *, first_ready_s: float | None = None
    ) -> None:
        self._session = session
        self._printer = printer
        self._first_ready_s = first_ready_s
        self._pending: dict[str, ForwardSpec] = {}  # started, never ready yet
        self._active: dict[str, ForwardSpec] = {}
        self._announced: dict[str, tuple[tuple[LocalAddress, ...], int | None]] = {}
        self._event_seen = asyncio.Event()
        self._insecure: set[str] = set()  # contexts that a note was printed for

    async def run(self, specs: Sequence[ForwardSpec], stop: asyncio.Event) -> None:
        """Start `specs`; return once `stop` is set and all of them are stopped."""
        self._note_exposure(specs)
        printing = asyncio.create_task(self._print_events(), name="headless-events")
        stopping = asyncio.create_task(stop.wait(), name="headless-stop")
        starting = asyncio.create_task(self._start(specs), name="headless-start")
        pending: set[asyncio.Task[object]] = {printing, stopping, starting}
        try:
            while stopping in pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if printing in done:
                    raise TransportError("the engine's event stream ended")
        finally:
            # No forward may start while all of them are being stopped.
            await _cancel(starting, stopping)
            await self._stop_all(printing)
            await _cancel(printing)

    async def _start(self, specs: Sequence[ForwardSpec]) -> None:
        """Start all forwards and watch them until each was ready once."""
        for spec in specs:
            forward_id = await self._session.start(spec)
            self._pending[forward_id] = self._active[forward_id] = spec
        await self._watch_start()

    def _note_exposure(self, specs: Sequence[ForwardSpec]) -> None:
        exposed = sorted({a for spec in specs for a in spec.addresses if not is_loopback(a)})
        if exposed:
            self._printer.note(
                f"listening on {', '.join(exposed)}: other machines may reach this forward"
            )

    async def _print_events(self) -> None:
        """Print the session's events."""
        async for event in self._session.events():
            self._printer.event(event)
            if event.event is EventKind.STATE and event.state is ForwardState.READY:
                await self._announce(event.forward)
            elif event.event is EventKind.STOPPED:
                self._active.pop(event.forward, None)
                self._pending.pop(event.forward, None)
            self._event_seen.set()

    async def _announce(self, forward_id: str) -> None:
        """Print the addresses of a forward, at first and whenever they change."""
        for forward in (await self._session.snapshot()).forwards:
            addresses = (forward.listening, forward.remote_port)
            if (
                forward.id == forward_id
                and forward.listening
                and forward.remote_port is not None
                and self._announced.get(forward_id) != addresses
            ):
                self._note_other_port(forward)
                self._note_insecure(forward)
                self._announced[forward_id] = addresses
                self._printer.ready(forward)
        self._pending.pop(forward_id, None)

    def _note_other_port(self, forward: Forward) -> None:
        """Print a note if no local port was given and it differs from the remote one."""
        local = forward.listening[0].port
        remote = forward.spec.target.port
        if (
            forward.id not in self._announced
            and forward.spec.local_port is None
            and remote.isdigit()
            and int(remote) != local
        ):
            cause = "needs privileges" if int(remote) < 1024 else "is in use"
            self._printer.note(
                f"local port {remote} {cause}, listening on {local} instead",
                f"choose a local port with LOCAL:{remote}",
            )

    def _note_insecure(self, forward: Forward) -> None:
        """Print a note, once per context, if the API server's certificate is not verified."""
        context = forward.spec.target.context
        if forward.insecure and context not in self._insecure:
            self._insecure.add(context)
            self._printer.note(
                f"the certificate of the API server of {context} is not verified "
                "(insecure-skip-tls-verify)",
                "set certificate-authority in the kubeconfig instead",
            )

    async def _watch_start(self) -> None:
        """Raise on what only the user can change until every forward was ready once.

        Outages are waited for, as they are later; the events print them.
        """
        loop = asyncio.get_running_loop()
        begun_at = loop.time()
        while self._pending:
            snapshot = await self._session.snapshot()
            for forward in snapshot.forwards:
                is_blocked = forward.state is ForwardState.BLOCKED and not is_login(forward.code)
                if forward.id in self._pending and is_blocked:
                    raise StartError(forward.reason, hint=forward.hint)
            contexts = {spec.target.context for spec in self._pending.values()}
            for health in snapshot.health:
                affected = health.context in contexts or "" in contexts
                wrong = health.blocked_by is not None or health.code in _WRONG_SERVER
                wrong = wrong and not is_login(health.code)
                if health.ok is False and health.error and affected and wrong:
                    kind = ConfigError if health.blocked_by is BlockedBy.CONFIG else StartError
                    raise kind(health.error, hint=health.hint)
            if self._first_ready_s is not None and loop.time() - begun_at > self._first_ready_s:
                self._raise_not_ready(snapshot, self._first_ready_s)
            self._event_seen.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HEALTH_S):
                    await self._event_seen.wait()

    def _raise_not_ready(self, snapshot: Snapshot, waited_s: float) -> None:
        """Raise for the first forward that was never ready."""
        for forward in snapshot.forwards:
            if forward.id in self._pending:
                raise StartError(
                    f"not ready within {format_duration_arg(waited_s)}: {forward.reason}",
                    hint=forward.hint or "Wait longer with --pod-running-timeout",
                )

    async def _stop_all(self, printing: asyncio.Task[None]) -> None:
        """Stop every forward and print its last events, within `_STOP_S`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await run_batch(self._session.stop, list(self._active), timeout_s=_STOP_S)
                while self._active and not printing.done():
                    self._event_seen.clear()
                    await self._event_seen.wait()


async def _cancel(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
