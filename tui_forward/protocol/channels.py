"""Legacy port-forward channels over WebSocket, client side, without I/O.

`v4.channel.k8s.io` (binary messages), `v4.base64.channel.k8s.io` (text messages) or no
subprotocol (binary): byte 0 of every message is the channel, the rest its bytes. Port
number i of the request has data channel 2i and error channel 2i+1; the server's first
message on each is the port, two bytes little-endian. The behavior is that of `wsstream` and
the streaming server of the CRI (`portforward/websocket.go`).

The server dials every port at once, and there is no half-close: one WebSocket is one
forwarded connection. So `ChannelsClient` is a tunnel and its only pair in one.
"""

from __future__ import annotations

import binascii
from typing import Final

from tui_forward.errors import ProtocolError
from tui_forward.model import Reason, ReasonCode
from tui_forward.protocol.buffers import Buffer
from tui_forward.protocol.error_stream import (
    MAX_ERROR_TEXT_BYTES,
    PortForwardFailure,
    parse_failure,
)
from tui_forward.protocol.masking import Masker
from tui_forward.protocol.portforward import StreamPairReceiver, TunnelHandler
from tui_forward.protocol.spdy import Side
from tui_forward.protocol.websocket import Opcode, WebSocketConnection

MAX_FRAME_BYTES: Final = 32 * 1024 * 1024
"""The Go server ends the connection on a larger frame."""

MAX_MESSAGE_BYTES: Final = 1024 * 1024
"""Own limit: more data is sent as several messages."""

PORT_BYTES: Final = 2


class ChannelCodec:
    """Incremental codec of WebSocket messages: channel number and bytes.

    With `base64` messages are text: a digit and base64.
    """

    __slots__ = ("_base64", "_carry", "_padded", "channel")

    def __init__(self, *, base64: bool) -> None:
        self._base64 = base64
        self._carry = b""
        self._padded = False
        self.channel = -1

    @property
    def opcode(self) -> int:
        """Return the opcode of every message."""
        return Opcode.TEXT if self._base64 else Opcode.BINARY

    def start(self, opcode: int) -> None:
        """Start decoding a message; ProtocolError if its type is not the negotiated one."""
        if opcode != self.opcode:
            raise ProtocolError(f"channel message with opcode {opcode} instead of {self.opcode}")
        self.channel = -1
        self._carry = b""
        self._padded = False

    def decode(self, piece: memoryview) -> memoryview:
        """Decode a piece of the message; return bytes for `channel`, possibly none."""
        if self.channel < 0:
            self.channel = piece[0] - ord("0") if self._base64 else piece[0]
            piece = piece[1:]
        if not self._base64 or not len(piece):
            return piece
        text = self._carry + bytes(piece)
        if self._padded:
            raise ProtocolError("channel message is not base64: text after its padding")
        whole = len(text) // 4 * 4
        self._carry = text[whole:]
        self._padded = text[:whole].endswith(b"=")
        try:
            return memoryview(binascii.a2b_base64(text[:whole], strict_mode=True))
        except binascii.Error as error:
            raise ProtocolError(f"channel message is not base64: {error}") from None

    def end(self) -> None:
        """Finish the message; ProtocolError if its base64 is incomplete."""
        if self._carry:
            raise ProtocolError("channel message ends inside base64")

    def encode(self, channel: int, data: Buffer) -> tuple[Buffer, ...]:
        """Encode the payload of one message, in parts."""
        if not self._base64:
            return bytes((channel,)), data
        return bytes((channel + ord("0"),)), binascii.b2a_base64(data, newline=False)


class ChannelsConnection:
    """One end of a legacy WebSocket: what client and server have in common."""

    __slots__ = ("_codec", "websocket")

    _codec: ChannelCodec
    websocket: WebSocketConnection

    @property
    def ended(self) -> bool:
        """Return whether the WebSocket has ended."""
        return self.websocket.ended

    @property
    def error(self) -> ProtocolError | None:
        """Return the protocol violation that ended the WebSocket, if any."""
        return self.websocket.error

    def data_to_send(self) -> list[Buffer]:
        """Return the queued frames; see `SpdyConnection.data_to_send`."""
        return self.websocket.data_to_send()

    def receive_data(self, chunk: Buffer) -> None:
        """Process bytes of the WebSocket; see `SpdyConnection.receive_data`."""
        self.websocket.receive_data(chunk)

    def receive_eof(self) -> None:
        """Process the end of the transport's data."""
        self.websocket.receive_eof()

    def message_started(self, opcode: int) -> None:
        """Start a message."""
        self._codec.start(opcode)


