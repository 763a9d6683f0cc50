"""The client end of a tunnel, against a scripted server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.recording_receivers import (
    PairLog,
    ServerLog,
    TunnelLog,
    chunked,
    codec_settings,
    pump,
    wire,
)
from tests.protocol.spdy.open_streams import stream_count
from tui_forward.errors import TransportError
from tui_forward.model import ReasonCode
from tui_forward.protocol.error_stream import MAX_ERROR_TEXT_BYTES
from tui_forward.protocol.portforward import ClientStreamPair, TunnelClient
from tui_forward.protocol.portforward_server import TunnelServer
from tui_forward.protocol.spdy import HeaderCompressor, HeaderDecompressor, frames
from tui_forward.protocol.spdy.frames import MAX_STREAM_ID, ResetStatus

REFUSED = (
    b"error forwarding port 80 to pod a4bb, uid : failed to execute portforward in network "
    b'namespace "/var/run/netns/cni-1": failed to connect to localhost:80 inside namespace '
    b'"a4bb", IPv4: dial tcp4 127.0.0.1:80: connect: connection refused IPv6 dial tcp6: '
    b"address localhost: no suitable address found "
)


def data(stream_id: int, payload: bytes = b"", *, fin: bool = False) -> bytes:
    return frames.data_header(stream_id, len(payload), fin=fin) + payload


class Scripted:
    """A client with one open pair, and the bytes a server answers it."""

    def __init__(self, *, accepted: bool = True) -> None:
        self.handler = TunnelLog()
        self.tunnel = TunnelClient(self.handler)
        self.log = PairLog()
        self.compressor = HeaderCompressor()
        self.pair = self.tunnel.open(80, self.log)
        self.opening = wire(self.tunnel)
        if accepted:
            self.receive(self.reply(1), self.reply(3))
            self.log.events.clear()

    def reply(self, stream_id: int) -> bytes:
        return frames.syn_reply(stream_id, self.compressor.compress({}))

    def receive(self, *received: bytes) -> None:
        self.tunnel.receive_data(b"".join(received))

    @property
    def sent(self) -> bytes:
        return wire(self.tunnel)


def test_open_sends_half_closed_error_stream_first_in_one_write() -> None:
    decompressor = HeaderDecompressor()
    tunnel = TunnelClient(TunnelLog())
    for request_id in range(2):
        pair = tunnel.open(8080, PairLog())
        pair.send(b"first bytes")
        error_syn, data_syn, *rest = tunnel.data_to_send()
        first = 4 * request_id + 1
        assert bytes(error_syn[8:12]) == first.to_bytes(4, "big")
        assert error_syn[4] == frames.FLAG_FIN
        headers = {"streamtype": "error", "port": "8080", "requestid": str(request_id)}
        assert decompressor.decompress(error_syn[18:]) == headers
        assert bytes(data_syn[8:12]) == (first + 2).to_bytes(4, "big")
        assert data_syn[4] == 0
        headers["streamtype"] = "data"
        assert decompressor.decompress(data_syn[18:]) == headers
        assert b"".join(rest) == data(first + 2, b"first bytes")


def test_accepted_after_both_replies() -> None:
    script = Scripted(accepted=False)
    script.receive(script.reply(3))
    assert script.log.events == []
    script.receive(script.reply(1))
    assert script.log.events == ["accepted"]
    assert script.pair.accepted


def test_regular_end_started_by_the_pod() -> None:
    script = Scripted()
    script.receive(data(3, b"bye", fin=True))
    assert script.log.data == b"bye"
    assert script.log.events == ["eof"]
    assert not script.pair.writable
    assert script.sent == frames.rst_stream(3, ResetStatus.CANCEL)
    script.receive(data(1, fin=True))
    assert script.log.events == ["eof", "closed"]
    assert script.log.failure is None
    assert stream_count(script.tunnel.spdy) == 0


def test_regular_end_started_by_the_client() -> None:
    script = Scripted()
    assert script.pair.send_eof()
    assert not script.pair.send(b"late")
    script.receive(data(3, b"still coming"), data(3, fin=True), data(1, fin=True))
    assert script.log.data == b"still coming"
    assert script.log.events == ["eof", "closed"]
    assert script.log.failure is None
    assert script.sent == data(3, fin=True)


def test_end_of_error_stream_waits_for_the_data() -> None:
    script = Scripted()
    script.receive(data(1, fin=True), data(3, b"x"))
    assert script.log.events == []
    script.receive(data(3, fin=True))
    assert script.log.events == ["eof", "closed"]


@pytest.mark.parametrize(
    "end",
    [
        # containerd 1.6.0-21 before the dial; after it, FIN(data) comes first.
        [data(1, REFUSED), data(1, fin=True), data(3, fin=True)],
        [data(3, fin=True), data(1, REFUSED), data(1, fin=True)],
        # containerd 2.1 and CRI-O.
        [data(3, fin=True), data(1, REFUSED), frames.rst_stream(1, 5)],
        [data(1, REFUSED), frames.rst_stream(1, 5), frames.rst_stream(3, 5)],
        [data(1, REFUSED), frames.rst_stream(3, 5), frames.rst_stream(1, 5)],
        # Text in any number of frames.
        [data(1, REFUSED[:50]), data(3, fin=True), data(1, REFUSED[50:], fin=True)],
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_refusals_of_every_runtime(end: list[bytes], size: int) -> None:
    script = Scripted()
    for chunk in chunked(b"".join(end), [size] * 5000):
        script.receive(chunk)
    assert script.log.events[-1] == "closed"
    failure = script.log.failure
    assert failure is not None
    assert failure.code is ReasonCode.PORT_REFUSED
    assert failure.text == REFUSED.decode().strip()
    assert failure.port == 80
    assert stream_count(script.tunnel.spdy) == 0
    assert not script.tunnel.ended


@pytest.mark.parametrize(
    "end",
    [
        [frames.rst_stream(1, 5), frames.rst_stream(3, 5)],
        [frames.rst_stream(3, 5), frames.rst_stream(1, 5)],
        [data(3, fin=True), frames.rst_stream(1, 5)],
    ],
)
def test_reset_without_text_is_attributed_to_the_application(end: list[bytes]) -> None:
    # containerd 1.6.22+: EPIPE and ECONNRESET are reported without a text.
    script = Scripted()
    script.receive(data(3, b"before"), *end)
    assert script.log.data == b"before"
    assert script.log.failure is not None
    assert script.log.failure.code is ReasonCode.PORT_RESET


def test_refused_stream() -> None:
    script = Scripted(accepted=False)
    script.receive(script.reply(1), frames.rst_stream(3, 5))
    assert script.log.failure is not None
    assert "refused the stream (status 5)" in script.log.failure.summary


def test_nothing_is_sent_after_an_error_text() -> None:
    script = Scripted()
    script.receive(data(1, REFUSED, fin=True))
    assert not script.pair.send(b"x")
    assert script.sent == frames.rst_stream(3, ResetStatus.CANCEL)


def test_error_texts_are_bounded() -> None:
    script = Scripted()
    for _ in range(100):
        script.receive(data(1, b"e" * 1000))
    script.receive(data(1, fin=True))
    assert script.log.failure is not None
    assert len(script.log.failure.text) == MAX_ERROR_TEXT_BYTES


def test_abort_resets_both_streams_and_calls_no_receiver() -> None:
    script = Scripted()
    script.pair.abort()
    script.pair.abort()
    resets = frames.rst_stream(1, 5) + frames.rst_stream(3, 5)
    assert script.sent == resets
    script.receive(data(3, b"x"), data(1, b"y", fin=True))
    script.tunnel.receive_eof()
    assert script.log.events == []
    assert script.log.data == b""


def test_expiry_of_a_pair_without_reply() -> None:
    script = Scripted(accepted=False)
    script.receive(script.reply(1))
    script.pair.expire()
    assert script.log.failure is not None
    assert script.log.failure.code is ReasonCode.CONNECTION_NO_REPLY
    assert script.sent == frames.rst_stream(1, 5) + frames.rst_stream(3, 5)


def test_expiry_of_an_accepted_pair_does_nothing() -> None:
    script = Scripted()
    script.pair.expire()
    assert script.log.events == []


@pytest.mark.parametrize("end", [None, frames.goaway(0, 0), b"\x80\x03\x00\x63\x00\x00\x00\x00"])
def test_lost_tunnel_closes_every_pair_once(end: bytes | None) -> None:
    script = Scripted()
    other = PairLog()
    script.tunnel.open(81, other)
    if end is None:
        script.tunnel.receive_eof()
    else:
        script.receive(end)
    for log in (script.log, other):
        assert log.events == ["closed"]
        assert log.failure is not None
        assert log.failure.tunnel_lost
        assert log.failure.summary.startswith("the tunnel was lost")
    assert script.handler.ends == [script.tunnel.error]
    with pytest.raises(TransportError):
        script.tunnel.open(80, PairLog())


def test_lost_tunnel_keeps_the_error_text() -> None:
    script = Scripted()
    script.receive(data(1, REFUSED), frames.goaway(0, 0))
    assert script.log.failure is not None
    assert script.log.failure.code is ReasonCode.PORT_REFUSED


def test_ended_pair_ignores_the_end_of_the_tunnel() -> None:
    script = Scripted()
    script.receive(data(3, fin=True), data(1, fin=True))
    script.tunnel.receive_eof()
    assert script.log.events == ["eof", "closed"]


def test_stream_ids_exhausted_by_the_second_stream() -> None:
    tunnel = TunnelClient(TunnelLog())
    tunnel.spdy._next_id = MAX_STREAM_ID
    with pytest.raises(TransportError, match="used up"):
        tunnel.open(80, PairLog())
    assert stream_count(tunnel.spdy) == 0


# ----------------------------------------------------------------- state × input, at random

ACTIONS = ("open", "send", "eof", "abort", "serve", "finish", "fail", "reset", "carry", "ping")


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 5)), max_size=60))
@codec_settings
def test_pairs_are_isolated_and_always_end(actions: list[tuple[str, int]]) -> None:
    """In any order of actions every pair gets its own bytes and exactly one end."""
    client_log, server_log = TunnelLog(), ServerLog()
    client, server = TunnelClient(client_log), TunnelServer(server_log)
    pairs: list[tuple[ClientStreamPair, PairLog]] = []
    sent_up: dict[str, bytes] = {}
    sent_down: dict[str, bytes] = {}
    for step, (action, number) in enumerate(actions):
        payload = b"%d," % step
        if action == "open":
            log = PairLog()
            pairs.append((client.open(80, log), log))
        elif action == "carry":
            there = wire(client)
            for chunk in chunked(there, [number + 1] * len(there)):
                server.receive_data(chunk)
            back = wire(server)
            for chunk in chunked(back, [number + 1] * len(back)):
                client.receive_data(chunk)
        elif action == "ping":
            client.send_ping()
        elif action in ("send", "eof", "abort") and pairs:
            pair, _ = pairs[number % len(pairs)]
            if action == "send" and pair.send(payload):
                key = str(pair.request_id)
                sent_up[key] = sent_up.get(key, b"") + payload
            elif action == "eof":
                pair.send_eof()
            elif action == "abort":
                pair.abort()
        elif action in ("serve", "finish", "fail", "reset") and server_log.pairs:
            served = server_log.pairs[number % len(server_log.pairs)]
            if action == "serve" and served.send(payload):
                down = sent_down.get(served.request_id, b"") + payload
                sent_down[served.request_id] = down
            elif action == "finish":
                served.finish()
            elif action == "fail":
                served.fail("connection refused")
            elif action == "reset":
                served.reset()
    pump(client, server)
    for served in server_log.pairs:
        served.finish()
    pump(client, server)
    assert client.error is server.error is None
    assert stream_count(client.spdy) == 0
    for pair, log in pairs:
        key = str(pair.request_id)
        assert pair.closed
        assert log.events.count("closed") <= 1
        assert sent_down.get(key, b"").startswith(bytes(log.data))
        if log.events[-1:] == ["closed"] and log.failure is None:
            assert bytes(log.data) == sent_down.get(key, b"")
    for receiver, served in zip(server_log.served, server_log.pairs, strict=True):
        assert sent_up.get(served.request_id, b"").startswith(bytes(receiver.data))
    # Streams left on the server are data streams that clients have not ended.
    client.close()
    pump(client, server)
    assert stream_count(server.spdy) == 0
    assert client_log.ends == []
    assert server_log.ends == [None]
