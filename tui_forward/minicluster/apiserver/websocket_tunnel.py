"""SPDY inside a WebSocket (KEP-4006), at the API server: frames in front, raw bytes behind.

The client's masked frames are opened and their payload goes to the kubelet; what comes from
the kubelet goes into binary messages. As with a raw relay, the end of either side ends both;
the WebSocket with close code 1000.

Both directions work like `relay`: a buffer that all share, and a sink that is full pauses its
source.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from tui_forward.errors import ProtocolError
from tui_forward.minicluster.relay import CHUNK, SocketConnection
from tui_forward.protocol.spdy.connection import Side
from tui_forward.protocol.websocket import WebSocketConnection, frame_head

# The longest head of a frame that is not masked.
HEAD = 10
# What Go's proxy is given per write: its copy buffer.
GO_COPY = 32 * 1024
_BINARY = 0x2


# All tunnels read into this, from `HEAD` on, so that a frame's head can be put in front. The
# API server has one thread; what is read is passed on or copied before anything else runs.
_BUFFER = memoryview(bytearray(HEAD + CHUNK))


class _Direction:
    """Reads from `source` whenever `sink` has taken everything, and calls `forward`.

    Args:
        forward: Gets a buffer with `HEAD` bytes of room and then so many bytes of data; False
            when the sink is full.
        on_end: Called at the source's end, or when either side breaks.
    """

    def __init__(
        self,
        source: SocketConnection,
        sink: SocketConnection,
        forward: Callable[[memoryview, int], bool],
        on_end: Callable[[], None],
    ) -> None:
        self._source = source
        self._sink = sink
        self._forward = forward
        self._on_end = on_end
        self._loop = source.loop
        self._reading = False
        self._timer: asyncio.TimerHandle | None = None
        self.delay_s = 0.0
        self.stalled = False

    def start(self) -> None:
        """Move bytes, unless stalled, delayed or waiting for the sink."""
        if self._reading or self.stalled or self._timer is not None:
            return
        try:
            if not self._sink.flush():
                self._loop.add_writer(self._sink.sock, self._writable)
                return
        except OSError:
            self._on_end()
            return
        self._reading = True
        self._loop.add_reader(self._source.sock, self._readable)
        if self._source.pending:
            self._loop.call_soon(self._readable)

    def pause(self) -> None:
        """Read nothing more until `start`."""
        self._reading = False
        if not self._source.closed:
            self._loop.remove_reader(self._source.sock)

    def stop(self) -> None:
        """Move nothing any more."""
        self.pause()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._sink.closed:
            self._loop.remove_writer(self._sink.sock)

    def _readable(self) -> None:
        if not self._reading:
            return
        try:
            got = self._source.read_into(_BUFFER[HEAD:])
            if not got:
                self._on_end()
                return
            if self.delay_s:
                self.pause()
                kept = memoryview(bytearray(_BUFFER[: HEAD + got]))
                self._timer = self._loop.call_later(self.delay_s, self._late, kept, got)
                return
            if self._forward(_BUFFER, got):
                if self._source.pending:
                    self._loop.call_soon(self._readable)
                return
        except BlockingIOError:
            return
        except OSError:
            self._on_end()
            return
        self.wait_for_sink()

    def _late(self, kept: memoryview, got: int) -> None:
        self._timer = None
        try:
            full = not self._forward(kept, got)
        except OSError:
            self._on_end()
            return
        if full:
            self.wait_for_sink()
        else:
            self.start()

    def wait_for_sink(self) -> None:
        """Go on once the sink has taken what it was given."""
        self.pause()
        if not self._sink.closed:
            self._loop.add_writer(self._sink.sock, self._writable)

    def _writable(self) -> None:
        try:
            if not self._sink.flush():
                return
        except OSError:
            self._on_end()
            return
        self._loop.remove_writer(self._sink.sock)
        self.start()


class WebSocketTunnel:
    """A running tunnel; the counterpart of `relay.Relay` for WebSockets.

    Args:
        downstream: Towards the client, after the 101.
        upstream: Towards the kubelet, after its 101.
        like_go: Write every SPDY field in a message of its own, fragmented as Go's
            WebSocket library does, to see that clients cope.
    """

    def __init__(
        self, downstream: SocketConnection, upstream: SocketConnection, *, like_go: bool = False
    ) -> None:
        self._downstream = downstream
        self._upstream = upstream
        self._fields = SpdyFields() if like_go else None
        self._pieces: list[memoryview] = []
        self._socket = WebSocketConnection(Side.SERVER, self, binary_only=True)
        self._done: asyncio.Future[None] = downstream.loop.create_future()
        self._up = _Direction(downstream, upstream, self._forward_up, self.cut)
        self._down = _Direction(upstream, downstream, self._forward_down, self.cut)
        self._up.start()
        self._down.start()

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

    def websocket_ended(self, error: ProtocolError | None) -> None:
        """The client closed, or broke the protocol; `_forward_up` ends the tunnel."""

    # -- the two directions --------------------------------------------------------------------

    def _forward_up(self, buffer: memoryview, got: int) -> bool:
        self._socket.receive_data(buffer[HEAD : HEAD + got])
        taken = True
        if self._pieces:
            # Joined into memory of its own: the buffer is used again before all is sent.
            joined = b"".join(self._pieces)
            self._pieces.clear()
            taken = self._upstream.send(memoryview(joined))
        if self._socket.ended:
            self.cut()
        elif self._socket.has_data_to_send and self._downstream.flush():
            # A pong. Where the client takes nothing it waits, with all else, for the next.
            self._answer()
        return taken

    def _answer(self) -> None:
        joined = b"".join(self._socket.data_to_send())
        if not self._downstream.send(memoryview(joined)):
            self._down.wait_for_sink()

    def _forward_down(self, buffer: memoryview, got: int) -> bool:
        if self._fields is not None:
            self._socket.send_fragmented(self._fields.cut(bytes(buffer[HEAD : HEAD + got])))
            joined = b"".join(self._socket.data_to_send())
            return self._downstream.send(memoryview(joined))
        head = frame_head(_BINARY, got)
        start = HEAD - len(head)
        buffer[start:HEAD] = head
        return self._downstream.send(buffer[start : HEAD + got])

    # -- control -----------------------------------------------------------------------------

    @property
    def delay_s(self) -> float:
        """Every chunk waits this long, one after the other."""
        return self._down.delay_s

    @delay_s.setter
    def delay_s(self, seconds: float) -> None:
        self._up.delay_s = self._down.delay_s = seconds

    def stall(self) -> None:
        """Move nothing, close nothing."""
        for direction in (self._up, self._down):
            direction.stalled = True
            direction.stop()

    def resume(self) -> None:
        """End a `stall`."""
        if self._done.done():
            return
        for direction in (self._up, self._down):
            direction.stalled = False
            direction.start()

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
        self._up.stop()
        self._down.stop()
        if reset:
            self._downstream.abort()
            self._upstream.abort()
            return
        with contextlib.suppress(OSError):
            # Between two frames only: inside one, a close frame would be payload.
            if self._downstream.flush():
                self._socket.close()
                self._downstream.send(memoryview(b"".join(self._socket.data_to_send())))
        self._downstream.close()
        self._upstream.close()

    async def wait(self) -> None:
        """Return when the tunnel has ended; a cancellation ends it."""
        try:
            await asyncio.shield(self._done)
        finally:
            self.cut()


class SpdyFields:
    """Cuts a SPDY byte stream where Go's framer writes: at every field.

    A control frame is written as version, type, flags-and-length, then the rest; a DATA frame as
    stream id, flags-and-length, payload (spdystream, `spdy/write.go`).
    """

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    def cut(self, chunk: bytes) -> Iterator[bytes]:
        """The pieces of the next chunk of the stream."""
        at = 0
        while at < len(chunk):
            if self._left:
                end = min(len(chunk), at + min(self._left, GO_COPY))
                self._left -= end - at
                yield chunk[at:end]
                at = end
                continue
            need = 8 - len(self._head)
            self._head += chunk[at : at + need]
            at += need
            if len(self._head) < 8:
                return
            head, self._head = self._head, b""
            self._left = int.from_bytes(head[5:8], "big")
            if head[0] & 0x80:
                yield head[:2]
                yield head[2:4]
            else:
                yield head[:4]
            yield head[4:]
