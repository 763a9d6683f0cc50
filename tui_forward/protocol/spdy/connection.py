"""A SPDY/3.1 connection without I/O, for both sides, as spdystream speaks it.

Bytes go in through `SpdyConnection.receive_data`; what they mean comes out at once, as
calls on the receivers of streams and on the connection's handler. What is to be sent is
collected and taken with `data_to_send`.

Calls instead of a list of events, because DATA is the hot path: a piece of DATA costs one
look-up and one call with a view into the caller's own chunk, and the order of everything
that happens is the order of the calls. A receiver may call any sending method from
within; it must not call `receive_data`, and must not raise.

There is no flow control: spdystream neither grants nor awaits credit, and neither do we.
SETTINGS and WINDOW_UPDATE are checked and ignored. This module knows nothing of ports and
pods; see `protocol.portforward`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

from tui_forward.errors import ProtocolError, TransportError
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
    pack_head,
    unpack_head,
)
from tui_forward.protocol.spdy.headers import HeaderCompressor, HeaderDecompressor
from tui_forward.protocol.spdy.receivers import NOBODY, ConnectionHandler, StreamReceiver

MAX_STREAMS: Final = 65_536
"""How many streams a peer may have open at once; more are refused. spdystream has no limit."""

MAX_ANSWERS: Final = 4096
"""How many frames a peer may provoke (pongs, refusals) before any of them is taken to be sent."""

_FIN_BIT: Final = FLAG_FIN << 24
_U32: Final = struct.Struct(">I")


class Side(Enum):
    """Which end of the connection this is: the client has the odd ids."""

    CLIENT = 1
    SERVER = 2


class SpdyStream:
    """One stream, from SYN_STREAM until both directions ended.

    Attributes:
        id: Stream id.
        receiver: Hears what the peer does with the stream.
        replied: Whether SYN_REPLY was received (client) or sent (server).
        local_open: Whether this side may still send.
        remote_open: Whether the peer may still send.
    """

    __slots__ = ("_connection", "id", "local_open", "receiver", "remote_open", "replied")

    def __init__(
        self, connection: SpdyConnection, stream_id: int, receiver: StreamReceiver
    ) -> None:
        self._connection = connection
        self.id = stream_id
        self.receiver = receiver
        self.replied = False
        self.local_open = True
        self.remote_open = True

    def send_data(self, data: Buffer, *, fin: bool = False) -> bool:
        """Queue DATA; `data` is not copied and must not change until it was sent.

        Returns:
            Whether it was queued: False once this direction has ended. A peer may reset a
            stream at any moment, so that is no error.
        """
        if not self.local_open:
            return False
        size = len(data)
        outgoing = self._connection._outgoing  # noqa: SLF001  # one class in two
        if size <= MAX_DATA_LENGTH:
            outgoing.append(pack_head(self.id, (_FIN_BIT | size) if fin else size))
            if size:
                outgoing.append(data)
        else:
            self._send_large(data, fin=fin)
        if fin:
            self._end_local()
        return True

    def send_eof(self) -> bool:
        """Queue an empty DATA frame with FIN. Returns False if this direction has ended."""
        return self.send_data(b"", fin=True)

    def reply(self) -> None:
        """Accept the stream with an empty SYN_REPLY, before any DATA. Server only."""
        if self.local_open and not self.replied:
            self.replied = True
            self._connection._send_reply(self.id)  # noqa: SLF001

    def reset(self, status: int = ResetStatus.CANCEL) -> None:
        """Give the stream up in both directions. Nothing more is received. Idempotent."""
        self._connection._reset(self, status)  # noqa: SLF001

    def _send_large(self, data: Buffer, *, fin: bool) -> None:
        view = memoryview(data)
        last = (len(view) - 1) // MAX_DATA_LENGTH * MAX_DATA_LENGTH
        outgoing = self._connection._outgoing  # noqa: SLF001
        for at in range(0, len(view), MAX_DATA_LENGTH):
            piece = view[at : at + MAX_DATA_LENGTH]
            outgoing.append(frames.data_header(self.id, len(piece), fin=fin and at == last))
            outgoing.append(piece)

    def _end_local(self) -> None:
        self.local_open = False
        if not self.remote_open:
            self._connection._forget(self)  # noqa: SLF001


class SpdyConnection:
    """One end of a SPDY/3.1 connection.

    What arrives for streams that are unknown or have ended is ignored, as spdystream does;
    an ended stream leaves nothing behind. Memory is bounded by the open streams, one
    control frame, and `MAX_ANSWERS` frames that the peer provoked.

    Args:
        side: Which end this is.
        handler: Hears what concerns the connection as a whole.
        compressor: For tests that compare bytes; otherwise the default is right.
    """

    __slots__ = (
        "_answers",
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
        "_outgoing",
        "_partial",
        "_pings",
        "_side",
        "_streams",
        "ended",
        "error",
        "goaway_status",
    )

    def __init__(
        self,
        side: Side,
        handler: ConnectionHandler,
        *,
        compressor: HeaderCompressor | None = None,
    ) -> None:
        self._side = side
        self._handler = handler
        self._compressor = compressor or HeaderCompressor()
        self._decompressor = HeaderDecompressor()
        self._streams: dict[int, SpdyStream] = {}
        self._outgoing: list[Buffer] = []
        self._answers = 0
        self._next_id = 1 if side is Side.CLIENT else 2
        self._next_ping_id = self._next_id
        self._last_peer_id = 0
        # Receiving. Invariant: at most one of these is under way between two chunks:
        # a DATA frame with `_data_left` > 0 bytes to come, or `_partial` bytes of a frame
        # of which `_need` bytes must be there to go on.
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

    @property
    def stream_count(self) -> int:
        """How many streams are open in at least one direction."""
        return len(self._streams)

    def open_stream(
        self, headers: Mapping[str, str], receiver: StreamReceiver, *, fin: bool = False
    ) -> SpdyStream:
        """Open a stream; SYN_STREAM is queued.

        Args:
            headers: Names in lower case.
            receiver: Hears of everything that happens to the stream.
            fin: This side sends nothing on it.

        Raises:
            TransportError: The connection has ended, or has used up its stream ids.
        """
        if self.ended:
            raise TransportError("the tunnel has ended")
        if self._next_id > MAX_STREAM_ID:
            raise TransportError("the tunnel has used up its stream ids")
        stream = SpdyStream(self, self._next_id, receiver)
        self._next_id += 2
        self._streams[stream.id] = stream
        block = self._compressor.compress(headers)
        self._outgoing.append(frames.syn_stream(stream.id, block, fin=fin))
        stream.local_open = not fin
        return stream

    def skip_streams(self, count: int) -> None:
        """Leave out the next `count` stream ids; they only have to increase."""
        self._next_id += 2 * count

    @property
    def next_stream_id(self) -> int:
        """The id of the stream that `open_stream` opens next."""
        return self._next_id

    def send_ping(self) -> int:
        """Queue a PING and return its id; 0 if the connection has ended."""
        if self.ended:
            return 0
        ping_id = self._next_ping_id
        self._next_ping_id = ping_id + 2 if ping_id + 2 <= MAX_STREAM_ID else 2 - ping_id % 2
        self._outgoing.append(frames.ping(ping_id))
        return ping_id

    def close(self, status: int = GoawayStatus.OK) -> None:
        """End the connection: RST CANCEL on every open stream, then GOAWAY, as Go does.

        Neither receivers nor handler are called. Send what is queued, then close the
        transport. Idempotent.
        """
        if self.ended:
            return
        for stream in list(self._streams.values()):
            self._reset(stream, ResetStatus.CANCEL)
        self._outgoing.append(frames.goaway(self._last_peer_id, status))
        self.ended = True

    def data_to_send(self) -> list[Buffer]:
        """Take what is queued, in order, to be written at once (`writelines`, `sendmsg`).

        Take it only while the transport has room: what the peer provokes is bounded here
        as long as it is not taken.
        """
        taken = self._outgoing
        self._outgoing = []
        self._answers = 0
        return taken

    @property
    def has_data_to_send(self) -> bool:
        """Whether `data_to_send` would return anything."""
        return bool(self._outgoing)

    def _send_reply(self, stream_id: int) -> None:
        self._outgoing.append(frames.syn_reply(stream_id, self._compressor.compress({})))

    def _reset(self, stream: SpdyStream, status: int) -> None:
        if self._streams.get(stream.id) is stream:
            self._forget(stream)
            self._outgoing.append(frames.rst_stream(stream.id, status))

    def _forget(self, stream: SpdyStream) -> StreamReceiver:
        """Drop a stream that has ended; returns who may still have to hear of it."""
        self._streams.pop(stream.id, None)
        stream.local_open = stream.remote_open = False
        receiver = stream.receiver
        # A receiver usually holds its stream: without the cycle both are freed at once.
        stream.receiver = NOBODY
        return receiver

    def _answer(self, frame: bytes) -> None:
        """Queue a frame that the peer provoked."""
        self._answers += 1
        if self._answers > MAX_ANSWERS:
            raise ProtocolError(f"peer provoked more than {MAX_ANSWERS} answers without reading")
        self._outgoing.append(frame)

    def hold_pings(self, receiver: Callable[[int], None]) -> None:
        """Answer the peer's PINGs no longer: `receiver` gets their ids, for `answer_ping`.

        For servers that answer in the order in which their workers get to it.
        """
        self._pings = receiver

    def answer_ping(self, ping_id: int) -> None:
        """Queue the answer to a PING that was held; nothing once the connection has ended."""
        if not self.ended:
            self._outgoing.append(frames.ping(ping_id))

    # --------------------------------------------------------------- receiving

    def receive_data(self, chunk: Buffer) -> None:
        """Take bytes as they came, cut anywhere. Never raises on what a peer can do.

        A broken protocol ends the connection: see `error` and `connection_ended`.
        """
        if self.ended:
            return
        view = memoryview(chunk)
        try:
            self._receive(view)
        except ProtocolError as error:
            self._end(error)

    def receive_eof(self) -> None:
        """The transport delivered its last byte."""
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
        """A DATA frame that goes on in the next chunk."""
        if not word:
            raise ProtocolError("DATA on stream 0")
        self._data_stream_id = word
        self._data_word = rest
        self._data_left = (rest & MAX_DATA_LENGTH) - len(piece)
        stream = self._streams.get(word)
        if stream is not None and stream.remote_open and len(piece):
            stream.receiver.data_received(piece)

    def _continue_data(self, view: memoryview, size: int) -> int:
        """More of a DATA frame; returns how much of the chunk was its."""
        left = self._data_left
        # The stream is looked up again for every piece: it may have been reset meanwhile.
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
        """More of a head or of a control frame; returns how much of the chunk was its."""
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
        receiver = stream.receiver if stream.local_open else self._forget(stream)
        receiver.eof_received()

    def _end(self, error: ProtocolError | None) -> None:
        """Record the end, then tell everybody. Order: state first, calls after."""
        self.ended = True
        self.error = error
        self._partial.clear()
        self._data_left = 0
        receivers = [self._forget(stream) for stream in list(self._streams.values())]
        for receiver in receivers:
            receiver.stream_lost(error)
        self._handler.connection_ended(error)

    # ---------------------------------------------------------- control frames

    def _control(self, frame_type: int, flags: int, payload: memoryview) -> None:
        # The version field is not looked at, as in spdystream.
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
        # Also of a stream that is refused: the zlib stream is the connection's.
        headers = self._decompressor.decompress(payload[10:])
        _check(stream_id != 0, "SYN_STREAM for stream 0")
        if self._side is Side.CLIENT:
            self._answer(frames.rst_stream(stream_id, ResetStatus.REFUSED_STREAM))
            return
        if stream_id % 2 == 0 or stream_id <= self._last_peer_id:
            self._answer(frames.rst_stream(stream_id, ResetStatus.PROTOCOL_ERROR))
            return
        self._last_peer_id = stream_id
        if len(self._streams) >= MAX_STREAMS:
            self._answer(frames.rst_stream(stream_id, ResetStatus.REFUSED_STREAM))
            return
        stream = SpdyStream(self, stream_id, NOBODY)
        stream.local_open = not flags & FLAG_UNIDIRECTIONAL
        self._streams[stream_id] = stream
        # One answer, SYN_REPLY or RST_STREAM, is certain.
        self._answers += 1
        _check(self._answers <= MAX_ANSWERS, "peer opens streams without reading the answers")
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
            self._forget(stream).stream_reset(status)

    def _ping(self, flags: int, payload: memoryview) -> None:
        _check(len(payload) == 4 and flags == 0, "PING of wrong length or with flags")
        (ping_id,) = _U32.unpack(payload)
        _check(ping_id != 0, "PING with id 0")
        if ping_id % 2 == self._next_ping_id % 2:
            self._handler.pong_received(ping_id)
        elif self._pings is not None:
            self._pings(ping_id)
        else:
            self._answer(frames.ping(ping_id))

    def _goaway(self, flags: int, payload: memoryview) -> None:
        _check(len(payload) == 8 and flags == 0, "GOAWAY of wrong length or with flags")
        # A Go peer stops reading and writing here: nothing after it counts.
        self.goaway_status = unpack_head(payload)[1]
        self._end(None)


def _check(held: bool, otherwise: str) -> None:
    if not held:
        raise ProtocolError(otherwise)
