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
from tui_forward.common.arguments import is_loopback
from tui_forward.errors import TransportError
from tui_forward.model import EventKind, Forward, ForwardSpec, ForwardState, LocalAddress
from tui_forward.session import Session
from tui_forward.session.batch import run_batch
from tui_forward.session.start_monitor import StartMonitor

# How long to wait for the last events of forwards.
_STOP_S = 2.0


class HeadlessRunner:
    """Runs forwards on a session until a stop event. The session is not closed here.

    A forward that is not ready `first_ready_s` after the start is an error; None waits forever.
    """

    def __init__(
        self, session: Session, printer: EventPrinter, *, first_ready_s: float | None = None
    ) -> None:
        self._session = session
        self._printer = printer
        self._start_monitor = StartMonitor(
            session, timeout_s=first_ready_s, hint="Wait longer with --pod-running-timeout"
        )
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
            self._active[forward_id] = spec
            self._start_monitor.add(forward_id, spec)
        await self._start_monitor.wait()

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
            self._start_monitor.notice(event)
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
