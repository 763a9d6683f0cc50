"""What a port-forward client and server must do, one test per rule of the conformance list.

The list is the project's own reading of client-go, spdystream, the CRI's streaming server
and containerd. Rules that need a clock, a socket or a listener are tested where those are:
ALPN (2), choice of transport (7), period of PINGs (19), re-dialling (20), back-pressure
(21) and binding (24) by `transport` and `engine`, hops and dialling by `minicluster`. What
of them can be decided without I/O is here.
"""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from tests.protocol.recording_receivers import PairLog, ServerLog, TunnelLog, pump, wire
from tests.protocol.recordings import SPDY
from tests.protocol.status_responses import encode_status_response
from tests.protocol.test_portforward import REFUSED, Scripted, data
from tests.protocol.test_portforward_server import Served, reply
from tui_forward.errors import TransportError, UpgradeError
from tui_forward.model import ReasonCode
from tui_forward.protocol.portforward import PAIR_TIMEOUT_S, REPLY_TIMEOUT_S, TunnelClient
from tui_forward.protocol.portforward_server import TunnelServer
from tui_forward.protocol.spdy import (
    HeaderCompressor,
    HeaderDecompressor,
    Side,
    SpdyConnection,
    frames,
)
from tui_forward.protocol.spdy.fields import split_fields
from tui_forward.protocol.spdy.frames import FrameType, control_frame
from tui_forward.protocol.upgrade import ClientUpgrade, UpgradeKind, UpgradeRejected
from tui_forward.protocol.upgrade_server import (
    encode_response,
    spdy_switching_protocols,
)
from tui_forward.protocol.websocket import Opcode, WebSocketConnection, frame_head

PATH = "/api/v1/namespaces/default/pods/web/portforward"
CANCEL = 5


def asked(kind: UpgradeKind = UpgradeKind.SPDY) -> ClientUpgrade:
    upgrade = ClientUpgrade(kind, PATH, authority="a", ports=[80])
    upgrade.request()
    return upgrade


class TunnelInWebSocket:
    """A client's tunnel inside a WebSocket, with a server as strict as Go's."""

    def __init__(self) -> None:
        self.log = PairLog()
        self.tunnel = TunnelClient(TunnelLog())
        self.pair = self.tunnel.open(80, self.log)
        self.websocket = WebSocketConnection(Side.CLIENT, self, binary_only=True)

    def message_started(self, opcode: int) -> None: ...

    def payload_received(self, data: memoryview) -> None:
        self.tunnel.receive_data(data)

    def message_ended(self) -> None: ...

    def pong_received(self, payload: bytes) -> None: ...

    def websocket_ended(self, error: Exception | None) -> None: ...


# -------------------------------------------------------------------------------- client


def test_client_01_sends_nothing_before_the_101() -> None:
    """Only the request is sent; tunnels exist only after `done`."""
    upgrade = asked()
    request = ClientUpgrade(UpgradeKind.SPDY, PATH, authority="a").request()
    assert request.endswith(b"\r\n\r\n")
    assert request.count(b"\r\n\r\n") == 1
    head = spdy_switching_protocols()
    upgrade.receive_data(head[:-1])
    assert not upgrade.done
    upgrade.receive_data(head[-1:])
    assert upgrade.done


@pytest.mark.parametrize(
    ("raw", "status", "message"),
    [
        (
            encode_status_response(404, 'pods "web" not found', reason="NotFound"),
            404,
            "pod web does not exist",
        ),
        (
            encode_response(404, "pod does not exist\n"),
            404,
            "pod web does not run: pod does not exist",
        ),
    ],
)
def test_client_03_reports_both_kinds_of_error(raw: bytes, status: int, message: str) -> None:
    with pytest.raises(UpgradeRejected) as caught:
        asked().receive_data(raw)
    assert (caught.value.status, str(caught.value)) == (status, message)


def test_client_04_fails_when_the_echo_differs() -> None:
    with pytest.raises(UpgradeRejected, match=r"other\.k8s\.io"):
        asked().receive_data(spdy_switching_protocols("other.k8s.io"))


