"""WebSocket frames (RFC 6455, section 5) without I/O, for both sides.

For byte streams: payload is passed on in pieces as it arrives, as views into the chunk (or,
if it was masked, into a copy), without waiting for the end of a frame or message. No
extensions. The handshake is in `protocol.upgrade`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Final, Protocol

from tui_forward.errors import ProtocolError
from tui_forward.model import Reason, ReasonCode
from tui_forward.protocol.buffers import Buffer
from tui_forward.protocol.masking import Masker, load_masker, rotate_key
from tui_forward.protocol.spdy.connection import MAX_QUEUED_REPLIES, Side

MAX_CONTROL_PAYLOAD: Final = 125

GO_WRITE_BUFFER_BYTES: Final = 4096
"""The write buffer of gorilla/websocket in the API server; see `send_fragmented`."""

CLOSE_NORMAL: Final = 1000
CLOSE_PROTOCOL_ERROR: Final = 1002
CLOSE_UNSUPPORTED: Final = 1003
CLOSE_TOO_BIG: Final = 1009
_CLOSE_NO_STATUS: Final = 1005
# Codes by which a server or a gateway ends a connection that was in order (RFC 6455, section
# 7.4.1, and the IANA registry of close codes): it leaves, restarts, is overloaded, has failed, or
# gives no reason. The others say that this side has broken the protocol.
LOSS_CODES: Final = frozenset({CLOSE_NORMAL, 1001, _CLOSE_NO_STATUS, 1008, 1011, 1012, 1013, 1014})
_PRIVATE_CODES: Final = range(3000, 5000)  # of applications, which have their own meanings


class Opcode(IntEnum):
    """Frame types."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


_FIN: Final = 0x80
_RESERVED: Final = 0x70
_CONTROL: Final = 0x8
_MASKED: Final = 0x80
_U16: Final = struct.Struct(">H")
_U64: Final = struct.Struct(">Q")


class WebSocketReceiver(Protocol):
    """Receiver of the events of a WebSocket."""

    def message_started(self, opcode: int) -> None:
        """Handle the start of a text or binary message."""

    def payload_received(self, data: memoryview) -> None:
        """Handle a piece of the message; see `StreamReceiver.data_received`."""

    def message_ended(self) -> None:
        """Handle the end of the message."""

    def pong_received(self, payload: bytes) -> None:
        """Handle the reply to a `ping`, or an unsolicited pong."""

    def websocket_ended(self, error: ProtocolError | None) -> None:
        """Handle the end; `error` is None after an end of file, or a close code of `LOSS_CODES`.

        Send the queued frames (the replying close frame), then close the transport.
        """


