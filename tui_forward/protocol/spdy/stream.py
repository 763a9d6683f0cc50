"""One stream of a SPDY connection, without I/O, and the receivers of its events.

Calls instead of a list of events: see `spdy.connection`.
"""

from __future__ import annotations

from typing import Final, Protocol

from tui_forward.errors import ProtocolError
from tui_forward.protocol.buffers import Buffer
from tui_forward.protocol.spdy import frames
from tui_forward.protocol.spdy.frames import FLAG_FIN, MAX_DATA_LENGTH, ResetStatus, pack_head
from tui_forward.protocol.spdy.headers import Headers

_FIN_BIT: Final = FLAG_FIN << 24


class StreamReceiver(Protocol):
    """Receiver of the events of one stream.

    After `stream_reset` or `stream_lost` nothing more is called, nor after this side reset
    the stream. A stream that has ended in both directions is dropped without a further call.
    """

    def stream_replied(self, headers: Headers) -> None:
        """Handle SYN_REPLY: the peer accepted the stream. Client only, at most once."""

    def data_received(self, data: memoryview) -> None:
        """Handle DATA; never empty, any number of pieces per frame.

        `data` is a view into the chunk of `receive_data`: keep it only while that chunk is not
        reused, and copy small pieces that are kept for long, because a view keeps its chunk in
        memory.
        """

    def eof_received(self) -> None:
        """Handle FIN: the peer sends no more on this stream."""

    def stream_reset(self, status: int) -> None:
        """Handle RST_STREAM."""

    def stream_lost(self, error: ProtocolError | None) -> None:
        """Handle the end of the connection; `error` if the peer violated the protocol."""


class NullStreamReceiver:
    """Receiver of a stream without an owner: ignores every event."""

    def stream_replied(self, headers: Headers) -> None:
        """Ignore."""

    def data_received(self, data: memoryview) -> None:
        """Ignore."""

    def eof_received(self) -> None:
        """Ignore."""

    def stream_reset(self, status: int) -> None:
        """Ignore."""

    def stream_lost(self, error: ProtocolError | None) -> None:
        """Ignore."""


NULL_RECEIVER: Final = NullStreamReceiver()


class StreamOwner(Protocol):
    """The connection of a stream, as far as the stream needs it."""

    outgoing: list[Buffer]
    """Frames that are queued for sending, in order."""

    def send_reply(self, stream_id: int) -> None:
        """Queue SYN_REPLY."""

    def reset_stream(self, stream: SpdyStream, status: int) -> None:
        """Queue RST_STREAM and forget the stream; do nothing if it has ended."""

    def forget_stream(self, stream: SpdyStream) -> StreamReceiver:
        """Drop a stream that has ended and return its receiver."""


class SpdyStream:
    """One stream, from SYN_STREAM until both directions ended.

    `replied`: SYN_REPLY was received (client) or sent (server). `local_open`, `remote_open`: this
    side, the peer may still send.
    """

    __slots__ = ("_owner", "id", "local_open", "receiver", "remote_open", "replied")

    def __init__(self, owner: StreamOwner, stream_id: int, receiver: StreamReceiver) -> None:
        self._owner = owner
        self.id = stream_id
        self.receiver = receiver
        self.replied = False
        self.local_open = True
        self.remote_open = True

    def send_data(self, data: Buffer, *, fin: bool = False) -> bool:
        """Queue DATA; return False once this direction has ended: a peer may reset any time.

        `data` is not copied and must not change until it has been sent.
        """
        if not self.local_open:
            return False
        size = len(data)
        outgoing = self._owner.outgoing
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
        """Queue an empty DATA frame with FIN. Return False if this direction has ended."""
        return self.send_data(b"", fin=True)

    def reply(self) -> None:
        """Accept the stream with an empty SYN_REPLY, before any DATA. Server only."""
        if self.local_open and not self.replied:
            self.replied = True
            self._owner.send_reply(self.id)

    def reset(self, status: int = ResetStatus.CANCEL) -> None:
        """Reset both directions. Nothing more is received. Idempotent."""
        self._owner.reset_stream(self, status)

    def _send_large(self, data: Buffer, *, fin: bool) -> None:
        view = memoryview(data)
        last = (len(view) - 1) // MAX_DATA_LENGTH * MAX_DATA_LENGTH
        outgoing = self._owner.outgoing
        for at in range(0, len(view), MAX_DATA_LENGTH):
            piece = view[at : at + MAX_DATA_LENGTH]
            outgoing.append(frames.data_header(self.id, len(piece), fin=fin and at == last))
            outgoing.append(piece)

    def _end_local(self) -> None:
        self.local_open = False
        if not self.remote_open:
            self._owner.forget_stream(self)