@pytest.mark.parametrize("size", [1, 3, 100_000])
def test_client_05_reassembles_fragments_and_tiny_messages(size: int) -> None:
    """Field by field, in fragments, cut anywhere: the same bytes."""
    end = TunnelInWebSocket()
    server_log = ServerLog()
    server = TunnelServer(server_log)
    server.receive_data(wire(end.tunnel))
    payload = bytes(range(256)) * 100
    server_log.pairs[0].send(payload)
    server_log.pairs[0].finish()
    outer = WebSocketConnection(Side.SERVER, TunnelInWebSocket())
    outer.send(b"")
    outer.send_fragmented(split_fields(server.data_to_send()))
    raw = wire(outer)
    for at in range(0, len(raw), size):
        end.websocket.receive_data(raw[at : at + size])
    assert end.log.data == payload
    assert end.log.events == ["accepted", "eof", "closed"]


def test_client_06_answers_pings_masks_never_sends_text_closes_with_1000() -> None:
    end = TunnelInWebSocket()
    end.websocket.receive_data(frame_head(Opcode.PING, 2) + b"hi")
    end.websocket.send(*end.tunnel.data_to_send())
    end.websocket.close()
    seen: list[int] = []

    class Watch(TunnelInWebSocket):
        def message_started(self, opcode: int) -> None:
            seen.append(opcode)

        def payload_received(self, data: memoryview) -> None: ...

        def pong_received(self, payload: bytes) -> None:
            assert payload == b"hi"
            seen.append(Opcode.PONG)

    server = WebSocketConnection(Side.SERVER, Watch())
    server.receive_data(wire(end.websocket))  # refuses what is not masked
    assert server.error is None
    assert seen == [Opcode.PONG, Opcode.BINARY]
    assert server.close_code == 1000


def test_client_07_falls_back_only_on_a_response() -> None:
    for raw in (
        encode_response(200),
        encode_response(403),
        encode_status_response(500, "no"),
        spdy_switching_protocols("other"),
    ):
        with pytest.raises(UpgradeError):
            asked().receive_data(raw)
    with pytest.raises(TransportError):
        asked().receive_eof()


def test_client_08_odd_increasing_ids_and_one_compressor() -> None:
    tunnel = TunnelClient(TunnelLog())
    decompressor = HeaderDecompressor()
    ids = []
    for _ in range(50):
        tunnel.open(80, PairLog())
        for frame in tunnel.data_to_send():
            ids.append(int.from_bytes(frame[8:12], "big"))
            assert bytes(frame).endswith(b"\x00\x00\xff\xff")
            decompressor.decompress(frame[18:])
    assert ids == list(range(1, 200, 2))


def test_client_09_sends_three_headers_in_lower_case() -> None:
    tunnel = TunnelClient(TunnelLog())
    tunnel.open(80, PairLog())
    decompressor = HeaderDecompressor()
    for frame in tunnel.data_to_send():
        assert set(decompressor.decompress(frame[18:])) == {"streamtype", "port", "requestid"}


def test_client_10_opens_the_error_stream_first_and_half_closes_it() -> None:
    server_log = ServerLog()
    tunnel, server = TunnelClient(TunnelLog()), TunnelServer(server_log)
    tunnel.open(80, PairLog())
    first, second = tunnel.data_to_send()
    assert (first[4], second[4]) == (frames.FLAG_FIN, 0)
    assert b"".join([first, second])[8:12] == b"\0\0\0\1"
    server.receive_data(first)
    server.receive_data(second)
    assert len(server_log.pairs) == 1


def test_client_11_resets_a_pair_without_reply() -> None:
    script = Scripted(accepted=False)
    assert REPLY_TIMEOUT_S == 30
    script.pair.expire()
    assert script.sent == frames.rst_stream(1, CANCEL) + frames.rst_stream(3, CANCEL)
    assert script.log.failure is not None
    assert script.log.failure.code is ReasonCode.CONNECTION_NO_REPLY


def test_client_12_reply_does_not_mean_connected() -> None:
    script = Scripted(accepted=False)
    script.receive(script.reply(1), script.reply(3))
    assert script.log.events == ["accepted"]
    script.receive(data(3, fin=True), data(1, REFUSED, fin=True))
    assert script.log.failure is not None


