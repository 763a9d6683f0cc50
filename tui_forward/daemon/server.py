"""The engine process's side of the door: one session, any number of front ends.

Front ends cannot harm each other: each has tasks and a bounded number of requests of its
own, and nothing is queued for one that does not read: its answers wait in their tasks, and
its subscription falls behind in the event log, which forgets the oldest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from tui_forward.common.tasks import spawn
from tui_forward.daemon import rpc as rpc
from tui_forward.daemon import unix_socket as unix_socket
from tui_forward.daemon.framing import read_message
from tui_forward.daemon.handover import HandoverSender
from tui_forward.daemon.notices import NoticeLog
from tui_forward.daemon.profile_apply import start_forward
from tui_forward.daemon.session_store import SessionSaver
from tui_forward.errors import ProtocolError, TuiForwardError, UsageError
from tui_forward.session import Session

_log = logging.getLogger(__name__)

# Requests of one front end that may be under way at once, and subscriptions.
_AT_ONCE = 64
_SUBSCRIPTIONS = 16
_HELLO_S = 10.0
_CLOSE_S = 2.0


class SessionServer:
    """Serves a session on a listening unix socket.

    Args:
        session: What is behind the door. Not closed here.
        keeper: Is told whatever changes what is on.
        notices: What the engine process did unasked; told with every snapshot.
        giver: Hands all of it over to an engine that asks.
        kubeconfig: Told to front ends.
        on_front_ends: Called with the number of front ends whenever it changes.
    """

    def __init__(
        self,
        session: Session,
        keeper: SessionSaver,
        notices: NoticeLog,
        giver: HandoverSender,
        *,
        kubeconfig: str = "",
        on_front_ends: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._session = session
        self._keeper = keeper
        self._notices = notices
        self._giver = giver
        self._kubeconfig = kubeconfig
        self._on_front_ends = on_front_ends
        self._server: asyncio.Server | None = None
        self._front_ends: set[asyncio.Task[None]] = set()

    async def start(self, listening: socket.socket) -> None:
        """Begin to serve; the socket is owned from now on."""
        # The path is not this process's to remove once another one serves it.
        stays: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        self._server = await asyncio.start_unix_server(self._connected, sock=listening, **stays)

    async def close(self) -> None:
        """Serve no more: disconnect all front ends. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for task in self._front_ends:
            task.cancel()
        if self._front_ends:
            await asyncio.wait(set(self._front_ends), timeout=_CLOSE_S)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        sock = writer.get_extra_info("socket")
        if self._server is None:  # accepted in the very moment of `close`
            writer.transport.abort()
            return
        if sock is None or not unix_socket.is_same_user(sock):
            _log.warning("refused a front end of another user")
            writer.transport.abort()
            return
        self._front_ends.add(task)
        self._on_front_ends(len(self._front_ends))
        try:
            front_end = _ClientConnection(
                self._session, self._keeper, self._notices, self._giver, reader, writer,
                self._kubeconfig,
            )  # fmt: skip
            await front_end.serve()
        except (ProtocolError, OSError, TimeoutError) as error:
            _log.info("a front end was lost: %s", str(error) or type(error).__name__)
        except asyncio.CancelledError:
            pass  # by `close`: it ends like any other
        finally:
            self._front_ends.discard(task)
            self._on_front_ends(len(self._front_ends))
            # Not `wait_closed`: a front end that does not read would keep it waiting.
            writer.transport.abort()


