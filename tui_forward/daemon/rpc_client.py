"""Client of the engine process: requests and subscriptions over its unix socket.

Imports neither the engine nor a Kubernetes client, because the dashboard's process uses it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from tui_forward.common.tasks import spawn
from tui_forward.daemon import rpc, unix_socket
from tui_forward.daemon.framing import read_message
from tui_forward.errors import ProtocolError, TransportError, TuiForwardError
from tui_forward.model import Caller, Reason, ReasonCode

_HELLO_S = 10.0
_CLOSE_S = 2.0
# Longer than the engine takes to answer that a request failed (`server._REQUEST_S`).
_RESPONSE_S = 40.0
# Items of a subscription that are kept for a slow reader; then the oldest are dropped, as in the
# engine's event log. Responses share the socket and must not wait for the reader.
_MAX_ITEMS = 1024

T = TypeVar("T")


class EngineRefusedError(TransportError):
    """An engine serves the socket but refuses this client; trying again cannot help."""


class VersionMismatchError(EngineRefusedError):
    """The engine is of another version."""

    def __init__(self, version: int) -> None:
        # The engine is older than this program, and can be replaced.
        self.older = version < rpc.VERSION
        super().__init__(
            f"the running engine is {'older' if self.older else 'newer'} than this program",
            hint="restart it, which keeps all ports: tui-forward restart"
            if self.older
            else "quit this program and start it again",
        )


class RpcClient:
    """Connection to an engine process. Created by `open`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, welcome: rpc.Welcome
    ) -> None:
        self.engine_pid = welcome.pid  # process id of the engine
        # Kubeconfig that the engine was started with; empty for kubectl's default.
        self.kubeconfig = welcome.kubeconfig
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[rpc.Result]] = {}
        self._part_handlers: dict[int, Callable[[msgspec.Raw], None]] = {}
        self._subscriptions: dict[int, _Subscription] = {}
        self._lost: TransportError | None = None
        self._reading = spawn(self._read(), name="rpc client")

    @classmethod
    async def open(cls, path: Path, *, caller: Caller | None = None) -> RpcClient:
        """Connect to the engine process that serves `path`.

        `caller` is whose environment credential plugins run in, for this client's requests.
        Raise VersionMismatchError if it is of another version, EngineRefusedError if it belongs to
        another user, TransportError if no engine serves the socket.
        """
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(_HELLO_S):
                reader, writer = await asyncio.open_unix_connection(path)
                sock = writer.get_extra_info("socket")
                if sock is None or not unix_socket.is_same_user(sock):
                    raise EngineRefusedError(f"the engine at {path} belongs to another user")
                writer.write(rpc.encode_message(rpc.Hello(rpc.VERSION, caller)))
                await writer.drain()
                body = await read_message(reader, rpc.MAX_RESPONSE)
            if body is None:
                raise TransportError("the engine closed the connection")
            response = rpc.decode_response(body)
            if isinstance(response, rpc.VersionMismatch):
                raise VersionMismatchError(response.version)
            if not isinstance(response, rpc.Welcome):
                raise TransportError("the process at the engine's socket is not an engine")
            return cls(reader, writer, response)
        except TimeoutError as error:
            if writer is not None:
                writer.transport.abort()
            holder = unix_socket.SocketLock(path).holder
            raise TransportError(
                f"the engine at {path} is not responding",
                hint=f"end it with kill -9 {holder}" if holder else "",
            ) from error
        except (OSError, ProtocolError) as error:
            if writer is not None:
                writer.transport.abort()
            raise TransportError(f"cannot connect to the engine at {path}: {error}") from error
        except BaseException:
            if writer is not None:
                writer.transport.abort()
            raise

    @property
    def lost(self) -> TransportError | None:
        """Why the connection has ended; None while it is open."""
        return self._lost

    async def request(
        self, make_request: Callable[[int], rpc.Request], kind: type[T],
        on_part: Callable[[msgspec.Raw], None] | None = None,
    ) -> T:  # fmt: skip
        """Send a request, made from an id, and return the value of its response.

        `on_part` receives the parts that come before; it may raise a ProtocolError.

        Safe to cancel: the engine cancels the request, too. Raise its TuiForwardError if it failed
        in the engine, TransportError if the connection is lost, the response is invalid, or none
        arrives in time.
        """
        request_id = next(self._ids)
        response: asyncio.Future[rpc.Result] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = response
        if on_part is not None:
            self._part_handlers[request_id] = on_part
        try:
            async with asyncio.timeout(_RESPONSE_S):
                await self._send(make_request(request_id))
                result = await response
        except asyncio.CancelledError:
            self._cancel(request_id)
            raise
        except TimeoutError as error:
            self._cancel(request_id)
            reason = Reason(code=ReasonCode.ENGINE_NOT_RESPONDING, timeout_s=_RESPONSE_S)
            raise TransportError(reason) from error
        finally:
            self._pending.pop(request_id, None)
            self._part_handlers.pop(request_id, None)
            if response.done() and not response.cancelled():
                response.exception()  # retrieved: if sending failed, that error is raised instead
        try:
            return rpc.decode_value(result.value, kind)
        except ProtocolError as error:
            raise TransportError(str(error)) from error

    async def subscribe(
        self, make_request: Callable[[int], rpc.Subscription], kind: type[T]
    ) -> AsyncGenerator[T, None]:
        """Subscribe with a request made from an id; yield items until the subscription ends."""
        request_id = next(self._ids)
        subscription = self._subscriptions[request_id] = _Subscription()
        try:
            await self._send(make_request(request_id))
            while (item := await subscription.get()) is not None:
                yield rpc.decode_value(item.value, kind)
            if subscription.error is not None:
                raise subscription.error
        finally:
            self._subscriptions.pop(request_id, None)
            self._cancel(request_id)

    async def close(self) -> None:
        """Disconnect. Forwards in the engine process are not affected. Idempotent."""
        self._fail(TransportError("the session is closed"))
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._writer.wait_closed()
        except TimeoutError:  # the engine does not read what was sent
            self._writer.transport.abort()
        except OSError:
            pass

    def _cancel(self, request_id: int) -> None:
        """Cancel a request in the engine, if the connection is open."""
        if self._lost is None and not self._writer.is_closing():
            self._writer.write(rpc.encode_message(rpc.Cancel(request_id)))

    async def _send(self, message: rpc.FromClient) -> None:
        if self._lost is not None:
            raise self._lost
        try:
            self._writer.write(rpc.encode_message(message))
            await self._writer.drain()
        except OSError as error:
            # The reading task detects this as well, but maybe later.
            self._fail(_engine_gone())
            assert self._lost is not None
            raise self._lost from error

    async def _read(self) -> None:
        lost = _engine_gone()
        try:
            while (body := await read_message(self._reader, rpc.MAX_RESPONSE)) is not None:
                self._receive(rpc.decode_response(body))
        except (OSError, ProtocolError) as error:
            lost = TransportError(f"lost the connection to the engine: {error}", hint=lost.hint)
        finally:
            # No request may wait for a response that cannot arrive.
            self._fail(lost)

    def _receive(self, response: rpc.FromEngine) -> None:
        match response:
            case rpc.Result(id=request_id):
                pending = self._pending.get(request_id)
                if pending is not None and not pending.done():
                    pending.set_result(response)
            case rpc.Failure(id=request_id):
                pending = self._pending.get(request_id)
                if pending is not None and not pending.done():
                    pending.set_exception(rpc.to_exception(response))
                elif (subscription := self._subscriptions.get(request_id)) is not None:
                    subscription.end(rpc.to_exception(response))
            case rpc.Item(id=request_id):
                if (handler := self._part_handlers.get(request_id)) is not None:
                    handler(response.value)
                elif (subscription := self._subscriptions.get(request_id)) is not None:
                    subscription.put(response)
            case rpc.End(id=request_id):
                if (subscription := self._subscriptions.get(request_id)) is not None:
                    subscription.end(None)
            case _:
                raise ProtocolError(f"unexpected {type(response).__name__} after the handshake")

    def _fail(self, error: TransportError) -> None:
        if self._lost is None:
            self._lost = error
        for pending in self._pending.values():
            if not pending.done():
                pending.set_exception(self._lost)
        for subscription in self._subscriptions.values():
            subscription.end(self._lost)


def _engine_gone() -> TransportError:
    return TransportError("the engine process is gone", hint="start tui-forward again")


class _Subscription:
    """Items that have arrived for a subscription and were not taken yet."""

    def __init__(self) -> None:
        self._items: deque[rpc.Item] = deque(maxlen=_MAX_ITEMS)
        self._changed = asyncio.Event()
        self._ended = False
        self.error: TuiForwardError | None = None

    def put(self, item: rpc.Item) -> None:
        """Add an item."""
        self._items.append(item)
        self._changed.set()

    def end(self, error: TuiForwardError | None) -> None:
        """End the subscription; items that have arrived are still returned first."""
        if not self._ended:
            self._ended = True
            self.error = error
            self._changed.set()

    async def get(self) -> rpc.Item | None:
        """Return the next item, or None at the end."""
        while not self._items:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._items.popleft()
