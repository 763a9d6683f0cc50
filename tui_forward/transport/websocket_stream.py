"""A WebSocket as a byte stream, for SPDY where a proxy rejects its upgrade (KEP-4006)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from tui_forward.errors import ProtocolError, TransportError
from tui_forward.model import Reason, ReasonCode
from tui_forward.protocol.spdy import Side
from tui_forward.protocol.websocket import WebSocketConnection
from tui_forward.transport.stream import Buffer, ByteStream, StreamHandler


class WebSocketStream(ByteStream):
    """Client side of an upgraded WebSocket with binary messages; payloads are concatenated.

    `inner` has its reading paused and is owned from now on; `leftover` came after the 101 response.
    """

    def __init__(self, inner: ByteStream, leftover: bytes) -> None:
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._websocket = WebSocketConnection(Side.CLIENT, self, binary_only=True)
        self._handler: StreamHandler | None = None
        self._leftover = leftover
        # Payload received while reading was paused: at most one chunk.
        self._pending: deque[bytes] = deque()
        self._reading = False
        self._write_paused = False
        self._ended = False
        self._closed = False
        self._error: TransportError | None = None
        inner.set_handler(self)

    @property
    def write_buffer_size(self) -> int:
        """See `ByteStream`."""
        return self._inner.write_buffer_size

    def set_handler(self, handler: StreamHandler) -> None:
        """See `ByteStream`."""
        self._handler = handler
        if self._closed:
            self._loop.call_soon(handler.closed, self._error)

    def resume_reading(self) -> None:
        """See `ByteStream`."""
        if self._reading or self._ended:
            return
        self._reading = True
        if self._pending or self._leftover:
            self._loop.call_soon(self._deliver_pending)
        else:
            self._inner.resume_reading()

    def pause_reading(self) -> None:
        """See `ByteStream`."""
        self._reading = False
        self._inner.pause_reading()

    def write(self, data: Buffer) -> None:
        """See `ByteStream`."""
        self._websocket.send(data)
        self._flush()

    def writelines(self, parts: Sequence[Buffer]) -> None:
        """See `ByteStream`; all parts are one message."""
        self._websocket.send(*parts)
        self._flush()

    def close(self) -> None:
        """See `ByteStream`."""
        if not self._ended:
            self._ended = True
            self._reading = False
            self._websocket.close()
            self._flush()
            self._inner.close()

    def abort(self) -> None:
        """See `ByteStream`."""
        self._ended = True
        self._reading = False
        self._inner.abort()

    def _flush(self) -> None:
        parts = self._websocket.data_to_send()
        if parts:
            self._inner.writelines(parts)

    def _deliver_pending(self) -> None:
        while self._pending and self._reading and self._handler is not None:
            self._handler.data_received(memoryview(self._pending.popleft()))
        if self._leftover and self._reading:
            leftover, self._leftover = self._leftover, b""
            self._parse(memoryview(leftover))
        self._resume_inner()

    def _resume_inner(self) -> None:
        if self._reading:
            self._inner.resume_reading()

    def _parse(self, data: memoryview) -> None:
        self._websocket.receive_data(data)
        # The codec bounds the number of pongs that are not written yet.
        if not self._write_paused and self._websocket.has_data_to_send:
            self._flush()

    # StreamHandler.

    def data_received(self, data: memoryview) -> None:
        """See `StreamHandler`."""
        if not self._ended:
            self._parse(data)

    def writing_paused(self) -> None:
        """See `StreamHandler`."""
        self._write_paused = True
        if self._handler is not None and not self._ended:
            self._handler.writing_paused()

    def writing_resumed(self) -> None:
        """See `StreamHandler`."""
        self._write_paused = False
        if not self._ended:
            self._flush()
            if self._handler is not None:
                self._handler.writing_resumed()

    def closed(self, error: TransportError | None) -> None:
        """See `StreamHandler`."""
        if not self._ended:
            self._error = error
            self._websocket.receive_eof()
        self._ended = True
        self._reading = False
        self._closed = True
        if self._handler is not None:
            self._handler.closed(self._error)

    # WebSocketReceiver.

    def message_started(self, opcode: int) -> None:
        """See `WebSocketReceiver`."""

    def payload_received(self, data: memoryview) -> None:
        """See `WebSocketReceiver`."""
        if self._ended or self._handler is None:
            return
        if self._reading and not self._pending:
            self._handler.data_received(data)
        else:
            self._pending.append(bytes(data))

    def message_ended(self) -> None:
        """See `WebSocketReceiver`."""

    def pong_received(self, payload: bytes) -> None:
        """See `WebSocketReceiver`."""

    def websocket_ended(self, error: ProtocolError | None) -> None:
        """See `WebSocketReceiver`."""
        if self._ended:
            return
        self._ended = True
        self._reading = False
        if self._error is None and error is not None:
            self._error = TransportError(Reason(code=ReasonCode.TUNNEL_LOST, cause=error.reason))
        elif self._error is None and (loss := self._websocket.loss) is not None:
            self._error = TransportError(loss)
        self._flush()
        self._inner.close()
