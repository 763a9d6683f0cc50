"""Receivers that record their events, and helpers to connect two ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tui_forward.errors import ProtocolError
from tui_forward.protocol.buffers import Buffer
from tui_forward.protocol.error_stream import PortForwardFailure
from tui_forward.protocol.portforward_server import ServerStreamPair
from tui_forward.protocol.spdy import Headers, SpdyStream

# No deadlines, because the machine may be busy. The temporary folder of a test is shared by
# its examples, which do not use it.
codec_settings = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class StreamLog:
    """A `StreamReceiver`."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.data = bytearray()
        self.pieces = 0

    def stream_replied(self, headers: Headers) -> None:
        self.events.append("replied")

    def data_received(self, data: memoryview) -> None:
        assert len(data)
        assert "eof" not in self.events
        self.pieces += 1
        self.data += data

    def eof_received(self) -> None:
        self.events.append("eof")

    def stream_reset(self, status: int) -> None:
        self.events.append(f"reset {status}")

    def stream_lost(self, error: ProtocolError | None) -> None:
        self.events.append("lost" if error is None else f"lost: {error}")


class ConnectionLog:
    """A `ConnectionHandler` that accepts every stream."""

    def __init__(self) -> None:
        self.opened: list[tuple[SpdyStream, Headers]] = []
        self.logs: dict[int, StreamLog] = {}
        self.pongs: list[int] = []
        self.ends: list[ProtocolError | None] = []

    def stream_opened(self, stream: SpdyStream, headers: Headers) -> None:
        self.opened.append((stream, headers))
        self.logs[stream.id] = log = StreamLog()
        stream.receiver = log
        stream.reply()

    def pong_received(self, ping_id: int) -> None:
        self.pongs.append(ping_id)

    def connection_ended(self, error: ProtocolError | None) -> None:
        self.ends.append(error)


class TunnelLog:
    """A `TunnelHandler`."""

    def __init__(self) -> None:
        self.pongs: list[int] = []
        self.ends: list[ProtocolError | None] = []

    def pong_received(self, ping_id: int) -> None:
        self.pongs.append(ping_id)

    def tunnel_ended(self, error: ProtocolError | None) -> None:
        self.ends.append(error)


class PairLog:
    """A `StreamPairReceiver`."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.data = bytearray()
        self.failure: PortForwardFailure | None = None

    def accepted(self) -> None:
        self.events.append("accepted")

    def data_received(self, data: memoryview) -> None:
        assert "closed" not in self.events
        self.data += data

    def eof_received(self) -> None:
        self.events.append("eof")

    def closed(self, failure: PortForwardFailure | None) -> None:
        assert "closed" not in self.events
        self.events.append("closed")
        self.failure = failure


class ServedPair:
    """A `ServerStreamPairReceiver`, and the `ChannelReceiver` of the legacy server."""

    def __init__(self, pair: ServerStreamPair | None = None) -> None:
        self.pair = pair
        self.events: list[str] = []
        self.data = bytearray()

    def data_received(self, data: memoryview) -> None:
        self.data += data

    def eof_received(self) -> None:
        self.events.append("eof")

    def pair_reset(self) -> None:
        self.events.append("reset")

    def pair_lost(self) -> None:
        self.events.append("lost")

    def channels_lost(self) -> None:
        self.events.append("lost")


class ServerLog:
    """A `TunnelServerHandler` that serves every pair with a `ServedPair`."""

    def __init__(self) -> None:
        self.pairs: list[ServerStreamPair] = []
        self.served: list[ServedPair] = []
        self.ends: list[ProtocolError | None] = []

    def pair_opened(self, pair: ServerStreamPair) -> None:
        self.pairs.append(pair)
        served = ServedPair(pair)
        self.served.append(served)
        pair.receiver = served

    def tunnel_ended(self, error: ProtocolError | None) -> None:
        self.ends.append(error)


class WebSocketLog:
    """A `WebSocketReceiver`."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, bytes]] = []
        self.data = bytearray()
        self.pongs: list[bytes] = []
        self.ends: list[ProtocolError | None] = []
        self._message: tuple[int, bytearray] | None = None

    def message_started(self, opcode: int) -> None:
        assert self._message is None
        self._message = opcode, bytearray()

    def payload_received(self, data: memoryview) -> None:
        assert len(data)
        assert self._message is not None
        self._message[1].extend(data)
        self.data += data

    def message_ended(self) -> None:
        assert self._message is not None
        self.messages.append((self._message[0], bytes(self._message[1])))
        self._message = None

    def pong_received(self, payload: bytes) -> None:
        self.pongs.append(payload)

    def websocket_ended(self, error: ProtocolError | None) -> None:
        self.ends.append(error)


class End(Protocol):
    """The methods that all sans-I/O connections share."""

    def receive_data(self, chunk: Buffer) -> None: ...

    def data_to_send(self) -> list[Buffer]: ...


def wire(end: End) -> bytes:
    """Return the queued bytes of one end."""
    return b"".join(end.data_to_send())


def pump(left: End, right: End) -> None:
    """Pass bytes both ways until neither end has more to send."""
    while True:
        there, back = wire(left), wire(right)
        if not there and not back:
            return
        right.receive_data(there)
        left.receive_data(back)


def chunked(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """Cut data into chunks of these sizes; the remainder is one more chunk."""
    at = 0
    for size in sizes:
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size
    if at < len(data):
        yield data[at:]


chunk_sizes = st.lists(st.integers(1, 40), max_size=60)
