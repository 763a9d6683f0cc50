"""`RemoteSession`: the session of an engine process, over its unix socket.

Imports neither the engine nor a Kubernetes client: the screen's process lives on this side.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from tui_forward.common.tasks import spawn
from tui_forward.daemon import rpc as rpc
from tui_forward.daemon import unix_socket as unix_socket
from tui_forward.daemon.framing import read_message
from tui_forward.errors import ProtocolError, TransportError, TuiForwardError
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

_HELLO_S = 10.0
# Items of a subscription kept for a reader that does not take them; then the oldest go, as
# they do in the engine's own log. Answers to requests share the socket and must not wait.
_ITEMS = 1024

T = TypeVar("T")


class EngineRefusedError(TransportError):
    """Somebody serves the socket, and will not serve us: trying again cannot help."""


class VersionMismatchError(EngineRefusedError):
    """The engine is of another version. `older` says that it is the one to be replaced."""

    def __init__(self, version: int) -> None:
        self.older = version < rpc.VERSION
        which = "older" if self.older else "newer"
        super().__init__(
            f"the engine that runs is {which} than this program",
            hint="put a new one in its place, which keeps all ports: tui-forward restart"
            if self.older
            else "end this program and begin it anew",
        )


class RemoteSession:
    """A `Session` behind a unix socket. Made by `open`.

    Attributes:
        engine_pid: The engine process.
        kubeconfig: What it was started with; empty for kubectl's default.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        welcome: rpc.Welcome,
    ) -> None:
        self.engine_pid = welcome.pid
        self.kubeconfig = welcome.kubeconfig
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[rpc.Result]] = {}
        self._streams: dict[int, _Stream] = {}
        self._lost: TransportError | None = None
        self._reading = spawn(self._read(), name="engine's answers")

    @classmethod
    async def open(cls, path: Path) -> RemoteSession:
        """Connect to the engine process that serves `path`.

        Raises:
            OtherVersionError: It is of another version.
            EngineRefusedError: It belongs to another user.
            TransportError: Nobody serves it, or what does is no engine.
        """
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(_HELLO_S):
                reader, writer = await asyncio.open_unix_connection(path)
                sock = writer.get_extra_info("socket")
                if sock is None or not unix_socket.is_same_user(sock):
                    raise EngineRefusedError(f"the engine at {path} belongs to another user")
                writer.write(rpc.encode_message(rpc.Hello(rpc.VERSION)))
                await writer.drain()
                body = await read_message(reader, rpc.MAX_ANSWER)
            if body is None:
                raise TransportError("the engine hung up")
            answer = rpc.unpack_answer(body)
            if isinstance(answer, rpc.VersionMismatch):
                raise VersionMismatchError(answer.version)
            if not isinstance(answer, rpc.Welcome):
                raise TransportError("what listens on the engine's socket is not an engine")
            return cls(reader, writer, answer)
        except TimeoutError as error:
            if writer is not None:
                writer.transport.abort()
            holder = unix_socket.SocketLock(path).holder
            raise TransportError(
                f"the engine at {path} does not answer",
                hint=f"end it: kill -9 {holder}" if holder else "",
            ) from error
        except (OSError, ProtocolError) as error:
            if writer is not None:
                writer.transport.abort()
            raise TransportError(f"cannot talk to the engine at {path}: {error}") from error
        except BaseException:
            if writer is not None:
                writer.transport.abort()
            raise

    @property
    def lost(self) -> TransportError | None:
        """Why the engine cannot be reached any more; None as long as it can."""
        return self._lost

    # Commands -------------------------------------------------------------------------

    async def start(self, spec: ForwardSpec) -> str:
        """See `Session.start`."""
        return await self._ask(lambda number: rpc.Start(number, spec), str)

    async def stop(self, forward_id: str) -> None:
        """See `Session.stop`."""
        await self._tell(lambda number: rpc.Stop(number, forward_id))

    async def pause(self, forward_id: str) -> None:
        """See `Session.pause`."""
        await self._tell(lambda number: rpc.Pause(number, forward_id))

    async def resume(self, forward_id: str) -> None:
        """See `Session.resume`."""
        await self._tell(lambda number: rpc.Resume(number, forward_id))

    async def reconnect(self, forward_id: str) -> None:
        """See `Session.reconnect`."""
        await self._tell(lambda number: rpc.Reconnect(number, forward_id))

    async def set_keep_running(self, on: bool) -> None:
        """See `Session.keep`."""
        await self._tell(lambda number: rpc.SetKeepRunning(number, on))

    async def set_keep_running_if_lost(self, on: bool) -> None:
        """See `Session.keep_if_lost`."""
        await self._tell(lambda number: rpc.SetKeepRunningIfLost(number, on))

    async def close_connection(self, connection_id: int) -> None:
        """See `Session.close_connection`."""
        await self._tell(lambda number: rpc.CloseConnection(number, connection_id))

    # Reading --------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        """See `Session.snapshot`."""
        return await self._ask(rpc.GetSnapshot, Snapshot)

    async def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        """See `Session.connections`."""
        return await self._ask(
            lambda number: rpc.GetConnections(number, forward_id), tuple[Connection, ...]
        )

    async def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        """See `Session.timeline`."""
        return await self._ask(
            lambda number: rpc.GetTimeline(number, forward_id), tuple[TimelineEntry, ...]
        )

    async def histories(self) -> tuple[TrafficHistory, ...]:
        """See `Session.histories`."""
        return await self._ask(rpc.GetHistories, tuple[TrafficHistory, ...])

    async def hops(self, forward_id: str) -> tuple[Hop, ...]:
        """See `Session.hops`."""
        return await self._ask(lambda number: rpc.GetHops(number, forward_id), tuple[Hop, ...])

    async def pod_log(self, forward_id: str, *, container: str = "", lines: int = 200) -> PodLog:
        """See `Session.pod_log`."""
        return await self._ask(
            lambda number: rpc.GetPodLog(number, forward_id, container, lines), PodLog
        )

    async def contexts(self) -> tuple[Context, ...]:
        """See `Session.contexts`."""
        return await self._ask(rpc.GetContexts, tuple[Context, ...])

    async def catalog(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        """See `Session.catalog`."""
        return await self._ask(lambda number: rpc.GetCatalog(number, scope, since), CatalogView)

    async def events(self, since: int = 0) -> AsyncIterator[Event]:
        """See `Session.events`."""
        number = next(self._numbers)
        stream = self._streams[number] = _Stream()
        try:
            await self._send(rpc.Subscribe(number, since))
            while (item := await stream.get()) is not None:
                yield rpc.decode_value(item.value, Event)
            if stream.error is not None:
                raise stream.error
        finally:
            self._streams.pop(number, None)
            self._forget(number)

    async def close(self) -> None:
        """Disconnect. What runs in the engine process goes on. Idempotent."""
        self._fail(TransportError("the session is closed"))
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    # The wire -------------------------------------------------------------------------

    async def _tell(self, request: Callable[[int], rpc.Request]) -> None:
        await self._ask(request, type(None))

    async def _ask(self, request: Callable[[int], rpc.Request], kind: type[T]) -> T:
        number = next(self._numbers)
        answer: asyncio.Future[rpc.Result] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            await self._send(request(number))
            result = await answer
        except asyncio.CancelledError:
            self._forget(number)
            raise
        finally:
            self._waiting.pop(number, None)
            if answer.done() and not answer.cancelled():
                answer.exception()  # what could not even be sent has failed twice
        try:
            return rpc.decode_value(result.value, kind)
        except ProtocolError as error:
            raise TransportError(str(error)) from error

    def _forget(self, number: int) -> None:
        """Tell the engine that nobody waits for an answer any more, if it still listens."""
        if self._lost is None and not self._writer.is_closing():
            self._writer.write(rpc.encode_message(rpc.Cancel(number)))

    async def _send(self, message: rpc.FromFrontEnd) -> None:
        if self._lost is not None:
            raise self._lost
        try:
            self._writer.write(rpc.encode_message(message))
            await self._writer.drain()
        except OSError as error:
            # Whoever reads finds out as well, but maybe a moment later.
            self._fail(TransportError("the engine process is gone", hint="start tui-forward again"))
            assert self._lost is not None
            raise self._lost from error

    async def _read(self) -> None:
        gone = TransportError("the engine process is gone", hint="start tui-forward again")
        try:
            while (body := await read_message(self._reader, rpc.MAX_ANSWER)) is not None:
                self._received(rpc.unpack_answer(body))
        except (OSError, ProtocolError) as error:
            gone = TransportError(f"the connection to the engine broke: {error}", hint=gone.hint)
        finally:
            # Whatever ended this: nobody may wait for an answer that cannot come.
            self._fail(gone)

    def _received(self, answer: rpc.FromEngine) -> None:
        match answer:
            case rpc.Result(id=number):
                waiting = self._waiting.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
            case rpc.Failure(id=number):
                waiting = self._waiting.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_exception(rpc.to_exception(answer))
                elif (stream := self._streams.get(number)) is not None:
                    stream.end(rpc.to_exception(answer))
            case rpc.Item(id=number):
                if (stream := self._streams.get(number)) is not None:
                    stream.put(answer)
            case rpc.End(id=number):
                if (stream := self._streams.get(number)) is not None:
                    stream.end(None)
            case _:
                raise ProtocolError("the engine said welcome twice")

    def _fail(self, error: TransportError) -> None:
        if self._lost is None:
            self._lost = error
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(self._lost)
        for stream in self._streams.values():
            stream.end(self._lost)


class _Stream:
    """What has arrived for one subscription and was not taken yet."""

    def __init__(self) -> None:
        self._items: deque[rpc.Item] = deque(maxlen=_ITEMS)
        self._news = asyncio.Event()
        self._ended = False
        self.error: TuiForwardError | None = None

    def put(self, item: rpc.Item) -> None:
        """An item has arrived."""
        self._items.append(item)
        self._news.set()

    def end(self, error: TuiForwardError | None) -> None:
        """Nothing more will arrive; what has arrived is still handed out first."""
        if not self._ended:
            self._ended = True
            self.error = error
            self._news.set()

    async def get(self) -> rpc.Item | None:
        """The next item, or None at the end."""
        while not self._items:
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        return self._items.popleft()
