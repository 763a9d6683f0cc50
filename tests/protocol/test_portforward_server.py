"""The server end of a tunnel: pairing, and how pairs end."""

from __future__ import annotations

import pytest

from tests.protocol.recording_receivers import PairLog, ServedPair, ServerLog, TunnelLog, pump, wire
from tests.protocol.spdy.open_streams import stream_count
from tui_forward.model import ReasonCode
from tui_forward.protocol.error_stream import (
    containerd_copy_error,
    containerd_dial_error,
    forwarding_error,
)
from tui_forward.protocol.portforward import TunnelClient
from tui_forward.protocol.portforward_server import (
    MAX_EARLY_BYTES,
    FailureStyle,
    ServerStreamPair,
    TunnelServer,
)
from tui_forward.protocol.spdy import HeaderCompressor, frames


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Served:
    """A server, and streams opened on it by hand."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.log = ServerLog()
        self.tunnel = TunnelServer(self.log, clock=self.clock, name="0xc0")
        self.compressor = HeaderCompressor()

    def syn(self, stream_id: int, **headers: str) -> None:
        block = self.compressor.compress(headers)
        self.tunnel.receive_data(frames.syn_stream(stream_id, block))

    def data(self, stream_id: int, payload: bytes, *, fin: bool = False) -> None:
        header = frames.data_header(stream_id, len(payload), fin=fin)
        self.tunnel.receive_data(header + payload)

    @property
    def sent(self) -> bytes:
        return wire(self.tunnel)


def reply(*stream_ids: int) -> bytes:
    compressor = HeaderCompressor()
    return b"".join(frames.syn_reply(number, compressor.compress({})) for number in stream_ids)


def data(stream_id: int, payload: bytes = b"", *, fin: bool = False) -> bytes:
    return frames.data_header(stream_id, len(payload), fin=fin) + payload


def test_pairs_by_request_id() -> None:
    served = Served()
    served.syn(1, streamtype="error", port="80", requestid="7")
    served.syn(3, streamtype="error", port="81", requestid="8")
    served.syn(5, streamtype="data", port="81", requestid="8")
    served.syn(7, streamtype="data", port="80", requestid="7")
    assert [(pair.port, pair.request_id) for pair in served.log.pairs] == [(81, "8"), (80, "7")]
    assert served.sent == reply(1, 3, 5, 7)
    assert served.tunnel.deadline is None


def test_pairs_by_stream_id_without_request_id() -> None:
    served = Served()
    served.syn(1, streamtype="error", port="80")
    served.syn(3, streamtype="data", port="80")
    served.syn(5, streamtype="error", port="81")
    served.syn(7, streamtype="data", port="81")
    assert [pair.port for pair in served.log.pairs] == [80, 81]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"streamtype": "data"},
        {"port": "80"},
        {"streamtype": "other", "port": "80"},
        {"streamtype": "data", "port": "0"},
        {"streamtype": "data", "port": "65536"},
        {"streamtype": "data", "port": "-1"},
        {"streamtype": "data", "port": "http"},
        {"streamtype": "data", "port": "8" * 50},
        {"streamtype": "data", "port": "²"},
    ],
)
def test_bad_headers_are_reset_without_reply(headers: dict[str, str]) -> None:
    served = Served()
    served.syn(1, **headers)
    assert served.sent == frames.rst_stream(1, 5)
    assert stream_count(served.tunnel.spdy) == 0


def test_data_stream_first_with_early_data() -> None:
    served = Served()
    served.syn(1, streamtype="data", port="80", requestid="0")
    served.data(1, b"early ")
    served.data(1, b"bird", fin=True)
    assert served.log.pairs == []
    served.syn(3, streamtype="error", port="80", requestid="0")
    assert served.log.served[0].data == b"early bird"
    assert served.log.served[0].events == ["eof"]


def test_early_data_is_bounded() -> None:
    served = Served()
    served.syn(1, streamtype="data", port="80", requestid="0")
    served.data(1, bytes(MAX_EARLY_BYTES))
    served.data(1, b"x")
    assert served.sent == reply(1) + frames.rst_stream(1, 5)


def test_incomplete_pair_times_out_with_a_text() -> None:
    served = Served()
    served.syn(1, streamtype="error", port="80", requestid="5")
    served.clock.now += 10
    served.syn(3, streamtype="data", port="80", requestid="6")
    assert served.tunnel.deadline == 130.0
    served.clock.now = 129.9
    served.tunnel.expire()
    assert served.sent == reply(1, 3)
    served.clock.now = 130.0
    served.tunnel.expire()
    text = b"(conn=0xc0, request=5) timed out waiting for streams"
    assert served.sent == data(1, text)
    assert served.tunnel.deadline == 140.0
    served.clock.now = 141.0
    served.tunnel.expire()
    assert served.sent == b""
    assert served.tunnel.deadline is None
    assert stream_count(served.tunnel.spdy) == 2


@pytest.mark.parametrize("half", ["error", "data"])
def test_duplicate_stream_of_a_pair(half: str) -> None:
    served = Served()
    served.syn(1, streamtype=half, port="80", requestid="0")
    served.syn(3, streamtype=half, port="80", requestid="0")
    text = b"error processing stream for request 0: error stream already assigned"
    expected = reply(1, 3) + (data(1, text) if half == "error" else b"")
    assert served.sent == expected


def opened() -> tuple[Served, ServerStreamPair]:
    served = Served()
    served.syn(1, streamtype="error", port="80", requestid="0")
    served.syn(3, streamtype="data", port="80", requestid="0")
    assert served.sent
    return served, served.log.pairs[0]


def test_regular_end() -> None:
    served, pair = opened()
    assert pair.send(b"answer")
    pair.finish()
    pair.finish()
    assert served.sent == data(3, b"answer") + data(3, fin=True) + data(1, fin=True)
    assert not pair.writable


@pytest.mark.parametrize(
    ("style", "dialed", "broken", "expected"),
    [
        ("text-then-fin", False, False, data(1, b"T") + data(1, fin=True) + data(3, fin=True)),
        ("text-then-fin", True, False, data(3, fin=True) + data(1, b"T") + data(1, fin=True)),
        ("text-then-fin", True, True, data(3, fin=True) + data(1, b"T") + data(1, fin=True)),
        ("silent-reset", True, True, data(3, fin=True) + frames.rst_stream(1, 5)),
        ("silent-reset", False, True, frames.rst_stream(1, 5) + frames.rst_stream(3, 5)),
        ("silent-reset", True, False, data(3, fin=True) + data(1, b"T") + data(1, fin=True)),
        ("text-then-reset", True, False, data(3, fin=True) + data(1, b"T")),
        ("text-then-reset", False, False, data(1, b"T")),
    ],
)
def test_every_failure_style(style: str, dialed: bool, broken: bool, expected: bytes) -> None:
    served, pair = opened()
    pair.fail("T", style=FailureStyle(style), dialed=dialed, broken=broken)
    if style == "text-then-reset":
        expected += frames.rst_stream(1, 5)
        expected += b"" if dialed else frames.rst_stream(3, 5)
    assert served.sent == expected


@pytest.mark.parametrize("style", FailureStyle)
@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("dialed", [False, True])
def test_client_parses_every_failure_style(style: FailureStyle, broken: bool, dialed: bool) -> None:
    log, server_log = PairLog(), ServerLog()
    client, server = TunnelClient(TunnelLog()), TunnelServer(server_log)
    client.open(80, log)
    pump(client, server)
    cause = (
        containerd_copy_error("/run/netns/x", "read tcp4 a->b: read: connection reset by peer")
        if broken
        else containerd_dial_error(80, "/run/netns/x", "x", "connect: connection refused", "no")
    )
    text = forwarding_error(80, "x", cause)
    server_log.pairs[0].fail(text, style=style, broken=broken, dialed=dialed)
    pump(client, server)
    assert log.failure is not None
    expected = ReasonCode.PORT_RESET if broken else ReasonCode.PORT_REFUSED
    assert log.failure.code is expected
    assert stream_count(client.spdy) == 0
    assert not client.ended


def test_receivers_get_reset_and_loss() -> None:
    served, pair = opened()
    log = served.log.served[0]
    served.tunnel.receive_data(frames.rst_stream(3, 5))
    assert log.events == ["reset"]
    assert not pair.send(b"x")
    served, pair = opened()
    log = served.log.served[0]
    served.tunnel.receive_eof()
    assert log.events == ["lost"]
    assert served.log.ends == [None]


def test_pair_without_receiver_drops_data_only() -> None:
    class Deaf(ServerLog):
        def pair_opened(self, pair: ServerStreamPair) -> None:
            self.pairs.append(pair)

    handler = Deaf()
    client, server = TunnelClient(TunnelLog()), TunnelServer(handler)
    client.open(80, PairLog()).send(b"x")
    pump(client, server)
    handler.pairs[0].receiver = late = ServedPair()
    client.receive_eof()
    assert server.error is None
    assert late.data == b""