def test_client_13_reads_the_error_stream_to_its_end() -> None:
    script = Scripted()
    script.receive(data(3, fin=True), data(1, REFUSED[:100]))
    assert "closed" not in script.log.events
    script.receive(data(1, REFUSED[100:]), data(1, fin=True))
    assert script.log.failure is not None
    assert script.log.failure.text == REFUSED.decode().strip()


def test_client_14_failure_does_not_affect_other_pairs() -> None:
    script = Scripted()
    other = PairLog()
    alive = script.tunnel.open(80, other)
    script.receive(data(1, REFUSED, fin=True), data(3, fin=True))
    script.receive(script.reply(5), script.reply(7), data(7, b"still here"))
    assert script.log.failure is not None
    assert other.data == b"still here"
    assert alive.send(b"so am I")


def test_client_15_local_eof_is_fin_and_data_still_arrives() -> None:
    script = Scripted()
    script.pair.send(b"bye")
    script.pair.send_eof()
    assert script.sent == data(3, b"bye") + data(3, fin=True)
    script.receive(data(3, b"late reply"))
    assert script.log.data == b"late reply"


def test_client_16_remote_fin_delivers_all_then_stops_and_resets() -> None:
    script = Scripted()
    script.receive(data(3, b"all of it", fin=True))
    assert script.log.data == b"all of it"
    assert not script.pair.send(b"x")
    assert script.sent == frames.rst_stream(3, CANCEL)


def test_client_17_ignores_frames_for_unknown_and_closed_streams() -> None:
    script = Scripted()
    script.receive(data(99, b"x"), frames.rst_stream(98, 1), script.reply(97))
    script.pair.abort()
    script.receive(data(3, b"x", fin=True), frames.rst_stream(3, 1), data(1, b"text", fin=True))
    assert not script.tunnel.ended
    assert script.log.events == []


def test_client_18_ignores_settings_and_window_updates_and_needs_no_credit() -> None:
    script = Scripted()
    script.receive(
        control_frame(FrameType.SETTINGS, b"\0\0\0\1" + b"\1\0\0\7" + b"\0\0\0\1"),
        control_frame(FrameType.WINDOW_UPDATE, b"\0\0\0\3\0\0\0\1"),
    )
    assert script.log.events == []
    for _ in range(100):
        assert script.pair.send(bytes(65536))
    assert len(script.sent) == 100 * (65536 + 8)


def test_client_19_echoes_even_pings_and_sends_odd_ones() -> None:
    script = Scripted()
    script.receive(frames.ping(2), frames.ping(0x7FFF_FFFE))
    assert script.sent == frames.ping(2) + frames.ping(0x7FFF_FFFE)
    assert script.tunnel.send_ping() == 1
    script.receive(frames.ping(1))
    assert script.handler.pongs == [1]
    assert script.sent == frames.ping(1)


@pytest.mark.parametrize("goaway", [False, True])
def test_client_20_goaway_and_eof_end_every_connection(goaway: bool) -> None:
    script = Scripted()
    if goaway:
        script.receive(frames.goaway(3, 0))
    else:
        script.tunnel.receive_eof()
    assert script.log.failure is not None
    assert script.log.failure.tunnel_lost
    assert script.handler.ends == [None]


def test_client_21_retains_no_payload() -> None:
    script = Scripted()
    chunk = frames.data_header(7, 2**24 - 1)
    piece = bytes(65536)
    script.pair = script.tunnel.open(80, Forgetful())
    script.receive(chunk)
    tracemalloc.start()
    try:
        for _ in range(200):
            script.receive(piece)
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()


def test_client_21_ended_connections_leave_no_state() -> None:
    server_log = ServerLog()
    tunnel, server = TunnelClient(TunnelLog()), TunnelServer(server_log)

    def connections(count: int) -> None:
        for _ in range(count):
            tunnel.open(80, PairLog()).send(b"x")
            pump(tunnel, server)
            server_log.pairs.pop().finish()
            server_log.served.clear()
            pump(tunnel, server)

    connections(50)
    tracemalloc.start()
    try:
        connections(50)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        connections(500)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()


def test_client_22_delivers_data_that_precedes_a_reset() -> None:
    script = Scripted()
    script.receive(data(3, b"before"), frames.rst_stream(3, CANCEL))
    assert script.log.data == b"before"


