"""The protocol `portforward.k8s.io` on top of SPDY, both sides, without I/O.

Each forwarded connection is a pair of streams with the same `requestid`: an error stream,
opened first and half-closed at once, on which the server may explain a failure, and a data
stream for the bytes. Behaviour after client-go's `tools/portforward` and the streaming
server of the CRI (`cri-streaming`, containerd); texts of errors in `protocol.failures`.

The client's `TunnelClient` writes both SYN_STREAMs (and what data there is) at once
instead of waiting for the replies in between: servers accept that, and it saves a round
trip per stream.
"""

from __future__ import annotations

from typing import Final, Protocol

from tui_forward.errors import ForwardErrorCause, ProtocolError, TransportError
from tui_forward.protocol.buffers import Buffer
from tui_forward.protocol.error_stream import (
    MAX_ERROR_TEXT_BYTES,
    PortForwardFailure,
    parse_failure,
)
from tui_forward.protocol.spdy import (
    HeaderCompressor,
    Headers,
    ResetStatus,
    Side,
    SpdyConnection,
    SpdyStream,
)

REPLY_TIMEOUT_S: Final = 30.0
"""How long client-go waits for a SYN_REPLY; then the tunnel is taken to be wedged."""

PAIR_TIMEOUT_S: Final = 30.0
"""How long the streaming server waits for the other half of a pair."""

PING_PERIOD_S: Final = 5.0
"""How often a Go client sends SPDY PINGs."""

STREAM_TYPE: Final = "streamtype"
PORT: Final = "port"
REQUEST_ID: Final = "requestid"
TYPE_ERROR: Final = "error"
TYPE_DATA: Final = "data"


# --------------------------------------------------------------------------- client side


class StreamPairReceiver(Protocol):
    """Whoever wants to know what becomes of one forwarded connection (client side)."""

    def accepted(self) -> None:
        """The server took the pair on. The application has *not* been dialled yet."""

    def data_received(self, data: memoryview) -> None:
        """Bytes from the application; see `StreamReceiver.data_received` for their lifetime."""

    def eof_received(self) -> None:
        """The application sends no more, and nothing reads what is sent to it any more.

        Sending is over, too (the reader on the other side is gone). `closed` follows when
        the error stream has ended and tells whether this was a failure.
        """

    def closed(self, failure: PortForwardFailure | None) -> None:
        """The connection is over; None if both sides ended it as they wished.

        Called exactly once and last, unless `ForwardedPair.abort` was called.
        """


class _NullReceiver:
    """Receiver of a pair that has closed."""

    def accepted(self) -> None:
        """Ignore."""

    def data_received(self, data: memoryview) -> None:
        """Ignore."""

    def eof_received(self) -> None:
        """Ignore."""

    def closed(self, failure: PortForwardFailure | None) -> None:
        """Ignore."""


_NOBODY: Final = _NullReceiver()


class TunnelHandler(Protocol):
    """Whoever owns the client end of a tunnel."""

    def pong_received(self, ping_id: int) -> None:
        """The answer to `TunnelClient.send_ping`."""

    def tunnel_ended(self, error: ProtocolError | None) -> None:
        """Nothing more will come or go. Every pair has heard `closed` before."""


