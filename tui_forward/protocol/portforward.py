"""The protocol `portforward.k8s.io` on top of SPDY, client side, without I/O.

Each forwarded connection is a pair of streams with the same `requestid`: an error stream, opened
first and half-closed at once, on which the server may explain a failure, and a data stream for the
bytes. The behavior is that of client-go's `tools/portforward`.

`TunnelClient` sends both SYN_STREAMs and the first data without waiting for the replies: servers
accept that, and it saves a round trip per stream.
"""

from __future__ import annotations

from typing import Final, Protocol

from tui_forward.errors import ProtocolError, TransportError
from tui_forward.model import ReasonCode
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
"""How long client-go waits for a SYN_REPLY before it gives up the tunnel."""

PAIR_TIMEOUT_S: Final = 30.0
"""How long the streaming server waits for the other half of a pair."""

PING_PERIOD_S: Final = 5.0
"""Interval of the SPDY PINGs of a Go client."""

STREAM_TYPE: Final = "streamtype"
PORT: Final = "port"
REQUEST_ID: Final = "requestid"
TYPE_ERROR: Final = "error"
TYPE_DATA: Final = "data"


# --------------------------------------------------------------------------- client side


class StreamPairReceiver(Protocol):
    """Receiver of the events of one forwarded connection, client side."""

    def accepted(self) -> None:
        """Handle the server's acceptance. The application has *not* been dialed yet."""

    def data_received(self, data: memoryview) -> None:
        """Handle bytes from the application; see `StreamReceiver.data_received`."""

    def eof_received(self) -> None:
        """Handle the end of the application's data.

        Sending has ended, too: nothing reads on the other side. `closed` follows when the
        error stream has ended, and reports whether this was a failure.
        """

    def closed(self, failure: PortForwardFailure | None) -> None:
        """Handle the end, once and last unless aborted; `failure` is None for a regular one."""


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


_NULL_RECEIVER: Final = _NullReceiver()


class TunnelHandler(Protocol):
    """Owner of the client end of a tunnel."""

    def pong_received(self, ping_id: int) -> None:
        """Handle the reply to `TunnelClient.send_ping`."""

    def tunnel_ended(self, error: ProtocolError | None) -> None:
        """Handle the end of the tunnel. Every pair's receiver got `closed` before."""


