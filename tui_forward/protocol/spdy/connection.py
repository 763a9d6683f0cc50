"""A SPDY/3.1 connection without I/O, for both sides, as spdystream speaks it.

Calls instead of a list of events, because DATA is the hot path: a piece of DATA costs one look-up
and one call with a view into the caller's chunk, and calls keep the order of events. A receiver may
call any sending method; it must not call `receive_data`, and must not raise.

There is no flow control: spdystream neither grants nor awaits credit, and neither does this module.
SETTINGS and WINDOW_UPDATE are checked and ignored.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, Protocol

from tui_forward.errors import ProtocolError, TransportError
from tui_forward.model import Reason, ReasonCode
from tui_forward.protocol.buffers import Buffer
from tui_forward.protocol.spdy import frames
from tui_forward.protocol.spdy.frames import (
    CONTROL_BIT,
    FLAG_FIN,
    FLAG_UNIDIRECTIONAL,
    FRAME_HEAD_BYTES,
    MAX_CONTROL_LENGTH,
    MAX_DATA_LENGTH,
    MAX_STREAM_ID,
    FrameType,
    GoawayStatus,
    ResetStatus,
    unpack_head,
)
from tui_forward.protocol.spdy.headers import HeaderCompressor, HeaderDecompressor, Headers
from tui_forward.protocol.spdy.stream import NULL_RECEIVER, SpdyStream, StreamReceiver

MAX_STREAMS: Final = 65_536
"""Open streams per peer; more are refused. spdystream has no limit."""

MAX_QUEUED_REPLIES: Final = 4096
"""Replies (pongs, refusals) that may be queued before any of them is sent."""

_FIN_BIT: Final = FLAG_FIN << 24
_U32: Final = struct.Struct(">I")


class Side(Enum):
    """End of the connection: the client has the odd stream ids."""

    CLIENT = 1
    SERVER = 2


class ConnectionHandler(Protocol):
    """Owner of a connection: receives what concerns the connection as a whole."""

    def stream_opened(self, stream: SpdyStream, headers: Headers) -> None:
        """Handle a stream that the peer opened. Server only.

        Set `stream.receiver` and call `stream.reply()`, or call `stream.reset()`. If the
        frame carried FIN, the receiver's `eof_received` follows immediately.
        """

    def pong_received(self, ping_id: int) -> None:
        """Handle the reply to a `send_ping`."""

    def connection_ended(self, error: ProtocolError | None) -> None:
        """Handle the end (GOAWAY, end of file, or a violation: `error`). The last call of all."""


class SpdyConnection:
    """One end of a SPDY/3.1 connection.

    Frames for streams that are unknown or have ended are ignored, as in spdystream; an ended stream
    leaves no state behind. Memory is bounded by the open streams, one control frame, and
    `MAX_QUEUED_REPLIES` queued replies. `compressor` is only for tests that compare bytes.
    """

    __slots__ = (
        "_compressor",
        "_data_left",
        "_data_stream_id",
        "_data_word",
        "_decompressor",
        "_handler",
        "_last_peer_id",
        "_need",
        "_next_id",
        "_next_ping_id",
        "_partial",
        "_pings",
        "_replies",
        "_side",
        "_streams",
        "ended",
        "error",
        "goaway_status",
        "outgoing",
    )

    def __init__(
        self, side: Side, handler: ConnectionHandler, *, compressor: HeaderCompressor | None = None
    ) -> None:
        self._side = side
        self._handler = handler
        self._compressor = compressor or HeaderCompressor()
        self._decompressor = HeaderDecompressor()
        self._streams: dict[int, SpdyStream] = {}
        self.outgoing: list[Buffer] = []
        self._replies = 0
        self._next_id = 1 if side is Side.CLIENT else 2
        self._next_ping_id = self._next_id
        self._last_peer_id = 0
        # Receiving. Invariant between two chunks: at most one of a DATA frame with
        # `_data_left` > 0 bytes missing, and `_partial` bytes of a frame of which
        # `_need` bytes are required to continue.
        self._data_left = 0
        self._data_stream_id = 0
        self._data_word = 0
        self._partial = bytearray()
        self._need = FRAME_HEAD_BYTES
        self._pings: Callable[[int], None] | None = None
        self.ended = False
        self.error: ProtocolError | None = None
        self.goaway_status: int | None = None

    # ----------------------------------------------------------------- sending

    def open_stream(
        self, headers: Mapping[str, str], receiver: StreamReceiver, *, fin: bool = False
    ) -> SpdyStream:
        """Open a stream and queue its SYN_STREAM; header names in lower case.

        With `fin` this side sends no data. TransportError: the connection has ended, or has used up
        its stream ids.
        """
        if self.ended:
            raise TransportError(Reason(code=ReasonCode.TUNNEL_CLOSED))
        if self._next_id > MAX_STREAM_ID:
            raise TransportError("the tunnel has used up its stream ids")
        stream = SpdyStream(self, self._next_id, receiver)
        self._next_id += 2
        self._streams[stream.id] = stream
        block = self._compressor.compress(headers)
        self.outgoing.append(frames.syn_stream(stream.id, block, fin=fin))
        stream.local_open = not fin
        return stream

    def skip_streams(self, count: int) -> None:
        """Skip the next `count` stream ids; ids only have to increase."""
        self._next_id += 2 * count

    @property
    def next_stream_id(self) -> int:
        """Return the id of the stream that `open_stream` opens next."""
        return self._next_id

    def send_ping(self) -> int:
        """Queue a PING and return its id; 0 if the connection has ended."""
        if self.ended:
            return 0
        ping_id = self._next_ping_id
        self._next_ping_id = ping_id + 2 if ping_id + 2 <= MAX_STREAM_ID else 2 - ping_id % 2
        self.outgoing.append(frames.ping(ping_id))
        return ping_id

    def close(self, status: int = GoawayStatus.OK) -> None:
        """End the connection: RST CANCEL on every open stream, then GOAWAY, as Go does.

        Neither receivers nor handler are called. The caller sends the queued frames, then
        closes the transport. Idempotent.
        """
        if self.ended:
            return
        for stream in list(self._streams.values()):
            self.reset_stream(stream, ResetStatus.CANCEL)
        self.outgoing.append(frames.goaway(self._last_peer_id, status))
        self.ended = True

    def data_to_send(self) -> list[Buffer]:
        """Return the queued frames in order and empty the queue.

        Write them with one `writelines` or `sendmsg`. Call it only while the transport has
        room: replies to the peer are bounded only while they stay in this queue.
        """
        taken = self.outgoing
        self.outgoing = []
        self._replies = 0
        return taken

    @property
    def has_data_to_send(self) -> bool:
        """Return whether `data_to_send` would return frames."""
        return bool(self.outgoing)

    def send_reply(self, stream_id: int) -> None:
        """Queue SYN_REPLY."""
        self.outgoing.append(frames.syn_reply(stream_id, self._compressor.compress({})))

    def reset_stream(self, stream: SpdyStream, status: int) -> None:
        """Queue RST_STREAM and forget the stream; do nothing if it has ended."""
        if self._streams.get(stream.id) is stream:
            self.forget_stream(stream)
            self.outgoing.append(frames.rst_stream(stream.id, status))

    def forget_stream(self, stream: SpdyStream) -> StreamReceiver:
        """Drop a stream that has ended and return its receiver."""
        self._streams.pop(stream.id, None)
        stream.local_open = stream.remote_open = False
        receiver = stream.receiver
        # A receiver usually references its stream: break the cycle so that both are freed now.
        stream.receiver = NULL_RECEIVER
        return receiver

    def _queue_reply(self, frame: bytes) -> None:
        """Queue a reply to the peer; ProtocolError if it does not read the replies."""
        self._replies += 1
        if self._replies > MAX_QUEUED_REPLIES:
            raise ProtocolError(
                f"peer caused more than {MAX_QUEUED_REPLIES} replies without reading them"
            )
        self.outgoing.append(frame)

    def delegate_pings(self, receiver: Callable[[int], None]) -> None:
        """Pass the ids of the peer's PINGs to `receiver`, which calls `reply_to_ping`.

        For servers that reply in the order in which their workers reach the PING.
        """
        self._pings = receiver

    def reply_to_ping(self, ping_id: int) -> None:
        """Queue the reply to a delegated PING; do nothing once the connection has ended."""
        if not self.ended:
            self.outgoing.append(frames.ping(ping_id))

    # --------------------------------------------------------------- receiving

    def receive_data(self, chunk: Buffer) -> None:
        """Process received bytes, cut anywhere. Never raise on the input of a peer.

        A protocol violation ends the connection: see `error` and `connection_ended`.
        """
        if self.ended:
            return
        view = memoryview(chunk)
        try:
            self._receive(view)
        except ProtocolError as error:
            self._end(error)

    def receive_eof(self) -> None:
        """Process the end of the transport's data."""
        if self.ended:
            return
        cut = self._data_left or self._partial
        self._end(ProtocolError("connection ended inside a frame") if cut else None)

    def _receive(self, view: memoryview) -> None:
        streams = self._streams
        size = len(view)
        at = 0
        if self._data_left:
            at = self._continue_data(view, size)
        elif self._partial:
            at = self._continue_frame(view, size)
        while size - at >= FRAME_HEAD_BYTES:
            word, rest = unpack_head(view, at)
            at += FRAME_HEAD_BYTES
            end = at + (rest & MAX_DATA_LENGTH)
            if word < CONTROL_BIT:
                if end > size:
                    self._begin_data(word, rest, view[at:])
                    return
                stream = streams.get(word)
                if stream is not None and stream.remote_open:
                    if end > at:
                        stream.receiver.data_received(view[at:end])
                    if rest & _FIN_BIT:
                        self._remote_ended(stream)
                elif not word:
                    raise ProtocolError("DATA on stream 0")
            else:
                if end > size:
                    self._need = self._control_size(rest)
                    self._partial += view[at - FRAME_HEAD_BYTES :]
                    return
                if self.ended:  # closed by a receiver, or by the frame before
                    return
                self._control(word & 0xFFFF, rest >> 24, view[at:end])
            at = end
        if at < size and not self.ended:
            self._partial += view[at:]
            self._need = FRAME_HEAD_BYTES

    def _begin_data(self, word: int, rest: int, piece: memoryview) -> None:
        """Start a DATA frame that continues in the next chunk."""
        if not word:
            raise ProtocolError("DATA on stream 0")
        self._data_stream_id = word
        self._data_word = rest
        self._data_left = (rest & MAX_DATA_LENGTH) - len(piece)
        stream = self._streams.get(word)
        if stream is not None and stream.remote_open and len(piece):
            stream.receiver.data_received(piece)

    def _continue_data(self, view: memoryview, size: int) -> int:
        """Continue a DATA frame; return how many bytes of the chunk belong to it."""
        left = self._data_left
        # Look up the stream for every piece: it may have been reset between two chunks.
        stream = self._streams.get(self._data_stream_id)
        if size < left:
            self._data_left = left - size
            if stream is not None and stream.remote_open and size:
                stream.receiver.data_received(view)
            return size
        self._data_left = 0
        if stream is not None and stream.remote_open:
            stream.receiver.data_received(view[:left])
            if self._data_word & _FIN_BIT:
                self._remote_ended(stream)
        return left

    def _continue_frame(self, view: memoryview, size: int) -> int:
        """Continue a frame head or control frame; return how many bytes belong to it."""
        partial = self._partial
        at = min(self._need - len(partial), size)
        partial += view[:at]
        if len(partial) < self._need:
            return at
        if self._need == FRAME_HEAD_BYTES:
            word, rest = unpack_head(partial)
            if word < CONTROL_BIT:
                partial.clear()
                if rest & MAX_DATA_LENGTH:
                    self._begin_data(word, rest, view[at:at])
                    return at + self._continue_data(view[at:], size - at)
                if not word:
                    raise ProtocolError("DATA on stream 0")
                stream = self._streams.get(word)
                if stream is not None and stream.remote_open and rest & _FIN_BIT:
                    self._remote_ended(stream)
                return at
            self._need = self._control_size(rest)
            if self._need > FRAME_HEAD_BYTES:
                return at + self._continue_frame(view[at:], size - at)
        frame = bytes(partial)
        partial.clear()
        self._need = FRAME_HEAD_BYTES
        word, rest = unpack_head(frame)
        self._control(word & 0xFFFF, rest >> 24, memoryview(frame)[FRAME_HEAD_BYTES:])
        return at

    @staticmethod
    def _control_size(rest: int) -> int:
        length = rest & MAX_DATA_LENGTH
        if length > MAX_CONTROL_LENGTH:
            raise ProtocolError(f"control frame of {length} bytes, more than {MAX_CONTROL_LENGTH}")
        return FRAME_HEAD_BYTES + length

    def _remote_ended(self, stream: SpdyStream) -> None:
        stream.remote_open = False
        receiver = stream.receiver if stream.local_open else self.forget_stream(stream)
        receiver.eof_received()

    def _end(self, error: ProtocolError | None) -> None:
        """Record the end, then call receivers and handler: state first, calls after."""
        self.ended = True
        self.error = error
        self._partial.clear()
        self._data_left = 0
        receivers = [self.forget_stream(stream) for stream in list(self._streams.values())]
        for receiver in receivers:
            receiver.stream_lost(error)
        self._handler.connection_ended(error)

    # ---------------------------------------------------------- control frames

    def _control(self, frame_type: int, flags: int, payload: memoryview) -> None:
        # The version field is ignored, as in spdystream.
        self._control_size(len(payload))
        if frame_type == FrameType.SYN_REPLY:
            self._syn_reply(flags, payload)
        elif frame_type == FrameType.SYN_STREAM:
            self._syn_stream(flags, payload)
        elif frame_type == FrameType.RST_STREAM:
            self._rst_stream(payload)
        elif frame_type == FrameType.PING:
            self._ping(flags, payload)
        elif frame_type == FrameType.GOAWAY:
            self._goaway(flags, payload)
        elif frame_type == FrameType.HEADERS:
            self._headers(payload)
        elif frame_type == FrameType.SETTINGS:
            count = _U32.unpack_from(payload)[0] if len(payload) >= 4 else -1
            _check(len(payload) == 4 + 8 * count, "SETTINGS of wrong length")
        elif frame_type == FrameType.WINDOW_UPDATE:
            _check(len(payload) == 8, "WINDOW_UPDATE of wrong length")
        else:
            raise ProtocolError(f"control frame of unknown type {frame_type}")

    def _syn_stream(self, flags: int, payload: memoryview) -> None:
        _check(len(payload) >= 10, "SYN_STREAM too short")
        stream_id = _U32.unpack_from(payload)[0] & MAX_STREAM_ID
        # Also for a refused stream: the zlib stream belongs to the connection.
        headers = self._decompressor.decompress(payload[10:])
        _check(stream_id != 0, "SYN_STREAM for stream 0")
        if self._side is Side.CLIENT:
            self._queue_reply(frames.rst_stream(stream_id, ResetStatus.REFUSED_STREAM))
            return
        if stream_id % 2 == 0 or stream_id <= self._last_peer_id:
            self._queue_reply(frames.rst_stream(stream_id, ResetStatus.PROTOCOL_ERROR))
            return
        self._last_peer_id = stream_id
        if len(self._streams) >= MAX_STREAMS:
            self._queue_reply(frames.rst_stream(stream_id, ResetStatus.REFUSED_STREAM))
            return
        stream = SpdyStream(self, stream_id, NULL_RECEIVER)
        stream.local_open = not flags & FLAG_UNIDIRECTIONAL
        self._streams[stream_id] = stream
        # Exactly one reply follows: SYN_REPLY or RST_STREAM.
        self._replies += 1
        _check(
            self._replies <= MAX_QUEUED_REPLIES, "peer opens streams without reading the replies"
        )
        self._handler.stream_opened(stream, headers)
        if flags & FLAG_FIN and stream.remote_open:
            self._remote_ended(stream)

    def _syn_reply(self, flags: int, payload: memoryview) -> None:
        _check(len(payload) >= 4, "SYN_REPLY too short")
        stream_id = _U32.unpack_from(payload)[0] & MAX_STREAM_ID
        headers = self._decompressor.decompress(payload[4:])
        _check(stream_id != 0, "SYN_REPLY for stream 0")
        stream = self._streams.get(stream_id)
        if stream is None or stream.replied or self._side is Side.SERVER:
            return
        stream.replied = True
        stream.receiver.stream_replied(headers)
        if flags & FLAG_FIN and stream.remote_open:
            self._remote_ended(stream)

    def _headers(self, payload: memoryview) -> None:
        _check(len(payload) >= 4, "HEADERS too short")
        self._decompressor.decompress(payload[4:])

    def _rst_stream(self, payload: memoryview) -> None:
        _check(len(payload) == 8, "RST_STREAM of wrong length")
        stream_id, status = unpack_head(payload)
        _check(stream_id & MAX_STREAM_ID != 0, "RST_STREAM for stream 0")
        _check(status != 0, "RST_STREAM with status 0")
        stream = self._streams.get(stream_id & MAX_STREAM_ID)
        if stream is not None:
            self.forget_stream(stream).stream_reset(status)

    def _ping(self, flags: int, payload: memoryview) -> None:
        _check(len(payload) == 4 and flags == 0, "PING of wrong length or with flags")
        (ping_id,) = _U32.unpack(payload)
        _check(ping_id != 0, "PING with id 0")
        if ping_id % 2 == self._next_ping_id % 2:
            self._handler.pong_received(ping_id)
        elif self._pings is not None:
            self._pings(ping_id)
        else:
            self._queue_reply(frames.ping(ping_id))

    def _goaway(self, flags: int, payload: memoryview) -> None:
        _check(len(payload) == 8 and flags == 0, "GOAWAY of wrong length or with flags")
        # A Go peer stops reading and writing here: ignore what follows.
        self.goaway_status = unpack_head(payload)[1]
        self._end(None)


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ProtocolError(message)
