"""What a malicious or broken peer can do to a SPDY connection: end it, nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.recording_receivers import (
    ConnectionLog,
    StreamLog,
    chunk_sizes,
    chunked,
    codec_settings,
    wire,
)
from tests.protocol.spdy.open_streams import stream_count
from tests.protocol.spdy.test_connection import data, served
from tui_forward.protocol.spdy import HeaderCompressor, Side, SpdyConnection, frames
from tui_forward.protocol.spdy.connection import MAX_QUEUED_REPLIES, MAX_STREAMS
from tui_forward.protocol.spdy.frames import (
    MAX_CONTROL_LENGTH,
    FrameType,
    ResetStatus,
    control_frame,
)
from tui_forward.protocol.spdy.headers import MAX_BLOCK_BYTES


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (frames.data_header(0, 3) + b"abc", "DATA on stream 0"),
        (frames.data_header(0, 0), "DATA on stream 0"),
        (control_frame(FrameType.RST_STREAM, b"1234567"), "RST_STREAM of wrong length"),
        (control_frame(FrameType.RST_STREAM, bytes(8)), "RST_STREAM for stream 0"),
        (frames.rst_stream(1, 0), "RST_STREAM with status 0"),
        (control_frame(FrameType.PING, b"12345"), "PING of wrong length or with flags"),
        (control_frame(FrameType.PING, b"1234", flags=1), "PING of wrong length or with flags"),
        (control_frame(FrameType.PING, bytes(4)), "PING with id 0"),
        (control_frame(FrameType.GOAWAY, bytes(4)), "GOAWAY of wrong length or with flags"),
        (control_frame(FrameType.SETTINGS, b"12"), "SETTINGS of wrong length"),
        (control_frame(FrameType.SETTINGS, b"\0\0\0\2" + bytes(8)), "SETTINGS of wrong length"),
        (control_frame(FrameType.WINDOW_UPDATE, bytes(4)), "WINDOW_UPDATE of wrong length"),
        (control_frame(FrameType.SYN_REPLY, b"123"), "SYN_REPLY too short"),
        (control_frame(FrameType.SYN_STREAM, bytes(9)), "SYN_STREAM too short"),
        (control_frame(FrameType.HEADERS, bytes(3)), "HEADERS too short"),
        (frames.syn_reply(0, HeaderCompressor().compress({})), "SYN_REPLY for stream 0"),
        (frames.syn_stream(0, HeaderCompressor().compress({})), "SYN_STREAM for stream 0"),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_malformed_frames_end_the_connection(frame: bytes, message: str, size: int) -> None:
    for side in Side:
        handler = ConnectionLog()
        connection = SpdyConnection(side, handler)
        for chunk in chunked(frame + frames.ping(1), [size] * len(frame)):
            connection.receive_data(chunk)
        assert str(connection.error) == message
        assert handler.ends == [connection.error]


@pytest.mark.parametrize("size", [1, 8, 100_000])
def test_control_frames_are_bounded(size: int) -> None:
    frame = frames.pack_head(0x8003_0004, MAX_CONTROL_LENGTH + 1) + bytes(MAX_CONTROL_LENGTH)
    server = SpdyConnection(Side.SERVER, ConnectionLog())
    for chunk in chunked(frame, [size] * 20):
        server.receive_data(chunk)
    assert "control frame of 65537 bytes" in str(server.error)
    assert not server._partial


def test_zlib_bomb_ends_only_its_connection() -> None:
    bomb = HeaderCompressor(level=9).compress({"x": "a" * 10 * MAX_BLOCK_BYTES})
    server, _ = served(frames.syn_stream(1, bomb))
    assert "inflates beyond" in str(server.error)


def test_pings_without_reading_are_bounded() -> None:
    server, _ = served(b"".join(frames.ping(1) for _ in range(MAX_QUEUED_REPLIES)))
    assert server.error is None
    server.receive_data(frames.ping(1))
    assert "without reading" in str(server.error)


def test_pings_with_reading_are_unlimited() -> None:
    server, _ = served(b"")
    for _ in range(3):
        server.receive_data(b"".join(frames.ping(1) for _ in range(MAX_QUEUED_REPLIES)))
        server.data_to_send()
    assert server.error is None


def test_open_streams_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_STREAMS > 2 * 2000
    monkeypatch.setattr("tui_forward.protocol.spdy.connection.MAX_STREAMS", 2)
    compressor = HeaderCompressor()
    received = [frames.syn_stream(number, compressor.compress({})) for number in (1, 3, 5)]
    server, handler = served(b"".join(received))
    assert len(handler.opened) == stream_count(server) == 2
    assert wire(server).endswith(frames.rst_stream(5, ResetStatus.REFUSED_STREAM))


@given(st.binary(max_size=300), chunk_sizes, st.sampled_from(Side))
@codec_settings
def test_garbage_never_raises(garbage: bytes, sizes: list[int], side: Side) -> None:
    connection = SpdyConnection(side, ConnectionLog())
    for chunk in chunked(garbage, sizes):
        connection.receive_data(chunk)
    connection.receive_eof()
    assert connection.ended


@given(
    st.lists(
        st.builds(
            control_frame,
            st.sampled_from([*FrameType, 5, 10]),
            st.binary(max_size=24).map(lambda payload: b"\0\0\0\1" + payload),
            flags=st.integers(0, 3),
        )
        | st.builds(data, st.integers(0, 6), st.binary(max_size=20), fin=st.booleans()),
        max_size=12,
    ),
    st.sampled_from(Side),
)
@codec_settings
def test_half_valid_frames_never_raise(received: list[bytes], side: Side) -> None:
    handler = ConnectionLog()
    connection = SpdyConnection(side, handler)
    logs = [StreamLog(), StreamLog()]
    if side is Side.CLIENT:
        for log in logs:
            connection.open_stream({}, log)
    connection.receive_data(b"".join(received))
    connection.receive_eof()
    assert len(handler.ends) == 1
    for log in logs if side is Side.CLIENT else []:
        assert len([word for word in log.events if word.startswith(("lost", "reset"))]) == 1
