"""Server of the engine process: one session, any number of clients.

Clients cannot affect each other: each has its own tasks and a limited number of requests, and
nothing is queued for a client that does not read. Its responses wait in their tasks, and its
subscription falls behind in the event log, which drops the oldest events.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from tui_forward.common.formatting import format_bytes
from tui_forward.common.logging_levels import TRACE
from tui_forward.common.tasks import spawn
from tui_forward.daemon import rpc, unix_socket
from tui_forward.daemon.framing import read_message
from tui_forward.daemon.handover import HandoverSender
from tui_forward.daemon.notices import NoticeLog
from tui_forward.daemon.other_engines import OtherEngines
from tui_forward.daemon.pod_parts import encode_pods
from tui_forward.daemon.profile_apply import start_forward, start_proxy
from tui_forward.daemon.session_saver import SessionSaver
from tui_forward.errors import ProtocolError, TransportError, TuiForwardError, UsageError
from tui_forward.model import CatalogView, ClusterKey, Event, Reason, ReasonCode
from tui_forward.session import Session
from tui_forward.session.callers import CURRENT_CALLER

_log = logging.getLogger(__name__)

_CLOSE_S = 2.0
# Concurrent requests and subscriptions of one client.
_MAX_REQUESTS = 64
_MAX_SUBSCRIPTIONS = 16
_SUBSCRIPTIONS = (rpc.Subscribe, rpc.SubscribeChanges, rpc.Diagnose)
_HELLO_S = 10.0
# More than any request takes: the longest waits for a pod's log or the end of a handover.
_REQUEST_S = 30.0
# Answered when saved, because an engine that is killed after the answer must not restore more.
_FLUSHED = (rpc.Stop, rpc.StopProxy, rpc.Pause, rpc.SetKeepRunning)
# Bytes of a `Result` besides its value.
_MAX_RESULT_HEADER = 64


class _ClientGoneError(Exception):
    """The connection to the client is broken."""


class SessionServer:
    """Serves a session on a listening unix socket. The session is not closed here.

    `on_client_count` is called with the number of clients whenever it changes. A connection is a
    client once it has sent its greeting: what only tests whether an engine serves the socket is
    none. `on_request` is called before each request.
    """

    def __init__(
        self, session: Session, saver: SessionSaver, notices: NoticeLog, handover: HandoverSender,
        *, kubeconfig: str = "", other_engines: OtherEngines | None = None,
        on_client_count: Callable[[int], None] = lambda _: None,
        on_request: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._other_engines = other_engines
        self._session = session
        self._saver = saver
        self._notices = notices
        self._handover = handover
        self._kubeconfig = kubeconfig
        self._on_client_count = on_client_count
        self._on_request = on_request
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.Task[None]] = set()  # connections that have greeted

    async def start(self, listening: socket.socket) -> None:
        """Start to serve a socket, instead of any other; the server owns it from now on."""
        # After a handover another process serves the path, which this one must not unlink.
        keep_path: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        server = await asyncio.start_unix_server(self._accept, sock=listening, **keep_path)
        previous, self._server = self._server, server
        if previous is not None:
            previous.close()

    async def close(self) -> None:
        """Stop to serve and disconnect all clients. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(set(self._connections), timeout=_CLOSE_S)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        sock = writer.get_extra_info("socket")
        if self._server is None:  # accepted while `close` ran
            writer.transport.abort()
            return
        if sock is None or not unix_socket.is_same_user(sock):
            _log.warning("rejected a client of another user")
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            client = ClientConnection(
                self._session, self._saver, self._notices, self._handover, reader, writer,
                self._kubeconfig, self._other_engines, lambda: self._count(task),
                self._on_request,
            )  # fmt: skip
            await client.serve()
        except (ProtocolError, OSError, TimeoutError) as error:
            _log.info("lost a client: %s", str(error) or type(error).__name__)
        except asyncio.CancelledError:
            pass  # by `close`
        except Exception:  # noqa: BLE001 - a bug must not affect other clients
            _log.exception("the connection of a client failed")
        finally:
            self._connections.discard(task)
            if task in self._clients:
                self._clients.discard(task)
                self._on_client_count(len(self._clients))
            # Not `wait_closed`, which would wait for a client that does not read.
            writer.transport.abort()

    def _count(self, task: asyncio.Task[None]) -> None:
        self._clients.add(task)
        self._on_client_count(len(self._clients))