class ChannelsClient(ChannelsConnection):
    """One forwarded connection over one legacy WebSocket.

    Has the sending methods of `ClientStreamPair` and the receiving ones of `TunnelClient`.
    `base64`: `v4.base64.channel.k8s.io` was negotiated. `mask`: see `protocol.masking`.
    """

    __slots__ = (
        "_handler",
        "_opening",
        "_ping_id",
        "_receiver",
        "_text",
        "accepted",
        "closed",
        "port",
        "writable",
    )

    def __init__(
        self,
        port: int,
        receiver: StreamPairReceiver,
        handler: TunnelHandler,
        *,
        base64: bool = False,
        mask: Masker | None = None,
    ) -> None:
        self.port = port
        self.accepted = False
        self.closed = False
        self.writable = True
        self._receiver = receiver
        self._handler = handler
        self._codec = ChannelCodec(base64=base64)
        # Bytes received of each channel's first message, until both are complete.
        self._opening = [b"", b""]
        self._text = b""
        self._ping_id = 0
        self.websocket = WebSocketConnection(Side.CLIENT, self, mask=mask)

    def send(self, data: Buffer) -> bool:
        """Queue bytes for the application; return False once this direction has ended.

        Never fragmented: the Go server treats every frame as a message.
        """
        if not self.writable:
            return False
        view = memoryview(data)
        for at in range(0, len(view), MAX_MESSAGE_BYTES):
            parts = self._codec.encode(0, view[at : at + MAX_MESSAGE_BYTES])
            self.websocket.send(*parts, opcode=self._codec.opcode)
        return True

    def send_eof(self) -> bool:
        """End the connection: there is no half-close, so this closes the WebSocket.

        Data in flight from the application may still arrive; then `closed` follows.
        """
        sent = self.writable
        self.writable = False
        self.websocket.close()
        return sent

    def abort(self) -> None:
        """Close the connection. Nothing more is called on the receiver. Idempotent."""
        self.closed = True
        self.send_eof()

    def expire(self) -> None:
        """Fail the connection if it was not accepted; call after `REPLY_TIMEOUT_S`."""
        if not self.accepted:
            self.fail(ReasonCode.CONNECTION_NO_REPLY)

    def fail(self, code: ReasonCode) -> None:
        """Close the connection for a local reason and call `closed`."""
        self._close(PortForwardFailure(code=code, port=self.port))

    def send_ping(self) -> int:
        """Queue a WebSocket ping and return its id; 0 if nothing can be sent."""
        self._ping_id += 1
        return self._ping_id if self.websocket.ping(b"%d" % self._ping_id) else 0

    def close(self) -> None:
        """Queue a close frame. No receiver is called."""
        self.abort()

    # Called by the WebSocket. A ProtocolError raised here ends it.

    def payload_received(self, data: memoryview) -> None:
        """Process a piece of a message."""
        data = self._codec.decode(data)
        channel = self._codec.channel
        if channel not in (0, 1) or not len(data) or self.closed:
            return
        opening = self._opening[channel]
        if len(opening) < PORT_BYTES:
            missing = PORT_BYTES - len(opening)
            self._opening[channel] = opening + bytes(data[:missing])
            self._check_opening(channel)
            data = data[missing:]
            if not len(data):
                return
        if channel == 0:
            self._receiver.data_received(data)
        else:
            self._text += bytes(data[: MAX_ERROR_TEXT_BYTES - len(self._text)])

    def message_ended(self) -> None:
        """Finish a message."""
        self._codec.end()
        if self._text and self._codec.channel == 1:
            # The error text is one message, and the last one from the server.
            self._close(parse_failure(self._text, self.port))

    def pong_received(self, payload: bytes) -> None:
        """Pass the pong to the handler."""
        if payload.isdigit() and len(payload) < 16:
            self._handler.pong_received(int(payload))

    def websocket_ended(self, error: ProtocolError | None) -> None:
        """Close the connection and pass the end to the handler."""
        if not self.closed:
            loss = error.reason if error is not None else self.websocket.loss
            if loss is None and self.accepted:
                self.writable = False
                self._receiver.eof_received()
                self._close(None)
            else:
                self._close(
                    PortForwardFailure(
                        code=ReasonCode.TUNNEL_LOST,
                        port=self.port,
                        cause=loss or Reason(code=ReasonCode.TUNNEL_CLOSED_BY_SERVER),
                    )
                )
        self._handler.tunnel_ended(error)

    def _check_opening(self, channel: int) -> None:
        opening = self._opening[channel]
        if len(opening) == PORT_BYTES and int.from_bytes(opening, "little") != self.port:
            port = int.from_bytes(opening, "little")
            raise ProtocolError(f"channel {channel} is for port {port} instead of {self.port}")
        if not self.accepted and all(len(opening) == PORT_BYTES for opening in self._opening):
            self.accepted = True
            self._receiver.accepted()

    def _close(self, failure: PortForwardFailure | None) -> None:
        if not self.closed:
            self.abort()
            self._receiver.closed(failure)
