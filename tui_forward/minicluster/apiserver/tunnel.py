"""SPDY inside a WebSocket (KEP-4006), at the API server: frames in front, raw bytes behind.

The client's masked frames are opened and their payload goes to the kubelet; what comes from
the kubelet goes into binary messages. As with a raw relay, the end of either side ends both;
the WebSocket with close code 1000.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

from tui_forward.errors import ProtocolError
from tui_forward.minicluster.relay import Wire
from tui_forward.protocol.spdy.connection import Side
from tui_forward.protocol.websocket import WebSocketConnection

# What Go's tunnelling connection is given per write: its copy buffer.
GO_COPY = 32 * 1024
CHUNK = 256 * 1024


class WebSocketTunnel:
    """A running tunnel; the counterpart of `relay.Relay` for WebSockets.

    Attributes:
        delay_s: Every chunk waits this long, one after the other.

    Args:
        downstream: Towards the client, after the 101.
        upstream: Towards the kubelet, after its 101.
        like_go: Write every SPDY field in a message of its own, fragmented as Go's
            WebSocket library does, to see that clients cope.
    """

    def __init__(self, downstream: Wire, upstream: Wire, *, like_go: bool = False) -> None:
        self._downstream = downstream
        self._upstream = upstream
        self._like_go = like_go
        self._pieces: list[memoryview] = []
        self._ended = False
        self.delay_s = 0.0
        self._socket = WebSocketConnection(Side.SERVER, self, binary_only=True)
        self._running = asyncio.Event()
        self._running.set()
        self._sending = asyncio.Lock()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks = (
            asyncio.ensure_future(self._guard(self._up)),
            asyncio.ensure_future(self._guard(self._down)),
        )

    # -- WebSocketReceiver -------------------------------------------------------------------

    def message_started(self, opcode: int) -> None:
        """Boundaries of messages mean nothing here."""

    def payload_received(self, data: memoryview) -> None:
        """Bytes for the kubelet."""
        self._pieces.append(data)

    def message_ended(self) -> None:
        """Boundaries of messages mean nothing here."""

    def pong_received(self, payload: bytes) -> None:
        """No ping is ever sent; this one was not asked for."""

    def websocket_ended(self, error: ProtocolError | None) -> None:  # noqa: ARG002 - either way
        """The client closed, or broke the protocol."""
        self._ended = True

    # -- the two directions --------------------------------------------------------------------

    async def _guard(self, direction: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with contextlib.suppress(OSError):  # either side broke; both end
            await direction()
        self.cut()

    async def _up(self) -> None:
        while not self._ended:
            chunk = await self._downstream.read(CHUNK)
            await self._pause()
            if not chunk:
                return
            self._socket.receive_data(chunk)
            if self._pieces:
                pieces, self._pieces = self._pieces, []
                joined = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                await self._upstream.write(joined)
            if self._socket.has_data_to_send:
                await self._flush()

    async def _down(self) -> None:
        while True:
            chunk = await self._upstream.read(CHUNK)
            await self._pause()
            if not chunk:
                return
            if self._like_go:
                self._socket.send_like_go(spdy_fields(chunk))
            else:
                self._socket.send(chunk)
            await self._flush()

    async def _pause(self) -> None:
        """What faults make of a chunk: it waits."""
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        await self._running.wait()

    async def _flush(self) -> None:
        async with self._sending:  # pongs of one direction, data of the other
            if data := self._socket.data_to_send():
                await self._downstream.write(b"".join(data))

    # -- control -----------------------------------------------------------------------------

    def stall(self) -> None:
        """Move nothing, close nothing."""
        self._running.clear()

    def resume(self) -> None:
        """End a `stall`."""
        self._running.set()

    def cut(self) -> None:
        """End both sides, the WebSocket in order."""
        self._end(reset=False)

    def reset(self) -> None:
        """End both sides with a reset."""
        self._end(reset=True)

    def _end(self, *, reset: bool) -> None:
        if self._done.done():
            return
        self._done.set_result(None)
        for task in self._tasks:
            task.cancel()
        if reset:
            self._downstream.abort()
            self._upstream.abort()
            return
        if not self._sending.locked():
            self._socket.close()
            with contextlib.suppress(OSError):
                self._downstream.send(memoryview(b"".join(self._socket.data_to_send())))
        self._downstream.close()
        self._upstream.close()

    async def wait(self) -> None:
        """Return when the tunnel has ended; a cancellation ends it."""
        try:
            await asyncio.shield(self._done)
        finally:
            self.cut()
            await asyncio.gather(*self._tasks, return_exceptions=True)


def spdy_fields(chunk: bytes) -> Iterable[bytes]:
    """Cut a piece of a SPDY stream as Go writes it: small fields, then payload in 32 KiB.

    Where in the stream the piece begins is not known, and need not be: the point is that
    boundaries of messages carry no meaning.
    """
    return _cut(chunk)


def _cut(chunk: bytes) -> Iterator[bytes]:
    head, rest = chunk[:8], chunk[8:]
    for start in range(0, len(head), 4):
        yield head[start : start + 4]
    for start in range(0, len(rest), GO_COPY):
        yield rest[start : start + GO_COPY]