class ClientConnection:
    """Serves the requests of one client. Does not close the writer.

    `on_greeting` is called once, when a greeting of this version has arrived, `on_request` before
    each request.
    """

    def __init__(
        self, session: Session, saver: SessionSaver, notices: NoticeLog, handover: HandoverSender,
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kubeconfig: str,
        other_engines: OtherEngines | None, on_greeting: Callable[[], None],
        on_request: Callable[[], None],
    ) -> None:  # fmt: skip
        self._on_greeting = on_greeting
        self._on_request = on_request
        self._other_engines = other_engines
        self._session = session
        self._saver = saver
        self._notices = notices
        self._handover = handover
        self._reader = reader
        self._writer = writer
        self._kubeconfig = kubeconfig
        self._keep_running_if_lost = False
        self._running: dict[int, asyncio.Task[None]] = {}
        self._request_slots = asyncio.Semaphore(_MAX_REQUESTS)
        self._subscriptions = 0
        # Those whose plugin runs in this client's terminal.
        self._logins: set[ClusterKey] = set()
        # One message at a time, so that at most one is buffered for a slow client.
        self._send_lock = asyncio.Lock()

    async def serve(self) -> None:
        """Serve requests until the client disconnects.

        Raise ProtocolError if it violates the protocol, OSError if the connection breaks,
        TimeoutError if it sends no `Hello` or does not complete a handover.
        """
        try:
            if await self._greet():
                try:
                    while (body := await read_message(self._reader, rpc.MAX_REQUEST)) is not None:
                        self._on_request()
                        await self._receive(rpc.decode_request(body))
                except asyncio.CancelledError:
                    self._keep_running_if_lost = False  # the engine ends, not the client
                    raise
        finally:
            self._saver.orphaned |= self._keep_running_if_lost
            for cluster in self._logins:
                with contextlib.suppress(TuiForwardError):
                    await self._session.cancel_login(cluster)
            tasks = list(self._running.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _greet(self) -> bool:
        """Complete the handshake; return whether the connection continues with requests."""
        async with asyncio.timeout(_HELLO_S):
            body = await read_message(self._reader, rpc.MAX_REQUEST)
        if body is None:
            return False
        hello = rpc.decode_request(body)
        if isinstance(hello, rpc.HandoverRequest):
            self._on_greeting()
            await self._handover.send(self._reader, self._writer)
            return False
        if not isinstance(hello, rpc.Hello):
            raise ProtocolError("the first message was not Hello")
        if hello.version != rpc.VERSION:
            reason = "client and engine are of different versions"
            await self._send(rpc.VersionMismatch(rpc.VERSION, reason))
            return False
        self._on_greeting()
        # Requests are tasks that inherit it.
        CURRENT_CALLER.set(hello.caller)
        await self._send(rpc.Welcome(rpc.VERSION, os.getpid(), self._kubeconfig))
        return True

    async def _receive(self, request: rpc.FromClient) -> None:
        if isinstance(request, rpc.Hello | rpc.HandoverRequest | rpc.HandoverDone):
            raise ProtocolError(f"unexpected {type(request).__name__} after the handshake")
        if isinstance(request, rpc.Cancel):
            task = self._running.get(request.id)
            if task is not None:
                task.cancel()
            return
        if request.id in self._running:
            raise ProtocolError("two concurrent requests have the same id")
        if isinstance(request, _SUBSCRIPTIONS):
            if self._subscriptions >= _MAX_SUBSCRIPTIONS:
                error = UsageError(f"more than {_MAX_SUBSCRIPTIONS} subscriptions at once")
                await self._send(rpc.from_exception(request.id, error))
                return
            self._subscriptions += 1
        else:
            # Reading pauses here while too many requests run. Cancels wait as well, but each
            # request ends by itself.
            await self._request_slots.acquire()
        task = spawn(self._respond(request), name=f"request {request.id}")
        self._running[request.id] = task
        task.add_done_callback(lambda _: self._finish(request))

    def _finish(self, request: rpc.Request) -> None:
        del self._running[request.id]
        if isinstance(request, _SUBSCRIPTIONS):
            self._subscriptions -= 1
        else:
            self._request_slots.release()

    async def _respond(self, request: rpc.Request) -> None:
        """Answer a request, whatever happens, unless the client cancels it or is gone."""
        name = type(request).__name__
        _log.log(TRACE, "request %d: %s", request.id, name)
        response: rpc.FromEngine
        parts: tuple[rpc.Item, ...] = ()
        limit = asyncio.timeout(None if isinstance(request, _SUBSCRIPTIONS) else _REQUEST_S)
        try:
            async with limit:
                if isinstance(request, _SUBSCRIPTIONS):
                    response = await self._send_items(request)
                else:
                    result = await self._execute(request)
                    if isinstance(result, CatalogView):
                        parts = tuple(rpc.Item(request.id, one) for one in encode_pods(result.pods))
                        result = msgspec.structs.replace(result, pods=())
                    response = _encode_result(request, result)
        except _ClientGoneError:
            return
        except TuiForwardError as error:
            _log.debug("request %s failed: %s", name, error)
            response = rpc.from_exception(request.id, error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # A task that the request waited for was canceled, not the request.
            response = _internal_error(request, error)
        except Exception as error:  # noqa: BLE001 - a bug must not leave a request unanswered
            if limit.expired():
                _log.warning("request %s was not answered within %g s", name, _REQUEST_S)
                reason = Reason(code=ReasonCode.ENGINE_NOT_RESPONDING, timeout_s=_REQUEST_S)
                response = rpc.from_exception(request.id, TransportError(reason))
            else:
                response = _internal_error(request, error)
        # The task that reads from the client detects that the client is gone.
        with contextlib.suppress(_ClientGoneError):
            if isinstance(response, rpc.Result):
                for part in parts:
                    await self._send_response(part)
            await self._send_response(response)

    async def _send_items(self, request: rpc.Subscription) -> rpc.End:
        items: AsyncIterator[Event] | AsyncIterator[int]
        if isinstance(request, rpc.Diagnose):
            # What it has opened is closed before a canceled request ends.
            async with contextlib.aclosing(self._session.diagnose(request.query)) as results:
                async for result in results:
                    await self._send_response(rpc.Item(request.id, rpc.encode_value(result)))
            return rpc.End(request.id)
        if isinstance(request, rpc.Subscribe):
            items = self._session.events(request.since)
        else:
            items = self._session.changes()
        async for item in items:
            await self._send_response(rpc.Item(request.id, rpc.encode_value(item)))
        return rpc.End(request.id)

    async def _execute(self, request: rpc.Request) -> object:
        session = self._session
        match request:
            case rpc.GetSnapshot():
                snapshot = await session.snapshot()
                others = self._other_engines
                return msgspec.structs.replace(
                    snapshot,
                    keep_running=self._saver.keep_running,
                    save_problem=self._saver.problem,
                    notices=self._notices.latest,
                    other_engines=others.current if others is not None else (),
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
            case rpc.ReadLog(source=source, since=since, lines=lines):
                return await session.read_log(source, since=since, lines=lines)
            case rpc.GetMissingPermissions(scope=scope):
                return await session.missing_permissions(scope)
            case rpc.CheckPort(addresses=addresses, port=port):
                return await session.check_port(addresses, port)
            case rpc.Describe(target=target):
                return await session.describe(target)
            case rpc.GetContexts():
                return await session.contexts()
            case _:
                try:
                    result = await self._execute_command(request)
                finally:
                    self._saver.schedule_save()
                if isinstance(request, _FLUSHED):
                    await self._saver.flush()
                return result

    async def _execute_command(self, request: rpc.Request) -> object:
        """Execute a request that may change the active forwards."""
        await self._handover.idle.wait()
        session = self._session
        match request:
            case rpc.Start(spec=spec):
                if not spec.profile:
                    return await session.start(spec)
                try:
                    return await start_forward(session, spec)
                finally:
                    self._notices.profiles_changed.set()
            case rpc.StartProxy(spec=proxy_spec):
                if not proxy_spec.profile:
                    return await session.start_proxy(proxy_spec)
                try:
                    return await start_proxy(session, proxy_spec)
                finally:
                    self._notices.profiles_changed.set()
            case rpc.StopProxy(proxy=proxy):
                await session.stop_proxy(proxy)
                if self._saver.profiles:
                    self._notices.profiles_changed.set()
            case rpc.SetKeepRunning(on=on):
                self._saver.keep_requested, self._saver.orphaned = on, False
            case rpc.SetKeepRunningIfLost(on=on):
                self._keep_running_if_lost = on
            case rpc.Stop(forward=forward):
                await session.stop(forward)
                if self._saver.profiles:
                    self._notices.profiles_changed.set()
            case rpc.Pause(forward=forward):
                await session.pause(forward)
            case rpc.Resume(forward=forward):
                await session.resume(forward)
            case rpc.Reconnect(forward=forward):
                await session.reconnect(forward)
            case rpc.BeginLogin(cluster=cluster):
                command = await session.begin_login(cluster)
                if command is None:
                    return ()
                self._logins.add(cluster)
                return (command,)
            case rpc.FinishLogin(cluster=cluster, output=output, exit_code=exit_code):
                self._logins.discard(cluster)
                await session.finish_login(cluster, output, exit_code)
            case rpc.CancelLogin(cluster=cluster):
                self._logins.discard(cluster)
                await session.cancel_login(cluster)
            case rpc.RetryLogin(cluster=cluster):
                await session.retry_login(cluster)
            case rpc.CloseConnection(connection=connection):
                await session.close_connection(connection)
            case _:
                raise UsageError(f"the engine does not support {type(request).__name__}")
        return None

    async def _send_response(self, message: rpc.FromEngine) -> None:
        try:
            await self._send(message)
        except OSError as error:
            raise _ClientGoneError from error

    async def _send(self, message: rpc.FromEngine) -> None:
        async with self._send_lock:
            self._writer.write(rpc.encode_message(message))
            await self._writer.drain()


def _encode_result(request: rpc.Request, value: object) -> rpc.Result:
    result = rpc.encode_value(value)
    if len(result) > rpc.MAX_RESPONSE - _MAX_RESULT_HEADER:
        raise UsageError(
            f"the answer has {format_bytes(len(result))}, more than can be transferred",
            hint="choose a namespace instead of all",
        )
    return rpc.Result(request.id, result)


def _internal_error(request: rpc.Request, error: BaseException) -> rpc.Failure:
    """Log an unexpected exception; return a response without its text, which may have secrets."""
    _log.error("request %s failed", type(request).__name__, exc_info=error)
    detail = type(error).__name__
    if isinstance(error, OSError) and error.errno:
        detail = f"{detail}, {os.strerror(error.errno).lower()}"
    reason = Reason(code=ReasonCode.INTERNAL_ERROR, detail=detail)
    return rpc.from_exception(request.id, TuiForwardError(reason))