class ClientStreamPair:
    """One forwarded connection, client side: made by `TunnelClient.open`.

    Attributes:
        port: The port in the pod.
        request_id: Number of the pair within its tunnel.
        accepted: Whether both streams were accepted.
        closed: Whether `PairReceiver.closed` was called, or `abort`.
    """

    __slots__ = (
        "_data",
        "_data_ended",
        "_error",
        "_error_ended",
        "_receiver",
        "_replies",
        "_text",
        "accepted",
        "closed",
        "port",
        "request_id",
    )

    def __init__(
        self, connection: SpdyConnection, port: int, request_id: int, receiver: StreamPairReceiver
    ) -> None:
        self.port = port
        self.request_id = request_id
        self.accepted = False
        self.closed = False
        self._receiver: StreamPairReceiver = receiver
        self._replies = 0
        self._text = b""
        self._data_ended = False
        self._error_ended = False
        headers = {STREAM_TYPE: TYPE_ERROR, PORT: str(port), REQUEST_ID: str(request_id)}
        self._error = connection.open_stream(headers, _ErrorStreamReceiver(self), fin=True)
        headers[STREAM_TYPE] = TYPE_DATA
        try:
            self._data = connection.open_stream(headers, self)
        except TransportError:  # no id left for it
            self._error.reset()
            raise

    @property
    def writable(self) -> bool:
        """Whether `send` still takes data."""
        return self._data.local_open

    def send(self, data: Buffer) -> bool:
        """Queue bytes for the application; `data` must not change until it was sent.

        Returns:
            False once this direction has ended, by `send_eof` or by the other side.
        """
        return self._data.send_data(data)

    def send_eof(self) -> bool:
        """Queue FIN.

        The application never sees it as such: the runtime lets it go on for one second,
        then closes its socket. So hold it back while the application may still answer.
        """
        return self._data.send_eof()

    def abort(self) -> None:
        """Give the connection up with RST CANCEL. Nothing more is called. Idempotent."""
        if not self.closed:
            self.closed = True
            # A receiver usually holds its pair: without the cycle both are freed at once.
            self._receiver = _NOBODY
            self._error.reset()
            self._data.reset()

    def expire(self) -> None:
        """`REPLY_TIMEOUT_S` went by without `accepted`: RST the pair, and say so."""
        if not self.accepted:
            self.fail(ForwardErrorCause.TIMEOUT, "no reply from the server for the new streams")

    def fail(self, cause: ForwardErrorCause, text: str) -> None:
        """Give the connection up with RST CANCEL for a reason of our own; calls `closed`."""
        self._close(PortForwardFailure(cause=cause, text=text, port=self.port))

    # The data stream's receiver is the pair itself: DATA goes straight through.

    def stream_replied(self, headers: Headers) -> None:  # noqa: ARG002  # empty from Go
        """One half was accepted."""
        self._replies += 1
        if self._replies == 2:
            self.accepted = True
            self._receiver.accepted()

    def data_received(self, data: memoryview) -> None:
        """DATA of the data stream."""
        self._receiver.data_received(data)

    def eof_received(self) -> None:
        """FIN on the data stream."""
        self._data_ended = True
        # Its reader is gone: two more DATA frames would block a worker of the Go server
        # for good. RST says that nothing more comes (no-op after our own FIN).
        self._data.reset()
        self._receiver.eof_received()
        self._judge()

    def stream_reset(self, status: int) -> None:
        """RST_STREAM on the data stream."""
        # Servers write the text before they reset either stream, so nothing is to come.
        self._close(self._failure() or self._reset_failure(status))

    def stream_lost(self, error: ProtocolError | None) -> None:
        """The tunnel ended under the connection."""
        text = "the tunnel ended" if error is None else f"the tunnel ended: {error}"
        failure = self._failure() or PortForwardFailure(
            cause=ForwardErrorCause.OTHER, text=text, port=self.port, tunnel_lost=True
        )
        self._close(failure)

    def _error_text(self, data: memoryview) -> None:
        room = MAX_ERROR_TEXT_BYTES - len(self._text)
        self._text += bytes(data[:room])

    def _error_eof(self) -> None:
        self._error_ended = True
        self._judge()

    def _error_reset(self, status: int) -> None:
        self._error_ended = True
        self._close(self._failure() or self._reset_failure(status))

    def _judge(self) -> None:
        """Decide whether the connection is over, after either stream ended in order."""
        if self.closed or not self._error_ended:
            return
        if self._text:
            # The server's copying is over before it writes: no DATA is on its way.
            self._close(self._failure())
        elif self._data_ended:
            self._close(None)

    def _failure(self) -> PortForwardFailure | None:
        return parse_failure(self._text, self.port) if self._text else None

    def _reset_failure(self, status: int) -> PortForwardFailure:
        if not self.accepted:
            text = f"the server refused the stream (status {status})"
            return PortForwardFailure(cause=ForwardErrorCause.OTHER, text=text, port=self.port)
        # Newer runtimes say so, without a word, when the application reset the connection.
        text = "the connection was reset in the pod"
        return PortForwardFailure(cause=ForwardErrorCause.RESET, text=text, port=self.port)

    def _close(self, failure: PortForwardFailure | None) -> None:
        if not self.closed:
            receiver = self._receiver
            self.abort()
            receiver.closed(failure)


