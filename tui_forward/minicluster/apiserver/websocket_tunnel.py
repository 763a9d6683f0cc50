"""SPDY inside a WebSocket (KEP-4006), at the API server: frames to the client, raw bytes behind.

The payload of the client's masked frames goes to the kubelet; the kubelet's bytes go to the client
in binary messages. As with a raw relay, the end of either side ends both, the WebSocket with
close code 1000.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tui_forward.errors import ProtocolError
from tui_forward.minicluster.relay import HEADROOM, Relay
from tui_forward.minicluster.socket_connection import SocketConnection
from tui_forward.protocol.spdy.connection import Side
from tui_forward.protocol.websocket import WebSocketConnection, frame_head

# Go's proxy writes at most this much at a time: its copy buffer.
GO_COPY_SIZE = 32 * 1024
_BINARY = 0x2


class WebSocketTunnel(Relay):
    """Relay of a client's WebSocket and a kubelet's SPDY; `go_framing` writes fields as Go does."""

    def __init__(
        self, downstream: SocketConnection, upstream: SocketConnection, *, go_framing: bool = False
    ) -> None:
        self._splitter = SpdyFieldSplitter() if go_framing else None
        self._payload: list[memoryview] = []
        self._websocket = WebSocketConnection(Side.SERVER, self, binary_only=True)
        super().__init__(downstream, upstream)

    def message_started(self, opcode: int) -> None:
        """Ignore message boundaries: the payload is a byte stream."""

    def payload_received(self, data: memoryview) -> None:
        """Collect bytes for the kubelet."""
        self._payload.append(data)

    def message_ended(self) -> None:
        """Ignore message boundaries: the payload is a byte stream."""

    def pong_received(self, payload: bytes) -> None:
        """Ignore pongs: this side never sends a ping."""

    def websocket_ended(self, error: ProtocolError | None) -> None:
        """Do nothing: `_forward_up` ends the tunnel."""

    def _forward_up(self, buffer: memoryview, size: int) -> bool:
        self._websocket.receive_data(buffer[HEADROOM : HEADROOM + size])
        is_sent = True
        if self._payload:
            # A copy: the shared buffer is reused before all of it is sent.
            joined = b"".join(self._payload)
            self._payload.clear()
            is_sent = self.upstream.send(memoryview(joined))
        if self._websocket.ended:
            self.cut()
        elif self._websocket.has_data_to_send and self.downstream.flush():
            # A pong. If the client accepts no data, the pong is sent after the next frame.
            joined = b"".join(self._websocket.data_to_send())
            if not self.downstream.send(memoryview(joined)):
                self._down.wait_for_sink()
        return is_sent

    def _forward_down(self, buffer: memoryview, size: int) -> bool:
        if self._splitter is not None:
            data = bytes(buffer[HEADROOM : HEADROOM + size])
            self._websocket.send_fragmented(self._splitter.split(data))
            joined = b"".join(self._websocket.data_to_send())
            return self.downstream.send(memoryview(joined))
        header = frame_head(_BINARY, size)
        start = HEADROOM - len(header)
        buffer[start:HEADROOM] = header
        return self.downstream.send(buffer[start : HEADROOM + size])

    def _close_downstream(self) -> None:
        with contextlib.suppress(OSError):
            # Only between two frames: inside a frame, a close frame would be payload.
            if self.downstream.flush():
                self._websocket.close()
                self.downstream.send(memoryview(b"".join(self._websocket.data_to_send())))
        self.downstream.close()


class SpdyFieldSplitter:
    """Splits a SPDY byte stream at the boundaries of the writes of Go's framer: at every field.

    A control frame is written as version, type, flags-and-length and body; a DATA frame as
    stream id, flags-and-length and payload (spdystream, `spdy/write.go`).
    """

    def __init__(self) -> None:
        self._header = b""
        self._body_left = 0

    def split(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the pieces of the next chunk of the stream."""
        offset = 0
        while offset < len(chunk):
            if self._body_left:
                end = min(len(chunk), offset + min(self._body_left, GO_COPY_SIZE))
                self._body_left -= end - offset
                yield chunk[offset:end]
                offset = end
                continue
            missing = 8 - len(self._header)
            self._header += chunk[offset : offset + missing]
            offset += missing
            if len(self._header) < 8:
                return
            header, self._header = self._header, b""
            self._body_left = int.from_bytes(header[5:8], "big")
            if header[0] & 0x80:
                yield header[:2]
                yield header[2:4]
            else:
                yield header[:4]
            yield header[4:]
