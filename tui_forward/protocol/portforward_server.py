"""The server side of `portforward.k8s.io`, without I/O: pairing of streams, end of a pair.

The behavior is that of the streaming server of the CRI (`cri-streaming`,
`portforward/httpstream.go`, the same code in containerd and CRI-O). Dialing the application
and copying its bytes belong to the receiver of the pair.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

from tui_forward.errors import ProtocolError
from tui_forward.protocol.buffers import Buffer
from tui_forward.protocol.portforward import (
    PAIR_TIMEOUT_S,
    PORT,
    REQUEST_ID,
    STREAM_TYPE,
    TYPE_DATA,
    TYPE_ERROR,
    SpdyTunnel,
)
from tui_forward.protocol.spdy import HeaderCompressor, Headers, Side, SpdyConnection, SpdyStream

MAX_EARLY_BYTES: Final = 64 * 1024
"""DATA buffered for a data stream without its error stream; more resets it."""


class FailureStyle(Enum):
    """How a runtime ends both streams of a failed pair; differs by version."""

    TEXT_THEN_FIN = "text-then-fin"
    """containerd 1.6.0-21, 1.7.0-2, 2.0: text, FIN on error, FIN on data."""

    SILENT_RESET = "silent-reset"
    """containerd 1.6.22+, 1.7.3+: a broken connection is RST without a text, otherwise as above."""

    TEXT_THEN_RESET = "text-then-reset"
    """containerd 2.1+, newer CRI-O: text, then RST CANCEL on streams that have not ended."""


class ServerStreamPairReceiver(Protocol):
    """Receiver of the events of one pair."""

    def data_received(self, data: memoryview) -> None:
        """Handle bytes for the application; see `StreamReceiver.data_received`."""

    def eof_received(self) -> None:
        """Handle the end of the client's data."""

    def pair_reset(self) -> None:
        """Handle a reset of the data stream. Data sent from now on is dropped."""

    def pair_lost(self) -> None:
        """Handle the end of the tunnel. Nothing more is called."""


class TunnelServerHandler(Protocol):
    """Owner of the server end of a tunnel."""

    def pair_opened(self, pair: ServerStreamPair) -> None:
        """Handle a complete pair: set `pair.receiver`, then dial. Without one, DATA is dropped."""

    def tunnel_ended(self, error: ProtocolError | None) -> None:
        """Handle the end of the tunnel."""


class ServerStreamPair:
    """One forwarded connection, server side; `receiver` receives what the client does."""

    __slots__ = ("_data", "_early", "_early_eof", "_error", "port", "receiver", "request_id")

    def __init__(self, port: int, request_id: str) -> None:
        self.port = port
        self.request_id = request_id
        self.receiver: ServerStreamPairReceiver | None = None
        self._data: SpdyStream | None = None
        self._error: SpdyStream | None = None
        self._early = b""
        self._early_eof = False

    @property
    def writable(self) -> bool:
        """Return whether `send` accepts data."""
        return self._data is not None and self._data.local_open

    @property
    def stream_id(self) -> int:
        """Return the id of the data stream, by which a Go server selects the frame worker."""
        return self._data.id if self._data is not None else 0

    @property
    def remote_open(self) -> bool:
        """Return whether the client may still send data."""
        return self._data is not None and self._data.remote_open

    def send(self, data: Buffer) -> bool:
        """Queue bytes from the application; False once this direction has ended."""
        return self._data is not None and self._data.send_data(data)

    def send_eof(self) -> bool:
        """Queue FIN on the data stream."""
        return self._data is not None and self._data.send_eof()

    def finish(self) -> None:
        """End the pair regularly: FIN on data, then FIN on error. Idempotent."""
        for stream in (self._data, self._error):
            if stream is not None:
                stream.send_eof()

    def fail(
        self,
        text: str,
        *,
        style: FailureStyle = FailureStyle.TEXT_THEN_FIN,
        dialed: bool = True,
        broken: bool = False,
    ) -> None:
        """End the pair with an error, whose text is from `error_stream.forwarding_error`.

        `style` is the runtime to reproduce. After an attempt to dial (`dialed`) FIN on data
        precedes the text. `broken`: the cause was EPIPE or ECONNRESET on the application's socket.
        """
        streams = [stream for stream in (self._error, self._data) if stream is not None]
        if dialed:
            self.send_eof()
        if style is FailureStyle.SILENT_RESET and broken:
            for stream in streams:
                if stream.local_open:  # spdystream sends no RST after its own FIN
                    stream.reset()
            return
        if self._error is not None:
            self._error.send_data(text.encode())
        for stream in streams:
            if style is FailureStyle.TEXT_THEN_RESET and stream.local_open:
                stream.reset()
            else:
                stream.send_eof()

    def reset(self) -> None:
        """Reset both streams with RST CANCEL, without a text."""
        for stream in (self._error, self._data):
            if stream is not None:
                stream.reset()

    # The pair itself is the receiver of the data stream.

    def stream_replied(self, headers: Headers) -> None:
        """Ignore: never called on a server."""

    def data_received(self, data: memoryview) -> None:
        """Handle DATA on the data stream."""
        if self.receiver is not None:
            self.receiver.data_received(data)
        elif len(self._early) + len(data) <= MAX_EARLY_BYTES:
            self._early += bytes(data)
        elif self._data is not None:
            self._data.reset()

    def eof_received(self) -> None:
        """Handle FIN on the data stream."""
        if self.receiver is not None:
            self.receiver.eof_received()
        else:
            self._early_eof = True

    def stream_reset(self, status: int) -> None:  # noqa: ARG002  # CANCEL from every client
        """Handle RST_STREAM on the data stream."""
        if self.receiver is not None:
            self.receiver.pair_reset()

    def stream_lost(self, error: ProtocolError | None) -> None:  # noqa: ARG002
        """Handle the end of the tunnel; the handler gets the cause."""
        if self.receiver is not None:
            self.receiver.pair_lost()

    @property
    def _complete(self) -> bool:
        return self._data is not None and self._error is not None

    def _add(self, stream: SpdyStream, stream_type: str) -> str:
        """Add a stream of the pair; return the problem, or an empty string."""
        if stream_type == TYPE_ERROR:
            if self._error is not None:
                return "error stream already assigned"
            self._error = stream
        else:
            if self._data is not None:
                return "data stream already assigned"
            self._data = stream
            stream.receiver = self
        return ""

    def _print_error(self, text: str) -> None:
        """Write to the error stream if there is one; like the Go server, close nothing."""
        if self._error is not None:
            self._error.send_data(text.encode())

    def _deliver_early(self) -> None:
        if self.receiver is not None:
            early, self._early = self._early, b""
            if early:
                self.receiver.data_received(memoryview(early))
            if self._early_eof:
                self.receiver.eof_received()


