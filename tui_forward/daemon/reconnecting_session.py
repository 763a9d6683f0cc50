"""Session that outlives its engine process: it continues in the engine that replaces a killed one.

The new engine restores the forwards (see `session_saver`), so that clients need no special
handling. Only a command that is in progress fails, because it may or may not have been executed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import (
    CatalogScope,
    CatalogView,
    ClusterKey,
    Connection,
    Context,
    Description,
    DoctorQuery,
    DoctorResult,
    Event,
    ForwardSpec,
    Hop,
    LoginCommand,
    LogSource,
    MissingPermissions,
    PodLog,
    PortCheck,
    ProxySpec,
    Snapshot,
    Target,
    TimelineEntry,
    TrafficHistory,
)

_log = logging.getLogger(__name__)

# Catalog scopes whose session is stored; a dashboard uses a few.
_MAX_SCOPES = 100

T = TypeVar("T")
Open = Callable[[], Awaitable[RemoteSession]]


class ReconnectingSession:
    """A `Session` in the engine process that is running; `reopen` connects to or starts one."""

    def __init__(self, session: RemoteSession, reopen: Open) -> None:
        self._session = session
        self._reopen = reopen
        self._replacing: asyncio.Task[None] | None = None
        self._closed = False
        self._keep_running_if_lost = False
        # The session that counts a scope's versions.
        self._catalog_sources: dict[CatalogScope, RemoteSession] = {}

    @property
    def engine_pid(self) -> int:
        """Process id of the running engine."""
        return self._session.engine_pid

    # Commands -------------------------------------------------------------------------

    async def start(self, spec: ForwardSpec) -> str:
        """See `Session.start`."""
        return await self._execute(lambda session: session.start(spec))

    async def stop(self, forward_id: str) -> None:
        """See `Session.stop`."""
        await self._execute(lambda session: session.stop(forward_id))

    async def start_proxy(self, spec: ProxySpec) -> str:
        """See `Session.start_proxy`."""
        return await self._execute(lambda session: session.start_proxy(spec))

    async def stop_proxy(self, proxy_id: str) -> None:
        """See `Session.stop_proxy`."""
        await self._execute(lambda session: session.stop_proxy(proxy_id))

    async def pause(self, forward_id: str) -> None:
        """See `Session.pause`."""
        await self._execute(lambda session: session.pause(forward_id))

    async def resume(self, forward_id: str) -> None:
        """See `Session.resume`."""
        await self._execute(lambda session: session.resume(forward_id))

    async def reconnect(self, forward_id: str) -> None:
        """See `Session.reconnect`."""
        await self._execute(lambda session: session.reconnect(forward_id))

    async def begin_login(self, cluster: ClusterKey) -> LoginCommand | None:
        """See `Session.begin_login`."""
        return await self._execute(lambda session: session.begin_login(cluster))

    async def finish_login(self, cluster: ClusterKey, output: bytes, exit_code: int) -> None:
        """See `Session.finish_login`. An engine that is new since `begin_login` takes it, too."""
        await self._query(lambda session: session.finish_login(cluster, output, exit_code))

    async def cancel_login(self, cluster: ClusterKey) -> None:
        """See `Session.cancel_login`."""
        await self._query(lambda session: session.cancel_login(cluster))

    async def retry_login(self, cluster: ClusterKey) -> None:
        """See `Session.retry_login`."""
        await self._query(lambda session: session.retry_login(cluster))

    async def set_keep_running(self, on: bool) -> None:
        """See `Session.set_keep_running`."""
        await self._execute(lambda session: session.set_keep_running(on))

    async def set_keep_running_if_lost(self, on: bool) -> None:
        """See `Session.set_keep_running_if_lost`."""
        self._keep_running_if_lost = on
        await self._execute(lambda session: session.set_keep_running_if_lost(on))

    async def close_connection(self, connection_id: int) -> None:
        """See `Session.close_connection`."""
        await self._execute(lambda session: session.close_connection(connection_id))

    # Reading --------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        """See `Session.snapshot`."""
        return await self._query(lambda session: session.snapshot())

    async def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        """See `Session.connections`."""
        return await self._query(lambda session: session.connections(forward_id))

    async def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        """See `Session.timeline`."""
        return await self._query(lambda session: session.timeline(forward_id))

    async def missing_permissions(self, scope: CatalogScope) -> MissingPermissions:
        """See `Session.missing_permissions`."""
        return await self._query(lambda session: session.missing_permissions(scope))

    async def check_port(self, addresses: tuple[str, ...], port: int) -> PortCheck:
        """See `Session.check_port`."""
        return await self._query(lambda session: session.check_port(addresses, port))

    async def histories(self) -> tuple[TrafficHistory, ...]:
        """See `Session.histories`."""
        return await self._query(lambda session: session.histories())

    async def hops(self, forward_id: str) -> tuple[Hop, ...]:
        """See `Session.hops`."""
        return await self._query(lambda session: session.hops(forward_id))

    async def describe(self, target: Target) -> Description:
        """See `Session.describe`."""
        return await self._query(lambda session: session.describe(target))

    async def read_log(self, source: LogSource, *, since: str = "", lines: int = 1000) -> PodLog:
        """See `Session.read_log`."""
        return await self._query(lambda session: session.read_log(source, since=since, lines=lines))

    async def contexts(self) -> tuple[Context, ...]:
        """See `Session.contexts`."""
        return await self._query(lambda session: session.contexts())

    async def catalog(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        """See `Session.catalog`. A new engine has other versions, so its first view is complete."""
        source = self._catalog_sources.get(scope)
        view = await self._query(
            lambda session: session.catalog(scope, since if session is source else 0)
        )
        if len(self._catalog_sources) >= _MAX_SCOPES:
            self._catalog_sources.clear()
        self._catalog_sources[scope] = self._session
        return view

    async def events(self, since: int = 0) -> AsyncIterator[Event]:
        """See `Session.events`. The events of a new engine are counted from 1."""
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

    async def diagnose(self, query: DoctorQuery) -> AsyncGenerator[DoctorResult, None]:
        """See `Session.diagnose`; it starts again in a new engine."""
        session = self._session
        try:
            async with aclosing(session.diagnose(query)) as results:
                async for result in results:
                    yield result
            return
        except TransportError:
            if session.lost is None:
                raise
            await self._replace(session)
        async with aclosing(self._session.diagnose(query)) as results:
            async for result in results:
                yield result

    async def changes(self) -> AsyncIterator[int]:
        """See `Session.changes`. Also yields after the engine was replaced."""
        while True:
            session = self._session
            try:
                async for version in session.changes():
                    yield version
                return
            except TransportError:
                if session.lost is None:
                    raise
                await self._replace(session)
                yield 0

    async def close(self) -> None:
        """See `Session.close`."""
        self._closed = True
        if self._replacing is not None:
            self._replacing.cancel()
            await asyncio.wait({self._replacing})
        await self._session.close()

    # The engine -----------------------------------------------------------------------

    async def _query(self, query: Callable[[RemoteSession], Awaitable[T]]) -> T:
        """Run a query, and repeat it in a new engine if this one is lost."""
        session = self._session
        try:
            return await query(session)
        except TransportError:
            if session.lost is None:
                raise  # reported by the engine, which cannot reach the cluster
            await self._replace(session)
            return await query(self._session)

    async def _execute(self, command: Callable[[RemoteSession], Awaitable[T]]) -> T:
        """Run a command, which must not be repeated if the engine is lost."""
        session = self._session
        try:
            return await command(session)
        except TransportError as error:
            if session.lost is None:
                raise
            await self._replace(session)
            raise TransportError(
                "the engine was replaced while the command ran",
                hint="check the result and repeat the command if needed",
            ) from error

    async def _replace(self, lost: RemoteSession) -> None:
        """Connect to another engine, unless another task has done so already.

        It continues although a caller is canceled: callers that wait for less time than an engine
        needs to start would otherwise begin again for ever, each with an engine of its own.
        """
        if self._session is not lost:
            return
        if self._closed:
            raise TransportError("the session is closed")
        if self._replacing is None or self._replacing.done():
            self._replacing = asyncio.create_task(self._open(lost), name="next engine")
            self._replacing.add_done_callback(_retrieve_error)
        replacing = self._replacing
        await asyncio.wait({replacing})
        if replacing.cancelled():
            raise TransportError("the session is closed")
        replacing.result()

    async def _open(self, lost: RemoteSession) -> None:
        try:
            session = await self._reopen()
            self._session = session
            if self._keep_running_if_lost:
                await session.set_keep_running_if_lost(True)
        except TuiForwardError as error:
            raise TransportError(
                f"the engine process is gone: {error.message}", hint=error.hint
            ) from error
        _log.info("engine %d replaces %d", self.engine_pid, lost.engine_pid)
        await lost.close()


def _retrieve_error(task: asyncio.Task[None]) -> None:
    """Retrieve the error of a task whose callers may all have been canceled."""
    if not task.cancelled():
        task.exception()


async def open_reconnecting_session(
    kubeconfig: str | None, *, arguments: Sequence[str] = ()
) -> ReconnectingSession:
    """Open a session in the engine process, which is started if none is running.

    If the engine is killed, the session continues in a new one. `arguments` and errors: see
    `launcher.connect`.
    """
    from tui_forward.daemon.launcher import connect

    async def reopen() -> RemoteSession:
        return await connect(kubeconfig, arguments=[*arguments, "--restore"])

    return ReconnectingSession(await connect(kubeconfig, arguments=arguments), reopen)