class _ClientConnection:
    """One front end's requests."""

    def __init__(
        self,
        session: Session,
        keeper: SessionSaver,
        notices: NoticeLog,
        giver: HandoverSender,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        kubeconfig: str,
    ) -> None:
        self._session = session
        self._keeper = keeper
        self._notices = notices
        self._giver = giver
        self._reader = reader
        self._writer = writer
        self._kubeconfig = kubeconfig
        self._keeps_if_lost = False
        self._running: dict[int, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._subscriptions = 0
        # One message at a time, so that at most one is buffered for a front end that is slow.
        self._sending = asyncio.Lock()

    async def serve(self) -> None:
        """Until the front end goes.

        Raises:
            ProtocolError: It sent something unintelligible.
            OSError: The connection broke.
            TimeoutError: It never said hello, or it did not take what it had asked for.
        """
        try:
            if await self._greet():
                try:
                    while (body := await read_message(self._reader, rpc.MAX_REQUEST)) is not None:
                        await self._received(rpc.unpack_request(body))
                except asyncio.CancelledError:
                    self._keeps_if_lost = False  # it is not the front end that goes
                    raise
        finally:
            self._keeper.orphaned |= self._keeps_if_lost
            tasks = list(self._running.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _greet(self) -> bool:
        async with asyncio.timeout(_HELLO_S):
            body = await read_message(self._reader, rpc.MAX_REQUEST)
        if body is None:
            return False
        hello = rpc.unpack_request(body)
        if isinstance(hello, rpc.HandoverRequest):
            await self._giver.send(self._reader, self._writer)
            return False
        if not isinstance(hello, rpc.Hello):
            raise ProtocolError("the front end did not say hello")
        if hello.version != rpc.VERSION:
            reason = "front end and engine are of different versions"
            await self._send(rpc.VersionMismatch(rpc.VERSION, reason))
            return False
        await self._send(rpc.Welcome(rpc.VERSION, os.getpid(), self._kubeconfig))
        return True

    async def _received(self, request: rpc.FromFrontEnd) -> None:
        if isinstance(request, rpc.Hello | rpc.HandoverRequest | rpc.HandoverDone):
            raise ProtocolError("the front end said hello twice")
        if isinstance(request, rpc.Cancel):
            task = self._running.get(request.id)
            if task is not None:
                task.cancel()
            return
        if request.id in self._running:
            raise ProtocolError("the front end used one id for two requests")
        if isinstance(request, rpc.Subscribe):
            if self._subscriptions >= _SUBSCRIPTIONS:
                error = UsageError(f"more than {_SUBSCRIPTIONS} subscriptions at once")
                await self._send(rpc.from_exception(request.id, error))
                return
            self._subscriptions += 1
        else:
            # Reading stops here while too much is under way. Cancels wait as well, but each
            # of these ends by itself.
            await self._room.acquire()
        task = spawn(self._answer(request), name=f"request {request.id}")
        self._running[request.id] = task
        task.add_done_callback(lambda _: self._answered(request))

    def _answered(self, request: rpc.Request) -> None:
        del self._running[request.id]
        if isinstance(request, rpc.Subscribe):
            self._subscriptions -= 1
        else:
            self._room.release()

    async def _answer(self, request: rpc.Request) -> None:
        # A front end that is gone is noticed by whoever reads from it.
        with contextlib.suppress(OSError):
            try:
                if isinstance(request, rpc.Subscribe):
                    await self._events(request)
                    await self._send(rpc.End(request.id))
                else:
                    await self._send(
                        rpc.Result(request.id, rpc.encode_value(await self._do(request)))
                    )
            except TuiForwardError as error:
                await self._send(rpc.from_exception(request.id, error))
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001 - a bug must not leave it unanswered
                _log.exception("a request failed: %s", type(request).__name__)
                text = f"the engine failed: {type(error).__name__}: {error}"
                await self._send(rpc.from_exception(request.id, TuiForwardError(text)))

    async def _events(self, request: rpc.Subscribe) -> None:
        async for event in self._session.events(request.since):
            await self._send(rpc.Item(request.id, rpc.encode_value(event)))

    async def _do(self, request: rpc.Request) -> object:
        session = self._session
        match request:
            case rpc.GetSnapshot():
                snapshot = await session.snapshot()
                return msgspec.structs.replace(
                    snapshot, keep_running=self._keeper.keep_running, notices=self._notices.latest
                )
            case rpc.GetConnections(forward=forward):
                return await session.connections(forward)
            case rpc.GetCatalog(scope=scope, since=since):
                return await session.catalog(scope, since)
            case rpc.GetTimeline(forward=forward):
                return await session.timeline(forward)
            case rpc.GetHistories():
                return await session.histories()
            case rpc.GetHops(forward=forward):
                return await session.hops(forward)
            case rpc.GetPodLog(forward=forward, container=container, lines=lines):
                return await session.pod_log(forward, container=container, lines=lines)
            case rpc.GetContexts():
                return await session.contexts()
            case _:
                try:
                    return await self._command(request)
                finally:
                    self._keeper.schedule_save()

    async def _command(self, request: rpc.Request) -> str | None:
        """What changes what is on."""
        await self._giver.undisturbed.wait()
        session = self._session
        match request:
            case rpc.Start(spec=spec):
                if not spec.profile:
                    return await session.start(spec)
                self._notices.began.set()
                return await start_forward(session, spec)
            case rpc.SetKeepRunning(on=on):
                self._keeper.keep_requested, self._keeper.orphaned = on, False
            case rpc.SetKeepRunningIfLost(on=on):
                self._keeps_if_lost = on
            case rpc.Stop(forward=forward):
                await session.stop(forward)
            case rpc.Pause(forward=forward):
                await session.pause(forward)
            case rpc.Resume(forward=forward):
                await session.resume(forward)
            case rpc.Reconnect(forward=forward):
                await session.reconnect(forward)
            case rpc.CloseConnection(connection=connection):
                await session.close_connection(connection)
            case _:
                raise UsageError(f"the engine does not know {type(request).__name__}")
        return None

    async def _send(self, message: rpc.FromEngine) -> None:
        async with self._sending:
            self._writer.write(rpc.encode_message(message))
            await self._writer.drain()