class TunnelServer(SpdyTunnel):
    """Server end of a tunnel.

    Call `expire` when `deadline` is reached: streams without a partner time out. `name` stands in
    the timeout text, where Go prints an address; `clock` returns monotonic seconds; `compressor` is
    only for tests that compare bytes.
    """

    __slots__ = ("_clock", "_handler", "_name", "_pair_timeout_s", "_waiting")

    def __init__(
        self,
        handler: TunnelServerHandler,
        *,
        name: str = "0xc000000000",
        pair_timeout_s: float = PAIR_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
        compressor: HeaderCompressor | None = None,
    ) -> None:
        self._handler = handler
        self._name = name
        self._pair_timeout_s = pair_timeout_s
        self._clock = clock
        # Incomplete pairs by request id, with deadlines, in order of arrival. Invariant: every
        # entry lacks a stream, so the table is bounded by the number of open streams.
        self._waiting: dict[str, tuple[float, ServerStreamPair]] = {}
        self.spdy = SpdyConnection(Side.SERVER, self, compressor=compressor)

    @property
    def deadline(self) -> float | None:
        """Return when to call `expire`, by the clock; None if no stream waits."""
        for deadline, _ in self._waiting.values():
            return deadline
        return None

    def expire(self) -> None:
        """Drop incomplete pairs past their deadline: send a text, close nothing."""
        now = self._clock()
        while (deadline := self.deadline) is not None and deadline <= now:
            request_id = next(iter(self._waiting))
            _, pair = self._waiting.pop(request_id)
            pair._print_error(  # noqa: SLF001
                f"(conn={self._name}, request={request_id}) timed out waiting for streams"
            )

    def stream_opened(self, stream: SpdyStream, headers: Headers) -> None:
        """Check a new stream and find its partner."""
        port_text = headers.get(PORT, "")
        stream_type = headers.get(STREAM_TYPE, "")
        port = _parse_port(port_text)
        if not port or stream_type not in (TYPE_ERROR, TYPE_DATA):
            stream.reset()
            return
        stream.reply()
        request_id = headers.get(REQUEST_ID, "")
        if not request_id:
            # Clients before the header existed: error stream N, data stream N+2.
            request_id = str(stream.id if stream_type == TYPE_ERROR else stream.id - 2)
        _, pair = self._waiting.setdefault(
            request_id, (self._clock() + self._pair_timeout_s, ServerStreamPair(port, request_id))
        )
        if stream_type == TYPE_DATA:
            pair.port = port  # the data stream's port is the one that is dialed
        problem = pair._add(stream, stream_type)  # noqa: SLF001
        if problem:
            pair._print_error(  # noqa: SLF001
                f"error processing stream for request {request_id}: {problem}"
            )
        elif pair._complete:  # noqa: SLF001
            del self._waiting[request_id]
            self._handler.pair_opened(pair)
            pair._deliver_early()  # noqa: SLF001

    def pong_received(self, ping_id: int) -> None:
        """Ignore: never called, because this server sends no PING, like Go servers."""

    def connection_ended(self, error: ProtocolError | None) -> None:
        """Pass the end to the handler."""
        self._waiting.clear()
        self._handler.tunnel_ended(error)


def _parse_port(text: str) -> int:
    """Parse like `strconv.ParseUint(text, 10, 16)`; return 0 if it is no port."""
    if not text.isascii() or not text.isdigit() or len(text) > 32:
        return 0
    port = int(text)
    return port if port <= 0xFFFF else 0
