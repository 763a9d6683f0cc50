"""Forwards without a screen: start them, tell what happens, end when told to.

A forward that cannot begin is a failure of the command. One that was ready once is kept,
whatever happens to it later: it waits, reconnects, or says what it needs from the person.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from tui_forward.cli.event_output import EventPrinter
from tui_forward.common.arguments import is_loopback
from tui_forward.errors import ConfigError, ForwardError, TransportError, TuiForwardError
from tui_forward.model import (
    BlockedBy,
    EventKind,
    Forward,
    ForwardSpec,
    ForwardState,
    LocalAddress,
)
from tui_forward.session import Session

# How often the API server's health is looked at while nothing is ready yet.
_HEALTH_S = 0.2
# How long the last words of forwards are waited for at the end.
_STOP_S = 2.0


class StartError(ForwardError):
    """A forward will not become ready without a person."""


class HeadlessRunner:
    """Runs forwards on a session until told to stop.

    Args:
        session: Whose forwards they are. Not closed here.
        report: Who is told.
    """

    def __init__(self, session: Session, report: EventPrinter) -> None:
        self._session = session
        self._report = report
        self._pending: dict[str, ForwardSpec] = {}  # started, never ready yet
        self._alive: dict[str, ForwardSpec] = {}
        self._announced: dict[str, tuple[tuple[LocalAddress, ...], int | None]] = {}
        self._news = asyncio.Event()

    async def run(self, specs: Sequence[ForwardSpec], stop: asyncio.Event) -> None:
        """Start `specs`, and return once `stop` is set and everything has ended.

        Raises:
            UsageError: A spec makes no sense.
            TuiForwardError: A forward could not begin, or the session itself broke.
        """
        self._note_exposure(specs)
        telling = asyncio.create_task(self._tell_events(), name="headless-events")
        stopping = asyncio.create_task(stop.wait(), name="headless-stop")
        watching = asyncio.create_task(self._begin(specs), name="headless-start")
        waiting: set[asyncio.Task[object]] = {telling, stopping, watching}
        try:
            while stopping in waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if telling in done:
                    raise TransportError("the engine has stopped telling what happens")
        finally:
            # Nothing may be started any more while everything is being stopped.
            await _cancelled(watching, stopping)
            await self._end(telling)
            await _cancelled(telling)

    async def _begin(self, specs: Sequence[ForwardSpec]) -> None:
        """Start everything, and watch it until all of it was ready once."""
        for spec in specs:
            forward_id = await self._session.start(spec)
            self._pending[forward_id] = self._alive[forward_id] = spec
        await self._watch_start()

    def _note_exposure(self, specs: Sequence[ForwardSpec]) -> None:
        exposed = sorted({a for spec in specs for a in spec.addresses if not is_loopback(a)})
        if exposed:
            self._report.note(
                f"listening on {', '.join(exposed)}: other machines may reach this forward"
            )

    async def _tell_events(self) -> None:
        """Pass on events; those of a forward that is being started wait for its id."""
        async for event in self._session.events():
            self._report.event(event)
            if event.event is EventKind.STATE and event.state is ForwardState.READY:
                await self._announce(event.forward)
            elif event.event is EventKind.STOPPED:
                self._alive.pop(event.forward, None)
                self._pending.pop(event.forward, None)
            self._news.set()

    async def _announce(self, forward_id: str) -> None:
        """Tell where to connect, at first and whenever that has changed."""
        for forward in (await self._session.snapshot()).forwards:
            where = (forward.listening, forward.remote_port)
            if (
                forward.id == forward_id
                and forward.listening
                and forward.remote_port is not None
                and self._announced.get(forward_id) != where
            ):
                self._note_other_port(forward)
                self._announced[forward_id] = where
                self._report.ready(forward)
        self._pending.pop(forward_id, None)

    def _note_other_port(self, forward: Forward) -> None:
        """Nobody asked for a local port by number, but most will expect the remote one."""
        local = forward.listening[0].port
        wanted = forward.spec.target.port
        if (
            forward.id not in self._announced
            and forward.spec.local_port is None
            and wanted.isdigit()
            and int(wanted) != local
        ):
            why = "needs privileges" if int(wanted) < 1024 else "is in use"
            self._report.note(
                f"local port {wanted} {why}, listening on {local} instead",
                f"choose one yourself with LOCAL:{wanted}",
            )

    async def _watch_start(self) -> None:
        """While something is not ready yet, trouble with the API server ends the command.

        Afterwards the same trouble is an outage that forwards sit out.
        """
        while self._pending:
            snapshot = await self._session.snapshot()
            for forward in snapshot.forwards:
                if forward.id in self._pending and forward.state is ForwardState.BLOCKED:
                    raise StartError(forward.reason, hint=forward.hint)
            contexts = {spec.target.context for spec in self._pending.values()}
            for health in snapshot.health:
                concerned = health.context in contexts or "" in contexts
                if health.ok is False and health.error and concerned:
                    kind = ConfigError if health.blocked_by is BlockedBy.CONFIG else StartError
                    raise kind(health.error, hint=health.hint)
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HEALTH_S):
                    await self._news.wait()

    async def _end(self, telling: asyncio.Task[None]) -> None:
        """Stop every forward and pass on its last events, in bounded time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                for forward_id in list(self._alive):
                    with contextlib.suppress(TuiForwardError):
                        await self._session.stop(forward_id)
                while self._alive and not telling.done():
                    self._news.clear()
                    await self._news.wait()


async def _cancelled(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