class WebSocketConnection:
    """One end of a WebSocket, after the handshake. The client masks what it sends.

    With `binary_only` a text message is a violation, as in the SPDY tunnel. With `frame_is_message`
    each frame is a message, even a continuation, as in Go's `golang.org/x/net/websocket` (the
    legacy server). `max_frame` limits the payload of a received frame. `mask`: see
    `protocol.masking`, None for the fastest. `random_bytes` is the source of masking keys.
    """

    __slots__ = (
        "_binary_only",
        "_close_sent",
        "_control",
        "_fin",
        "_frame_is_message",
        "_head",
        "_key",
        "_left",
        "_mask",
        "_masks",
        "_max_frame",
        "_offset",
        "_opcode",
        "_open_message",
        "_outgoing",
        "_random_bytes",
        "_receiver",
        "_replies",
        "close_code",
        "close_reason",
        "ended",
        "error",
    )

    def __init__(
        self,
        side: Side,
        receiver: WebSocketReceiver,
        *,
        binary_only: bool = False,
        frame_is_message: bool = False,
        max_frame: int | None = None,
        mask: Masker | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._receiver = receiver
        self._binary_only = binary_only
        self._frame_is_message = frame_is_message
        self._max_frame = max_frame
        self._mask = mask or load_masker()
        self._masks = side is Side.CLIENT
        self._random_bytes = random_bytes
        self._outgoing: list[Buffer] = []
        self._replies = 0
        self._close_sent = False
        # Receiving. Invariant: either `_head` has an incomplete frame head, or `_left` bytes of
        # the current frame's payload are missing, or neither.
        self._head = bytearray()
        self._left = 0
        self._offset = 0
        self._key: bytes | None = None
        self._opcode = 0
        self._fin = False
        self._control = bytearray()
        self._open_message = 0  # opcode of the incomplete message, 0 for none
        self.ended = False
        # a violation by the peer, or a close code of it that reports one of ours
        self.error: ProtocolError | None = None
        self.close_code: int | None = None  # of the peer's close frame; 1005 if it had none
        self.close_reason = ""

    @property
    def loss(self) -> Reason | None:
        """Why the peer closed, if it did by another code than 1000."""
        if self.close_code is None or self.close_code == CLOSE_NORMAL:
            return None
        return Reason(
            code=ReasonCode.TUNNEL_CLOSED_BY_SERVER,
            status=str(self.close_code),
            detail=self.close_reason,
        )

    # ----------------------------------------------------------------- sending

    def send(self, *parts: Buffer, opcode: int = Opcode.BINARY, fin: bool = True) -> bool:
        """Queue one frame whose payload is the concatenation of all parts.

        A server's parts are not copied and must not change until they have been sent; a client's
        are masked into a copy immediately. `opcode` is `CONTINUATION` after a frame without `fin`.
        Returns False once a close frame was sent or the connection has ended.
        """
        if self._close_sent or self.ended:
            return False
        self._queue(opcode, parts, fin=fin)
        return True

    def send_fragmented(self, parts: Iterable[Buffer]) -> bool:
        """Queue parts with the fragmentation of the Go API server.

        Every part is a separate message. A part above twice the write buffer becomes one
        frame without FIN and an empty continuation; one above the buffer is split into
        pieces of the buffer's size (gorilla/websocket, `messageWriter.Write`).
        """
        sent = True
        for part in parts:
            view = memoryview(part)
            opcode: int = Opcode.BINARY
            at = 0
            if len(view) > 2 * GO_WRITE_BUFFER_BYTES:
                self.send(view, opcode=opcode, fin=False)
                opcode, at = Opcode.CONTINUATION, len(view)
            while len(view) - at > GO_WRITE_BUFFER_BYTES:
                self.send(view[at : at + GO_WRITE_BUFFER_BYTES], opcode=opcode, fin=False)
                opcode = Opcode.CONTINUATION
                at += GO_WRITE_BUFFER_BYTES
            sent = self.send(view[at:], opcode=opcode)
        return sent

    def ping(self, payload: bytes = b"") -> bool:
        """Queue a ping. Kubernetes uses SPDY PINGs instead."""
        return self.send(payload[:MAX_CONTROL_PAYLOAD], opcode=Opcode.PING)

    def close(self, code: int = CLOSE_NORMAL, reason: str = "") -> None:
        """Queue a close frame; nothing can be sent after it. Idempotent.

        Kubernetes then closes the TCP connection without waiting for the reply.
        """
        if not self._close_sent and not self.ended:
            self._queue_close(code, reason)

    def data_to_send(self) -> list[Buffer]:
        """Return the queued frames in order; see `SpdyConnection.data_to_send`."""
        taken = self._outgoing
        self._outgoing = []
        self._replies = 0
        return taken

    @property
    def has_data_to_send(self) -> bool:
        """Return whether `data_to_send` would return frames."""
        return bool(self._outgoing)

    def _queue_close(self, code: int, reason: str) -> None:
        payload = _U16.pack(code) + reason.encode()[: MAX_CONTROL_PAYLOAD - 2]
        self._queue(Opcode.CLOSE, (payload,), fin=True)
        self._close_sent = True

    def _queue(self, opcode: int, parts: Iterable[Buffer], *, fin: bool) -> None:
        if self._masks:
            body = bytearray().join(parts)
            key = self._random_bytes(4)
            self._outgoing.append(frame_head(opcode, len(body), fin=fin, masked=True) + key)
            if body:
                self._mask(key, body)
                self._outgoing.append(body)
            return
        nonempty = [part for part in parts if len(part)]
        self._outgoing.append(frame_head(opcode, sum(map(len, nonempty)), fin=fin))
        self._outgoing += nonempty

    # --------------------------------------------------------------- receiving

    def receive_data(self, chunk: Buffer) -> None:
        """Process received bytes, cut anywhere. Never raise on the input of a peer."""
        if self.ended:
            return
        try:
            self._receive(memoryview(chunk))
        except ProtocolError as error:
            if not self._close_sent:
                self._queue_close(CLOSE_PROTOCOL_ERROR, "")
            self._end(error)

    def receive_eof(self) -> None:
        """Process the end of the transport's data."""
        if self.ended:
            return
        cut = self._left or self._head or self._open_message
        self._end(ProtocolError("connection ended inside a WebSocket message") if cut else None)

    def _receive(self, view: memoryview) -> None:
        size = len(view)
        at = 0
        if self._head:
            at = self._continue_head(view, size)
        while at < size:
            if not self._left:
                begin = self._begin_frame(view, at, size)
                if begin < 0:
                    self._head += view[at:]
                    return
                at = begin
                if not self._left:
                    self._end_frame()
                    if self.ended:
                        return
                continue
            end = min(at + self._left, size)
            self._payload(view[at:end])
            self._left -= end - at
            at = end
            if not self._left:
                self._end_frame()
            if self.ended:
                return

    def _continue_head(self, view: memoryview, size: int) -> int:
        """Continue a frame head; return how many bytes of the chunk belong to it."""
        head = self._head
        # A head has at most 14 bytes: append what may belong to it and parse again.
        had = len(head)
        head += view[: 14 - had]
        begin = self._begin_frame(memoryview(bytes(head)), 0, len(head))
        if begin < 0:
            return size
        head.clear()
        if not self._left:
            self._end_frame()
        return begin - had if not self.ended else size

    def _begin_frame(self, view: memoryview, at: int, size: int) -> int:
        """Parse a frame head; return the offset of the payload, or -1 if incomplete."""
        if size - at < 2:
            return -1
        first = view[at]
        second = view[at + 1]
        length = second & 0x7F
        at += 2
        if length > MAX_CONTROL_PAYLOAD:
            field = _U16 if length == 126 else _U64
            if size - at < field.size:
                return -1
            (length,) = field.unpack_from(view, at)
            at += field.size
        if second & _MASKED:
            if self._masks:
                raise ProtocolError("WebSocket frame from a server is masked")
            if size - at < 4:
                return -1
            self._key = bytes(view[at : at + 4])
            at += 4
        elif not self._masks:
            raise ProtocolError("WebSocket frame from a client is not masked")
        self._check_head(first, length)
        self._left = length
        self._offset = 0
        return at

    def _check_head(self, first: int, length: int) -> None:
        opcode = first & 0x0F
        self._opcode = opcode
        self._fin = bool(first & _FIN)
        if first & _RESERVED:
            raise ProtocolError("WebSocket frame with reserved bits set")
        if opcode & _CONTROL:
            if opcode > Opcode.PONG:
                raise ProtocolError(f"WebSocket frame with unknown opcode {opcode}")
            if length > MAX_CONTROL_PAYLOAD or not self._fin:
                raise ProtocolError("WebSocket control frame is fragmented or too long")
            return
        if length >> 63 or (self._max_frame is not None and length > self._max_frame):
            raise ProtocolError(f"WebSocket frame of {length} bytes")
        if opcode == Opcode.CONTINUATION:
            if not self._open_message:
                raise ProtocolError("WebSocket continuation without a message")
            if self._frame_is_message:
                self._receiver.message_started(self._open_message)
        elif opcode in (Opcode.TEXT, Opcode.BINARY):
            if self._open_message:
                raise ProtocolError("WebSocket message begins inside another")
            if opcode == Opcode.TEXT and self._binary_only:
                raise ProtocolError("WebSocket text message in a binary tunnel")
            self._open_message = opcode
            self._receiver.message_started(opcode)
        else:
            raise ProtocolError(f"WebSocket frame with unknown opcode {opcode}")

    def _payload(self, piece: memoryview) -> None:
        key = self._key
        if key is not None:
            unmasked = bytearray(piece)
            self._mask(rotate_key(key, self._offset) if self._offset else key, unmasked)
            self._offset += len(piece)
            piece = memoryview(unmasked)
        if self._opcode & _CONTROL:
            self._control += piece
        else:
            self._receiver.payload_received(piece)

    def _end_frame(self) -> None:
        if self._opcode & _CONTROL:
            payload = bytes(self._control)
            self._control.clear()
            self._control_frame(payload)
        else:
            if self._fin:
                self._open_message = 0
            if self._fin or self._frame_is_message:
                self._receiver.message_ended()

    def _control_frame(self, payload: bytes) -> None:
        if self._opcode == Opcode.PING:
            if not self._close_sent:
                self._replies += 1
                if self._replies > MAX_QUEUED_REPLIES:
                    raise ProtocolError(f"peer sent {MAX_QUEUED_REPLIES} pings without reading")
                self._queue(Opcode.PONG, (payload,), fin=True)
        elif self._opcode == Opcode.PONG:
            self._receiver.pong_received(payload)
        elif self._opcode == Opcode.CLOSE:
            self._close_frame(payload)

    def _close_frame(self, payload: bytes) -> None:
        if len(payload) == 1:
            raise ProtocolError("WebSocket close frame with half a code")
        self.close_code = _U16.unpack_from(payload)[0] if payload else _CLOSE_NO_STATUS
        self.close_reason = payload[2:].decode("utf-8", "replace")
        if not self._close_sent:
            self._queue_close(CLOSE_NORMAL, "")
        error = None
        if self.close_code not in LOSS_CODES and self.close_code not in _PRIVATE_CODES:
            suffix = f": {self.close_reason}" if self.close_reason else ""
            error = ProtocolError(f"WebSocket closed with code {self.close_code}{suffix}")
        self._end(error)

    def _end(self, error: ProtocolError | None) -> None:
        self.ended = True
        self.error = error
        self._head.clear()
        self._left = 0
        self._receiver.websocket_ended(error)


def frame_head(opcode: int, length: int, *, fin: bool = True, masked: bool = False) -> bytes:
    """Encode a frame head, without the masking key."""
    first = (_FIN if fin else 0) | opcode
    mask = _MASKED if masked else 0
    if length <= MAX_CONTROL_PAYLOAD:
        return bytes((first, mask | length))
    if length <= 0xFFFF:
        return bytes((first, mask | 126)) + _U16.pack(length)
    return bytes((first, mask | 127)) + _U64.pack(length)
