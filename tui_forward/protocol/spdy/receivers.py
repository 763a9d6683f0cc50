"""Who hears what happens on a SPDY connection and its streams.

Calls instead of a list of events: see `spdy.connection`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from tui_forward.errors import ProtocolError
from tui_forward.protocol.spdy.headers import Headers

if TYPE_CHECKING:
    from tui_forward.protocol.spdy.connection import SpdyStream


class StreamReceiver(Protocol):
    """Whoever wants to know what becomes of one stream.

    After `stream_reset` or `stream_lost` nothing more is called, nor after this side reset
    the stream. A stream that ended in both directions is forgotten, without a further call.
    """

    def stream_replied(self, headers: Headers) -> None:
        """The peer accepted the stream (SYN_REPLY). Client only, at most once."""

    def data_received(self, data: memoryview) -> None:
        """Some DATA arrived; never empty, any number of pieces per frame.

        `data` is a view into the chunk given to `receive_data`: keep it only as long as
        that chunk stays as it is, and copy small pieces that are kept for long, because a
        view keeps its whole chunk in memory.
        """

    def eof_received(self) -> None:
        """The peer sends no more on this stream (FIN)."""

    def stream_reset(self, status: int) -> None:
        """The peer reset the stream (RST_STREAM)."""

    def stream_lost(self, error: ProtocolError | None) -> None:
        """The connection under the stream ended; `error` when the peer broke the protocol."""


class ConnectionHandler(Protocol):
    """Whoever owns a connection."""

    def stream_opened(self, stream: SpdyStream, headers: Headers) -> None:
        """The peer opened a stream. Server only.

        Set `stream.receiver` and call `stream.reply()`, or call `stream.reset()`. If the
        frame carried FIN, the receiver's `eof_received` follows at once.
        """

    def pong_received(self, ping_id: int) -> None:
        """The answer to a `send_ping`."""

    def connection_ended(self, error: ProtocolError | None) -> None:
        """Nothing more will come or go: GOAWAY, end of file, or a broken protocol (`error`).

        The last call of all; every stream has heard `stream_lost` before.
        """


class NullStreamReceiver:
    """Receiver of a stream that nobody has claimed."""

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


NOBODY: Final = NullStreamReceiver()
