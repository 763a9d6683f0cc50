"""Frames cut where Go's writer cuts them."""

from __future__ import annotations

import pytest

from tests.protocol.recording_receivers import ConnectionLog, StreamLog
from tui_forward.errors import ProtocolError
from tui_forward.protocol.spdy import Side, SpdyConnection, frames
from tui_forward.protocol.spdy.fields import split_fields


def sizes(*buffers: bytes) -> list[int]:
    return [len(field) for field in split_fields(buffers)]


def test_split_matches_kubectl_recording() -> None:
    assert sizes(frames.syn_stream(1, b"b" * 52)) == [2, 2, 4, 4, 4, 1, 1, 52]
    assert sizes(frames.rst_stream(3, 5)) == [2, 2, 4, 4, 4]
    assert sizes(frames.goaway(0, 0)) == [2, 2, 4, 4, 4]
    assert sizes(frames.data_header(3, 7) + b"100000\n") == [4, 4, 7]
    assert sizes(frames.data_header(1, 0, fin=True)) == [4, 4, 0]
    assert sizes(frames.syn_reply(3, b"b" * 8)) == [2, 2, 4, 4, 8]
    assert sizes(frames.ping(2)) == [2, 2, 4, 4]


def test_payload_in_a_separate_buffer() -> None:
    assert sizes(frames.data_header(3, 5), b"hello", frames.ping(1)) == [4, 4, 5, 2, 2, 4, 4]


def test_no_bytes_are_lost() -> None:
    connection = SpdyConnection(Side.CLIENT, ConnectionLog())
    stream = connection.open_stream({"port": "80"}, StreamLog())
    stream.send_data(b"some data")
    stream.send_eof()
    connection.send_ping()
    connection.close()
    queued = connection.data_to_send()
    assert b"".join(split_fields(queued)) == b"".join(queued)


@pytest.mark.parametrize(
    "buffers",
    [
        (frames.data_header(3, 5), b"hell"),
        (frames.data_header(3, 5) + b"he", b"llo"),
        (frames.ping(1)[:-1],),
    ],
)
def test_cut_frames_are_refused(buffers: tuple[bytes, ...]) -> None:
    with pytest.raises(ProtocolError, match=r"cut|one buffer"):
        sizes(*buffers)