class ClientStreamPair:
    """One forwarded connection, client side; created by `TunnelClient.open`.

    `accepted`: both streams were; `closed`: `StreamPairReceiver.closed` or `abort` was called.
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
        except TransportError:  # no stream id left
            self._error.reset()
            raise

    @property
    def writable(self) -> bool:
        """Return whether `send` accepts data."""
        return self._data.local_open

    def send(self, data: Buffer) -> bool:
        """Queue bytes for the application; return False once this direction has ended.

        `data` must not change until it has been sent.
        """
        return self._data.send_data(data)

    def send_eof(self) -> bool:
        """Queue FIN.

        The application never sees it as a half-close: the runtime closes its socket one
        second later. So delay it while the application may still respond.
        """
        return self._data.send_eof()

    def abort(self) -> None:
        """Reset the connection with RST CANCEL. Nothing more is called. Idempotent."""
        if not self.closed:
            self.closed = True
            # A receiver usually references its pair: break the cycle so that both are freed now.
            self._receiver = _NULL_RECEIVER
            self._error.reset()
            self._data.reset()

    def expire(self) -> None:
        """Fail the pair if it was not accepted; call after `REPLY_TIMEOUT_S`."""
        if not self.accepted:
            self.fail(ReasonCode.CONNECTION_NO_REPLY)

    def fail(self, code: ReasonCode) -> None:
        """Reset the connection with RST CANCEL for a local reason and call `closed`."""
        self._close(PortForwardFailure(code=code, port=self.port))

    # The pair itself is the receiver of the data stream: no extra call per DATA frame.

    def stream_replied(self, headers: Headers) -> None:  # noqa: ARG002  # empty from Go
        """Handle SYN_REPLY on either stream."""
        self._replies += 1
        if self._replies == 2:
            self.accepted = True
            self._receiver.accepted()

    def data_received(self, data: memoryview) -> None:
        """Handle DATA on the data stream."""
        self._receiver.data_received(data)

    def eof_received(self) -> None:
        """Handle FIN on the data stream."""
        self._data_ended = True
        # Nothing reads there any more: two more DATA frames would block a worker of the Go
        # server forever. RST ends this direction (no-op after our own FIN).
        self._data.reset()
        self._receiver.eof_received()
        self._close_if_ended()

    def stream_reset(self, status: int) -> None:
        """Handle RST_STREAM on the data stream."""
        # Servers send the error text before they reset either stream.
        self._close(self._failure() or self._reset_failure(status))

    def stream_lost(self, error: ProtocolError | None) -> None:
        """Handle the end of the tunnel."""
        failure = self._failure() or PortForwardFailure(
            code=ReasonCode.TUNNEL_LOST,
            port=self.port,
            cause=error.reason if error is not None else None,
        )
        self._close(failure)

    def _error_text(self, data: memoryview) -> None:
        room = MAX_ERROR_TEXT_BYTES - len(self._text)
        self._text += bytes(data[:room])

    def _error_eof(self) -> None:
        self._error_ended = True
        self._close_if_ended()

    def _error_reset(self, status: int) -> None:
        self._error_ended = True
        self._close(self._failure() or self._reset_failure(status))

    def _close_if_ended(self) -> None:
        """Close the connection if both streams have ended in order."""
        if self.closed or not self._error_ended:
            return
        if self._text:
            # The server has stopped copying before it writes the text: no DATA follows.
            self._close(self._failure())
        elif self._data_ended:
            self._close(None)

    def _failure(self) -> PortForwardFailure | None:
        return parse_failure(self._text, self.port) if self._text else None

    def _reset_failure(self, status: int) -> PortForwardFailure:
        if not self.accepted:
            return PortForwardFailure(
                code=ReasonCode.CONNECTION_STREAM_REFUSED, port=self.port, status=str(status)
            )
        # Newer runtimes reset the stream without a text when the application reset the connection.
        return PortForwardFailure(code=ReasonCode.PORT_RESET, port=self.port)

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
        self._pair._error_text(data)  # noqa: SLF001  # part of the same pair

    def eof_received(self) -> None:
        self._pair._error_eof()  # noqa: SLF001

    def stream_reset(self, status: int) -> None:
        self._pair._error_reset(status)  # noqa: SLF001

    def stream_lost(self, error: ProtocolError | None) -> None:
        self._pair.stream_lost(error)


class SpdyTunnel:
    """One end of a tunnel: what client and server have in common."""

    __slots__ = ("spdy",)

    spdy: SpdyConnection

    @property
    def ended(self) -> bool:
        """Return whether the tunnel has ended."""
        return self.spdy.ended

    @property
    def error(self) -> ProtocolError | None:
        """Return the protocol violation that ended the tunnel, if any."""
        return self.spdy.error

    def close(self) -> None:
        """Queue RST CANCEL for every open stream, then GOAWAY. No receiver is called."""
        self.spdy.close()

    def data_to_send(self) -> list[Buffer]:
        """Return the queued frames; see `SpdyConnection.data_to_send`."""
        return self.spdy.data_to_send()

    def receive_data(self, chunk: Buffer) -> None:
        """Process bytes of the tunnel; see `SpdyConnection.receive_data`."""
        self.spdy.receive_data(chunk)

    def receive_eof(self) -> None:
        """Process the end of the transport's data."""
        self.spdy.receive_eof()


class TunnelClient(SpdyTunnel):
    """Client end of a tunnel: opens pairs, sends PINGs, processes received bytes.

    `compressor` is only for tests that compare bytes.
    """

    __slots__ = ("_handler", "_next_request_id")

    def __init__(
        self, handler: TunnelHandler, *, compressor: HeaderCompressor | None = None
    ) -> None:
        self._handler = handler
        self._next_request_id = 0
        self.spdy = SpdyConnection(Side.CLIENT, self, compressor=compressor)

    def open(self, port: int, receiver: StreamPairReceiver) -> ClientStreamPair:
        """Open a connection to a port of the pod and queue both SYN_STREAMs.

        Data may be sent immediately; it goes out in the same write. TransportError: the tunnel has
        ended, or has used up its stream ids.
        """
        pair = ClientStreamPair(self.spdy, port, self._next_request_id, receiver)
        self._next_request_id += 1
        return pair

    def send_ping(self) -> int:
        """Queue a PING and return its id; 0 if the tunnel has ended."""
        return self.spdy.send_ping()

    def stream_opened(self, stream: SpdyStream, headers: Headers) -> None:  # noqa: ARG002
        """Refuse the stream: servers do not open streams."""
        stream.reset(ResetStatus.REFUSED_STREAM)

    def pong_received(self, ping_id: int) -> None:
        """Pass the pong to the handler."""
        self._handler.pong_received(ping_id)

    def connection_ended(self, error: ProtocolError | None) -> None:
        """Pass the end to the handler."""
        self._handler.tunnel_ended(error)
