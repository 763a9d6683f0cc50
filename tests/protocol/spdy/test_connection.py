"""One SPDY connection: frames in every state, cut anywhere, and malformed input."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given

from tests.protocol.recording_receivers import (
    ConnectionLog,
    StreamLog,
    chunk_sizes,
    chunked,
    codec_settings,
    pump,
    wire,
)
from tests.protocol.spdy.open_streams import stream_count
from tui_forward.errors import TransportError
from tui_forward.protocol.spdy import HeaderCompressor, Side, SpdyConnection, frames
from tui_forward.protocol.spdy.frames import (
    MAX_DATA_LENGTH,
    MAX_STREAM_ID,
    FrameType,
    ResetStatus,
    control_frame,
)

Ends = tuple[SpdyConnection, ConnectionLog, SpdyConnection, ConnectionLog]


def connected() -> Ends:
    to_client, to_server = ConnectionLog(), ConnectionLog()
    client = SpdyConnection(Side.CLIENT, to_client)
    server = SpdyConnection(Side.SERVER, to_server)
    return client, to_client, server, to_server


def data(stream_id: int, payload: bytes, *, fin: bool = False) -> bytes:
    return frames.data_header(stream_id, len(payload), fin=fin) + payload


# --------------------------------------------------------------- both sides together


def test_streams_open_exchange_data_and_end() -> None:
    client, _, server, to_server = connected()
    log = StreamLog()
    stream = client.open_stream({"port": "80"}, log)
    assert stream.send_data(b"early")
    pump(client, server)
    ((served, headers),) = to_server.opened
    assert headers == {"port": "80"}
    assert to_server.logs[1].data == b"early"
    assert log.events == ["replied"]
    served.send_data(b"answer")
    served.send_eof()
    pump(client, server)
    assert log.data == b"answer"
    assert log.events == ["replied", "eof"]
    stream.send_data(b"more", fin=True)
    pump(client, server)
    assert to_server.logs[1].data == b"earlymore"
    assert to_server.logs[1].events == ["eof"]
    assert stream_count(client) == stream_count(server) == 0


def test_stream_ids_are_odd_and_grow() -> None:
    client = SpdyConnection(Side.CLIENT, ConnectionLog())
    assert [client.open_stream({}, StreamLog()).id for _ in range(3)] == [1, 3, 5]


def test_ended_streams_leave_no_state() -> None:
    client, _, server, to_server = connected()
    for round_number in range(300):
        stream = client.open_stream({"requestid": str(round_number)}, StreamLog())
        pump(client, server)
        if round_number % 3 == 0:
            stream.reset()
        elif round_number % 3 == 1:
            to_server.opened[-1][0].reset()
        else:
            stream.send_eof()
            to_server.opened[-1][0].send_eof()
        pump(client, server)
    assert stream_count(client) == stream_count(server) == 0


def test_sending_on_an_ended_stream_is_no_error() -> None:
    client, _, server, to_server = connected()
    stream = client.open_stream({}, StreamLog())
    pump(client, server)
    to_server.opened[0][0].reset()
    pump(client, server)
    assert not stream.send_data(b"late")
    assert not stream.send_eof()
    stream.reset()
    assert wire(client) == b""


def test_payload_is_not_copied() -> None:
    client = SpdyConnection(Side.CLIENT, ConnectionLog())
    stream = client.open_stream({}, StreamLog())
    client.data_to_send()
    payload = memoryview(bytearray(100_000))
    stream.send_data(payload)
    assert client.data_to_send()[1] is payload


def test_data_above_the_largest_frame_is_split() -> None:
    client, _, server, to_server = connected()
    stream = client.open_stream({}, StreamLog())
    payload = bytes(MAX_DATA_LENGTH + 5)
    stream.send_data(payload, fin=True)
    pump(client, server)
    log = to_server.logs[1]
    assert log.data == payload
    assert log.events == ["eof"]
    assert client.error is server.error is None


def test_pings_are_echoed_and_pongs_reported() -> None:
    client, to_client, server, to_server = connected()
    assert [client.send_ping(), client.send_ping(), server.send_ping()] == [1, 3, 2]
    pump(client, server)
    assert to_client.pongs == [1, 3]
    assert to_server.pongs == [2]


def test_ping_ids_start_again() -> None:
    client = SpdyConnection(Side.CLIENT, ConnectionLog())
    client._next_ping_id = MAX_STREAM_ID
    assert [client.send_ping(), client.send_ping()] == [MAX_STREAM_ID, 1]


def test_stream_ids_run_out() -> None:
    client = SpdyConnection(Side.CLIENT, ConnectionLog())
    client._next_id = MAX_STREAM_ID
    assert client.open_stream({}, StreamLog()).id == MAX_STREAM_ID
    with pytest.raises(TransportError, match="used up"):
        client.open_stream({}, StreamLog())


def test_close_resets_open_streams_and_sends_goaway() -> None:
    client, to_client, server, to_server = connected()
    client.open_stream({}, StreamLog())
    pump(client, server)
    client.close()
    client.close()
    pump(client, server)
    assert to_server.logs[1].events == [f"reset {ResetStatus.CANCEL}"]
    assert to_server.ends == [None]
    assert server.goaway_status == 0
    assert to_client.ends == []
    with pytest.raises(TransportError, match="is closed"):
        client.open_stream({}, StreamLog())
    assert client.send_ping() == 0


def test_goaway_ends_every_stream_and_later_frames_are_ignored() -> None:
    client, to_client, _, _ = connected()
    logs = [StreamLog(), StreamLog()]
    for log in logs:
        client.open_stream({}, log)
    client.receive_data(data(1, b"x") + frames.goaway(0, 2) + data(1, b"y") + b"garbage")
    client.receive_data(data(1, b"z"))
    client.receive_eof()
    assert logs[0].data == b"x"
    assert [log.events for log in logs] == [["lost"], ["lost"]]
    assert to_client.ends == [None]
    assert client.goaway_status == 2


def test_eof_ends_every_stream() -> None:
    client, to_client, _, _ = connected()
    log = StreamLog()
    client.open_stream({}, log)
    client.receive_eof()
    assert log.events == ["lost"]
    assert to_client.ends == [None]
    assert client.error is None


@pytest.mark.parametrize("cut", [3, 8, 9])
def test_eof_inside_a_frame_is_an_error(cut: int) -> None:
    client, to_client, _, _ = connected()
    client.open_stream({}, StreamLog())
    client.receive_data(data(1, b"abc")[:cut])
    client.receive_eof()
    assert str(client.error) == "connection ended inside a frame"
    assert to_client.ends == [client.error]


# ------------------------------------------------------------------- from within a call


class Closer(StreamLog):
    """Does something to its connection in the middle of a chunk."""

    def __init__(self, connection: SpdyConnection, stream_id: int, *, close: bool) -> None:
        super().__init__()
        self.connection = connection
        self.stream_id = stream_id
        self.close = close

    def data_received(self, data: memoryview) -> None:
        super().data_received(data)
        if self.close:
            self.connection.close()
        else:
            self.connection._streams[self.stream_id].reset()


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_receiver_may_end_its_stream_or_the_connection(close: bool, size: int) -> None:
    client, to_client, _, _ = connected()
    log = Closer(client, 1, close=close)
    client.open_stream({}, log)
    received = data(1, b"first") + data(1, b"second") + frames.ping(2) + frames.ping(1)
    client.data_to_send()
    for chunk in chunked(received, [size] * len(received)):
        client.receive_data(chunk)
    # Only the first piece: what follows is for a stream that is gone.
    assert log.data == {1: b"f", 5: b"fi", 1000: b"first"}[size]
    assert to_client.pongs == ([] if close else [1])
    sent = wire(client)
    assert sent.startswith(frames.rst_stream(1, ResetStatus.CANCEL))
    assert (frames.ping(2) in sent) is not close


# ----------------------------------------------------------- any chunking, same meaning


def conversation() -> bytes:
    """Everything a server may send, to a client with streams 1 to 9."""
    compressor = HeaderCompressor()
    replies = [frames.syn_reply(number, compressor.compress({})) for number in (1, 3, 5, 7)]
    return b"".join(
        [
            *replies,
            data(1, b"abc"),
            data(3, b"", fin=True),
            frames.ping(1),
            control_frame(FrameType.SETTINGS, struct.pack(">III", 1, 4, 100)),
            control_frame(FrameType.WINDOW_UPDATE, struct.pack(">II", 1, 65536)),
            control_frame(
                FrameType.HEADERS, struct.pack(">I", 5) + compressor.compress({"a": "b"})
            ),
            data(5, b"x" * 100, fin=True),
            frames.rst_stream(7, 3),
            data(99, b"unknown"),
            data(7, b"too late"),
            frames.ping(2),
            frames.syn_reply(9, compressor.compress({"last": "1"})),
            data(9, b"end"),
            frames.goaway(0, 0),
        ]
    )


def receive_events(chunks: list[bytes]) -> tuple[list[tuple[list[str], bytes]], list[int], bytes]:
    handler = ConnectionLog()
    client = SpdyConnection(Side.CLIENT, handler)
    logs = [StreamLog() for _ in range(5)]
    for log in logs:
        client.open_stream({}, log)
    client.data_to_send()
    for chunk in chunks:
        client.receive_data(chunk)
    assert client.error is None
    assert handler.ends == [None]
    return [(log.events, bytes(log.data)) for log in logs], handler.pongs, wire(client)


@given(chunk_sizes)
@codec_settings
def test_any_chunking_gives_the_same_events(sizes: list[int]) -> None:
    received = conversation()
    assert receive_events(list(chunked(received, sizes))) == receive_events([received])


def test_bytewise_input_gives_the_same_events() -> None:
    received = conversation()
    observed = receive_events(list(chunked(received, [1] * len(received))))
    assert observed == receive_events([received])
    streams, pongs, sent = observed
    assert streams == [
        (["replied", "lost"], b"abc"),
        (["replied", "eof", "lost"], b""),
        (["replied", "eof", "lost"], b"x" * 100),
        (["replied", "reset 3"], b""),
        (["replied", "lost"], b"end"),
    ]
    assert pongs == [1]
    assert sent == frames.ping(2)


# -------------------------------------------------------------- every frame, every state

STATES = ("unknown", "opening", "open", "local ended", "remote ended", "ended", "reset")


def client_in(state: str) -> tuple[SpdyConnection, StreamLog, HeaderCompressor]:
    """A client whose stream 1 is in that state, and the server's compressor."""
    client = SpdyConnection(Side.CLIENT, ConnectionLog())
    log = StreamLog()
    compressor = HeaderCompressor()
    if state != "unknown":
        stream = client.open_stream({}, log)
        if state != "opening":
            client.receive_data(frames.syn_reply(1, compressor.compress({})))
        if state in ("local ended", "ended"):
            stream.send_eof()
        if state in ("remote ended", "ended"):
            client.receive_data(data(1, b"", fin=True))
        if state == "reset":
            stream.reset()
    client.data_to_send()
    log.events.clear()
    return client, log, compressor