def test_client_23_decompresses_headers_of_refused_streams() -> None:
    script = Scripted(accepted=False)
    script.receive(
        frames.syn_stream(2, script.compressor.compress({"x": "y" * 50})),
        script.reply(99),
        script.reply(1),
        script.reply(3),
    )
    assert script.log.events == ["accepted"]
    assert script.sent == frames.rst_stream(2, frames.ResetStatus.REFUSED_STREAM)


# -------------------------------------------------------------------------------- server


def opened_pair() -> Served:
    served = Served()
    served.syn(1, streamtype="error", port="80", requestid="0")
    served.syn(3, streamtype="data", port="80", requestid="0")
    return served


def test_server_28_replies_with_an_empty_block_before_data() -> None:
    served = opened_pair()
    served.log.pairs[0].send(b"x")
    assert served.sent == reply(1, 3) + data(3, b"x")


def test_server_29_resets_bad_headers_and_ids() -> None:
    served = Served()
    served.syn(5, streamtype="data", port="http", requestid="0")
    served.syn(3, streamtype="data", port="80", requestid="0")
    assert served.sent == frames.rst_stream(5, CANCEL) + frames.rst_stream(3, 1)


def test_server_30_pairs_and_times_out() -> None:
    served = opened_pair()
    assert len(served.log.pairs) == 1
    served.syn(5, streamtype="error", port="80")
    assert PAIR_TIMEOUT_S == 30
    served.clock.now += 30
    served.tunnel.expire()
    assert served.sent.endswith(data(5, b"(conn=0xc0, request=5) timed out waiting for streams"))


def test_server_31_opens_a_pair_only_with_both_streams() -> None:
    served = Served()
    served.syn(1, streamtype="error", port="80", requestid="0")
    assert served.log.pairs == []


def test_server_34_accepts_pipelined_data_and_large_frames() -> None:
    served = Served()
    syns = [
        frames.syn_stream(stream_id, served.compressor.compress(headers), fin=fin)
        for stream_id, headers, fin in (
            (1, {"streamtype": "error", "port": "80", "requestid": "0"}, True),
            (3, {"streamtype": "data", "port": "80", "requestid": "0"}, False),
        )
    ]
    payload = bytes(2**24 - 1)
    served.tunnel.receive_data(b"".join(syns) + data(3, payload, fin=True))
    assert served.log.served[0].data == payload
    assert served.log.served[0].events == ["eof"]


def test_server_35_echoes_odd_pings_and_originates_none() -> None:
    served = Served()
    served.tunnel.receive_data(frames.ping(7))
    assert served.sent == frames.ping(7)


def test_server_37_drops_the_connection_on_unknown_types_and_upper_case() -> None:
    for frame in (
        control_frame(5, b""),
        frames.syn_stream(1, HeaderCompressor().compress({"Port": "80"})),
    ):
        served = Served()
        served.tunnel.receive_data(frame)
        assert served.log.ends == [served.tunnel.error]
        assert served.tunnel.error is not None


def test_headers_are_those_recorded_from_kubectl() -> None:
    """Request headers equal those of every recorded kubectl, except for the order."""
    for recording in SPDY:
        handler = ServedHeaders()
        server = SpdyConnection(Side.SERVER, handler)
        server.receive_data(b"".join(recording.body("client")))
        error, stream = handler.headers[:2]
        assert error["streamtype"] == "error"
        assert stream == {**error, "streamtype": "data"}
        ours = ServedHeaders()
        tunnel = TunnelClient(TunnelLog())
        tunnel.open(int(error["port"]), PairLog())
        SpdyConnection(Side.SERVER, ours).receive_data(wire(tunnel))
        assert ours.headers == handler.headers[:2]


class Forgetful(PairLog):
    """A `StreamPairReceiver` that keeps no data."""

    def data_received(self, data: memoryview) -> None: ...


class ServedHeaders:
    """A `ConnectionHandler` that records the headers of streams."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []

    def stream_opened(self, stream: object, headers: dict[str, str]) -> None:
        self.headers.append(headers)

    def pong_received(self, ping_id: int) -> None: ...

    def connection_ended(self, error: Exception | None) -> None: ...
