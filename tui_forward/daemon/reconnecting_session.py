"""A session that outlives its engine process: another one takes the place of one that was killed.

What was on is brought back by the new engine (`saved`), so a front end need not know. Only what
is asked for in the very moment is answered with an error: whether it was done is not known.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import (
    CatalogScope,
    CatalogView,
    Connection,
    Context,
    Event,
    ForwardSpec,
    Hop,
    PodLog,
    Snapshot,
    TimelineEntry,
    TrafficHistory,
)

_log = logging.getLogger(__name__)

# How many scopes are remembered; a screen looks at a few.
_SCOPES = 100

T = TypeVar("T")
Open = Callable[[], Awaitable[RemoteSession]]


class ReconnectingSession:
    """A `Session` in whatever engine process there is.

    Args:
        session: The first one.
        reopen: Connects to the engine that is there now, or begins one.
    """

    def __init__(self, session: RemoteSession, reopen: Open) -> None:
        self._session = session
        self._reopen = reopen
        self._one_at_a_time = asyncio.Lock()
        self._closed = False
        self._keep_if_lost = False
        self._told_by: dict[CatalogScope, RemoteSession] = {}  # whose versions a scope's are

    @property
    def engine_pid(self) -> int:
        """The engine process that is there now."""
        return self._session.engine_pid

    # Commands -------------------------------------------------------------------------

    async def start(self, spec: ForwardSpec) -> str:
        """See `Session.start`."""
        return await self._tell(lambda session: session.start(spec))

    async def stop(self, forward_id: str) -> None:
        """See `Session.stop`."""
        await self._tell(lambda session: session.stop(forward_id))

    async def pause(self, forward_id: str) -> None:
        """See `Session.pause`."""
        await self._tell(lambda session: session.pause(forward_id))

    async def resume(self, forward_id: str) -> None:
        """See `Session.resume`."""
        await self._tell(lambda session: session.resume(forward_id))

    async def reconnect(self, forward_id: str) -> None:
        """See `Session.reconnect`."""
        await self._tell(lambda session: session.reconnect(forward_id))

    async def set_keep_running(self, on: bool) -> None:
        """See `Session.keep`."""
        await self._tell(lambda session: session.set_keep_running(on))

    async def set_keep_running_if_lost(self, on: bool) -> None:
        """See `Session.keep_if_lost`."""
        self._keep_if_lost = on
        await self._tell(lambda session: session.set_keep_running_if_lost(on))

    async def close_connection(self, connection_id: int) -> None:
        """See `Session.close_connection`."""
        await self._tell(lambda session: session.close_connection(connection_id))

    # Reading --------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        """See `Session.snapshot`."""
        return await self._ask(lambda session: session.snapshot())

    async def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        """See `Session.connections`."""
        return await self._ask(lambda session: session.connections(forward_id))

    async def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        """See `Session.timeline`."""
        return await self._ask(lambda session: session.timeline(forward_id))

    async def histories(self) -> tuple[TrafficHistory, ...]:
        """See `Session.histories`."""
        return await self._ask(lambda session: session.histories())

    async def hops(self, forward_id: str) -> tuple[Hop, ...]:
        """See `Session.hops`."""
        return await self._ask(lambda session: session.hops(forward_id))

    async def pod_log(self, forward_id: str, *, container: str = "", lines: int = 200) -> PodLog:
        """See `Session.pod_log`."""
        return await self._ask(
            lambda session: session.pod_log(forward_id, container=container, lines=lines)
        )

    async def contexts(self) -> tuple[Context, ...]:
        """See `Session.contexts`."""
        return await self._ask(lambda session: session.contexts())

    async def catalog(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        """See `Session.catalog`. A new engine counts its versions anew: the whole is told."""
        told_by = self._told_by.get(scope)
        view = await self._ask(
            lambda session: session.catalog(scope, since if session is told_by else 0)
        )
        if len(self._told_by) >= _SCOPES:
            self._told_by.clear()
        self._told_by[scope] = self._session
        return view

    async def events(self, since: int = 0) -> AsyncIterator[Event]:
        """See `Session.events`. A new engine counts anew, from 1."""
        while True:
            session = self._session
            try:
                async for event in session.events(since):
                    yield event
                return
            except TransportError:
                if session.lost is None:
                    raise
                await self._replace(session)
                since = 0

    async def close(self) -> None:
        """See `Session.close`."""
        self._closed = True
        await self._session.close()

    # The engine -----------------------------------------------------------------------

    async def _ask(self, question: Callable[[RemoteSession], Awaitable[T]]) -> T:
        """A question may be asked twice."""
        session = self._session
        try:
            return await question(session)
        except TransportError:
            if session.lost is None:
                raise  # the engine's answer: it is something else that cannot be reached
            await self._replace(session)
            return await question(self._session)

    async def _tell(self, command: Callable[[RemoteSession], Awaitable[T]]) -> T:
        """A command may not."""
        session = self._session
        try:
            return await command(session)
        except TransportError as error:
            if session.lost is None:
                raise
            await self._replace(session)
            raise TransportError(
                "another engine has taken the place of the one that was asked",
                hint="look whether it was done, else try again",
            ) from error

    async def _replace(self, lost: RemoteSession) -> None:
        """Have another engine, unless that was done already.

        Raises:
            TransportError: There can be no other one.
        """
        async with self._one_at_a_time:
            if self._session is not lost:
                return
            if self._closed:
                raise TransportError("the session is closed")
            try:
                self._session = await self._reopen()
                if self._keep_if_lost:
                    await self._session.set_keep_running_if_lost(True)
            except TuiForwardError as error:
                raise TransportError(
                    f"the engine process is gone: {error.message}", hint=error.hint
                ) from error
            _log.info("engine %d in place of %d", self.engine_pid, lost.engine_pid)
            await lost.close()
