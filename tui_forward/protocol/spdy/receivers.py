"""Receivers of the events of a SPDY stream; why calls: see `spdy.connection`."""

from __future__ import annotations

from typing import Final, Protocol

from tui_forward.errors import ProtocolError
from tui_forward.protocol.spdy.headers import Headers


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