class _ErrorStreamReceiver:
    """Receiver of a pair's error stream."""

    __slots__ = ("_pair",)

    def __init__(self, pair: ClientStreamPair) -> None:
        self._pair = pair

    def stream_replied(self, headers: Headers) -> None:
        self._pair.stream_replied(headers)

    def data_received(self, data: memoryview) -> None:
        self._pair._error_text(data)  # noqa: SLF001  # half of the same thing

    def eof_received(self) -> None:
        self._pair._error_eof()  # noqa: SLF001

    def stream_reset(self, status: int) -> None:
        self._pair._error_reset(status)  # noqa: SLF001

    def stream_lost(self, error: ProtocolError | None) -> None:
        self._pair.stream_lost(error)


class TunnelClient:
    """The client end of a tunnel: opens pairs, sends PINGs, reads what comes.

    Args:
        handler: Hears what concerns the tunnel as a whole.
        compressor: For tests that compare bytes.
    """

    __slots__ = ("_handler", "_next_request_id", "spdy")

    def __init__(
        self, handler: TunnelHandler, *, compressor: HeaderCompressor | None = None
    ) -> None:
        self._handler = handler
        self._next_request_id = 0
        self.spdy = SpdyConnection(Side.CLIENT, self, compressor=compressor)

    @property
    def ended(self) -> bool:
        """Whether the tunnel is over."""
        return self.spdy.ended

    @property
    def error(self) -> ProtocolError | None:
        """What the peer did wrong, if that ended the tunnel."""
        return self.spdy.error

    def open(self, port: int, receiver: StreamPairReceiver) -> ClientStreamPair:
        """Open a connection to a port of the pod: both SYN_STREAMs are queued.

        Data may be sent at once; it goes out in the same write.

        Raises:
            TransportError: The tunnel has ended, or has used up its stream ids.
        """
        pair = ClientStreamPair(self.spdy, port, self._next_request_id, receiver)
        self._next_request_id += 1
        return pair

    def send_ping(self) -> int:
        """Queue a PING and return its id; 0 if the tunnel has ended."""
        return self.spdy.send_ping()

    def close(self) -> None:
        """Queue RST CANCEL on what is open, and GOAWAY. No receiver is called."""
        self.spdy.close()

    def data_to_send(self) -> list[Buffer]:
        """Take what is queued; see `SpdyConnection.data_to_send`."""
        return self.spdy.data_to_send()

    def receive_data(self, chunk: Buffer) -> None:
        """Take bytes of the tunnel; see `SpdyConnection.receive_data`."""
        self.spdy.receive_data(chunk)

    def receive_eof(self) -> None:
        """The tunnel's transport delivered its last byte."""
        self.spdy.receive_eof()

    def stream_opened(self, stream: SpdyStream, headers: Headers) -> None:  # noqa: ARG002
        """Never called on a client: servers open no streams."""
        stream.reset(ResetStatus.REFUSED_STREAM)

    def pong_received(self, ping_id: int) -> None:
        """From the connection."""
        self._handler.pong_received(ping_id)

    def connection_ended(self, error: ProtocolError | None) -> None:
        """From the connection."""
        self._handler.tunnel_ended(error)