# Events of the receiver for a frame, by state of the stream; none where not listed.
EXPECTED_EVENTS: dict[str, dict[str, tuple[list[str], bytes]]] = {
    "DATA": dict.fromkeys(("opening", "open", "local ended"), ([], b"hi")),
    "DATA FIN": dict.fromkeys(("opening", "open", "local ended"), (["eof"], b"hi")),
    "SYN_REPLY": {"opening": (["replied"], b"")},
    "SYN_REPLY FIN": {"opening": (["replied", "eof"], b"")},
    "RST_STREAM": dict.fromkeys(
        ("opening", "open", "local ended", "remote ended"), (["reset 5"], b"")
    ),
    "HEADERS": {},
    "WINDOW_UPDATE": {},
    "SYN_STREAM": {},
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("frame", EXPECTED_EVENTS)
def test_every_frame_in_every_state(frame: str, state: str) -> None:
    client, log, compressor = client_in(state)
    flags = frames.FLAG_FIN if frame.endswith("FIN") else 0
    stream_id = struct.pack(">I", 1)
    received = {
        "DATA": lambda: data(1, b"hi"),
        "DATA FIN": lambda: data(1, b"hi", fin=True),
        "RST_STREAM": lambda: frames.rst_stream(1, 5),
        "HEADERS": lambda: control_frame(
            FrameType.HEADERS, stream_id + compressor.compress({"x": "y"})
        ),
        "WINDOW_UPDATE": lambda: control_frame(FrameType.WINDOW_UPDATE, stream_id + stream_id),
        "SYN_STREAM": lambda: frames.syn_stream(1, compressor.compress({"x": "y"})),
    }.get(
        frame,
        lambda: control_frame(
            FrameType.SYN_REPLY, stream_id + compressor.compress({}), flags=flags
        ),
    )()
    client.receive_data(received)
    assert (log.events, bytes(log.data)) == EXPECTED_EVENTS[frame].get(state, ([], b""))
    assert client.error is None
    # No state and no frame loses the compression: a second stream still works.
    second = StreamLog()
    opened = client.open_stream({}, second)
    client.receive_data(frames.syn_reply(opened.id, compressor.compress({"z": "1"})))
    assert second.events == ["replied"]


def test_stream_opened_by_a_server_is_refused() -> None:
    client, _, compressor = client_in("open")
    client.receive_data(frames.syn_stream(2, compressor.compress({"port": "80"})))
    assert wire(client) == frames.rst_stream(2, ResetStatus.REFUSED_STREAM)


# ------------------------------------------------------------------------- server rules


def served(received: bytes) -> tuple[SpdyConnection, ConnectionLog]:
    handler = ConnectionLog()
    server = SpdyConnection(Side.SERVER, handler)
    server.receive_data(received)
    return server, handler


def test_reply_is_an_empty_block_before_any_data() -> None:
    server, handler = served(frames.syn_stream(1, HeaderCompressor().compress({})))
    handler.opened[0][0].send_data(b"x")
    empty = frames.syn_reply(1, HeaderCompressor().compress({}))
    assert wire(server) == empty + data(1, b"x")


def test_non_increasing_ids_are_reset() -> None:
    compressor = HeaderCompressor()
    received = [frames.syn_stream(number, compressor.compress({})) for number in (3, 3, 1, 4, 5)]
    server, handler = served(b"".join(received))
    assert [stream.id for stream, _ in handler.opened] == [3, 5]
    sent = wire(server)
    for number in (3, 1, 4):
        assert frames.rst_stream(number, ResetStatus.PROTOCOL_ERROR) in sent
    assert server.error is None


def test_data_pipelined_behind_syn_stream_with_fin() -> None:
    syn = frames.syn_stream(1, HeaderCompressor().compress({}))
    _, handler = served(syn + data(1, b"GET /", fin=True))
    assert handler.logs[1].data == b"GET /"
    assert handler.logs[1].events == ["eof"]


def test_fin_on_syn_stream() -> None:
    server, handler = served(frames.syn_stream(1, HeaderCompressor().compress({}), fin=True))
    assert handler.logs[1].events == ["eof"]
    handler.opened[0][0].send_eof()
    assert stream_count(server) == 0


def test_unidirectional_stream_gets_no_data() -> None:
    block = struct.pack(">IIH", 1, 0, 0) + HeaderCompressor().compress({})
    _, handler = served(control_frame(FrameType.SYN_STREAM, block, flags=2))
    assert not handler.opened[0][0].send_data(b"x")


def test_largest_data_frame_passes_through_in_pieces() -> None:
    server, handler = served(frames.syn_stream(1, HeaderCompressor().compress({})))
    server.receive_data(frames.data_header(1, MAX_DATA_LENGTH, fin=True))
    piece = bytes(65536)
    for _ in range(MAX_DATA_LENGTH // len(piece)):
        server.receive_data(piece)
    log = handler.logs[1]
    assert log.pieces == MAX_DATA_LENGTH // len(piece)
    assert log.events == []
    server.receive_data(piece[: MAX_DATA_LENGTH % len(piece)])
    assert len(log.data) == MAX_DATA_LENGTH
    assert log.events == ["eof"]


@pytest.mark.parametrize("frame_type", [0, 5, 10, 77])
def test_unknown_control_frames_end_the_connection(frame_type: int) -> None:
    server, handler = served(control_frame(frame_type, b""))
    assert str(server.error) == f"control frame of unknown type {frame_type}"
    assert handler.ends == [server.error]


def test_upper_case_header_ends_the_connection() -> None:
    server, _ = served(frames.syn_stream(1, HeaderCompressor().compress({"Port": "80"})))
    assert "not in lower case" in str(server.error)


def test_version_is_ignored() -> None:
    ping = bytearray(frames.ping(1))
    ping[1] = 2
    server, _ = served(bytes(ping))
    assert server.error is None
