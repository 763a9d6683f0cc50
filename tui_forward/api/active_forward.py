"""A forward that runs: its address, its state, its connections and its events."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import TYPE_CHECKING, Final

from tui_forward.api.engine_thread import EngineThread
from tui_forward.api.loop_thread import stopped_error
from tui_forward.common.tasks import spawn
from tui_forward.errors import ForwardError, TransportError, UsageError
from tui_forward.model import EventKind
from tui_forward.session.start_monitor import StartMonitor

if TYPE_CHECKING:
    from tui_forward.model import Connection, Event, Forward, ForwardSpec, LocalAddress
    from tui_forward.session import Session

READY_TIMEOUT_S: Final = 30.0
TIMEOUT_HINT: Final = "wait longer with a higher timeout, and see the status of the forward"


class ForwardHandle:
    """Id and local address of a forward, and what can be asked about it, in the engine's thread."""

    def __init__(
        self, engine: EngineThread, forward_id: str, spec: ForwardSpec, address: LocalAddress
    ) -> None:
        self.engine = engine
        self.id = forward_id
        self.address = address  # a forward keeps its port, however often it reconnects
        self._spec = spec

    async def status(self, session: Session) -> Forward:
        """Return the forward as it is now; ForwardError after its end."""
        for forward in (await session.snapshot()).forwards:
            if forward.id == self.id:
                return forward
        raise stopped_error()

    async def wait_ready(self, session: Session, timeout_s: float | None) -> Forward:
        """Return the forward once it is ready. Errors: see `StartMonitor`."""
        monitor = StartMonitor(session, timeout_s=timeout_s, hint=TIMEOUT_HINT)
        monitor.add(self.id, self._spec)
        async with watched_by(session, monitor):
            await monitor.wait()
        return await self.status(session)

    async def connections(self, session: Session) -> tuple[Connection, ...]:
        """Return open and recently closed connections, oldest first."""
        return await session.connections(self.id)

    async def reconnect(self, session: Session) -> None:
        """Cut the current tunnels and dial now."""
        await session.reconnect(self.id)

    async def stop(self, session: Session) -> None:
        """Stop the forward, unless it is stopped already or its engine is gone."""
        with contextlib.suppress(UsageError, TransportError):
            await session.stop(self.id)

    async def events(self, session: Session) -> AsyncGenerator[Event, None]:
        """Yield the events of the forward from its start to its end."""
        async for event in session.events():
            if event.forward == self.id:
                yield event
                if event.event is EventKind.STOPPED:
                    return


class LocalEnd:
    """The address of a forward on this machine, which stays the same while it runs."""

    def __init__(self, handle: ForwardHandle) -> None:
        self._handle = handle

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._handle.id} {self.host}:{self.port}>"

    @property
    def host(self) -> str:
        """The local IP address: the first one if the forward listens on several."""
        return self._handle.address.host

    @property
    def port(self) -> int:
        """The local port."""
        return self._handle.address.port

    def url(self, scheme: str = "http", path: str = "") -> str:
        """Return the URL of the local end: `http://127.0.0.1:8080`, followed by `path`."""
        return f"{scheme}://{self._handle.address}{path}"


class ActiveForward(LocalEnd):
    """A running forward, for code without an event loop. All methods may be called by any thread.

    Every method raises ForwardError once the forward is stopped.
    """

    @property
    def status(self) -> Forward:
        """State, reason and counters at this moment."""
        return self._handle.engine.wait(self._handle.status)

    def wait_ready(self, timeout: float | None = READY_TIMEOUT_S) -> Forward:
        """Wait until the forward is ready, for instance after a rollout; return its status.

        NotReadyError after `timeout` seconds; None waits forever. StartError: it cannot become
        ready without action by the user.
        """
        return self._handle.engine.wait(lambda one: self._handle.wait_ready(one, timeout))

    def connections(self) -> tuple[Connection, ...]:
        """Return open and recently closed connections, oldest first."""
        return self._handle.engine.wait(self._handle.connections)

    def events(self) -> Iterator[Event]:
        """Yield the events of the forward, from its start; waits for more until it is stopped."""
        engine, source = self._handle.engine, EventSource(self._handle)
        try:
            while (event := engine.wait(source.next)) is not None:
                yield event
        finally:
            with contextlib.suppress(ForwardError):
                engine.wait(source.close)

    def reconnect(self) -> None:
        """Cut the current tunnels, reset all delays, and dial now."""
        self._handle.engine.wait(self._handle.reconnect)

    def stop(self) -> None:
        """Stop the forward before its block ends. Idempotent."""
        self._handle.engine.wait(self._handle.stop)


class AsyncActiveForward(LocalEnd):
    """A running forward, for coroutines; the twin of `ActiveForward`, in any event loop."""

    async def status(self) -> Forward:
        """See `ActiveForward.status`."""
        return await self._handle.engine.call(self._handle.status)

    async def wait_ready(self, timeout: float | None = READY_TIMEOUT_S) -> Forward:  # noqa: ASYNC109 - as in the twin
        """See `ActiveForward.wait_ready`."""
        return await self._handle.engine.call(lambda one: self._handle.wait_ready(one, timeout))

    async def connections(self) -> tuple[Connection, ...]:
        """See `ActiveForward.connections`."""
        return await self._handle.engine.call(self._handle.connections)

    async def events(self) -> AsyncIterator[Event]:
        """See `ActiveForward.events`."""
        engine, source = self._handle.engine, EventSource(self._handle)
        try:
            while (event := await engine.call(source.next)) is not None:
                yield event
        finally:
            with contextlib.suppress(ForwardError):
                await asyncio.shield(engine.call(source.close))

    async def reconnect(self) -> None:
        """See `ActiveForward.reconnect`."""
        await self._handle.engine.call(self._handle.reconnect)

    async def stop(self) -> None:
        """See `ActiveForward.stop`."""
        await self._handle.engine.call(self._handle.stop)


class EventSource:
    """The events of a forward one by one, in the engine's thread."""

    def __init__(self, handle: ForwardHandle) -> None:
        self._handle = handle
        self._events: AsyncGenerator[Event, None] | None = None

    async def next(self, session: Session) -> Event | None:
        """Return the next event; None after the last one."""
        if self._events is None:
            self._events = self._handle.events(session)
        return await anext(self._events, None)

    async def close(self, _: Session) -> None:
        """Read no more. Idempotent."""
        if self._events is not None:
            await self._events.aclose()


@contextlib.asynccontextmanager
async def watched_by(session: Session, monitor: StartMonitor) -> AsyncIterator[None]:
    """Pass the events of a session from now on to a monitor."""
    begun_at = time.time()

    async def pass_events() -> None:
        async for event in session.events():
            if event.time >= begun_at:  # the others come first
                monitor.notice(event)

    task = spawn(pass_events(), name="api-events")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
