"""Frames against bytes made elsewhere."""

from __future__ import annotations

import pytest

from tui_forward.protocol.spdy import frames
from tui_forward.protocol.spdy.headers import HeaderCompressor


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (frames.data_header(3, 2) + b"hi", "00000003000000026869"),
        (frames.data_header(1, 0, fin=True), "0000000101000000"),
        (frames.ping(1), "800300060000000400000001"),
        (frames.rst_stream(3, frames.ResetStatus.CANCEL), "80030003000000080000000300000005"),
        (frames.goaway(0, frames.GoawayStatus.OK), "80030007000000080000000000000000"),
    ],
)
def test_known_bytes(frame: bytes, expected: str) -> None:
    assert frame.hex() == expected


def test_known_syn_streams() -> None:
    compressor = HeaderCompressor(level=9, window_bits=15)
    headers = {"streamtype": "error", "port": "80", "requestid": "0"}
    assert frames.syn_stream(1, compressor.compress(headers)).hex() == (
        "800300010000003c0000000100000000000078f9e3c6a7c202253a703a2b294a4dcc85"
        "1625aca9a0808614cb45a024cc64610024398b209198094adc8c0600000000ffff"
    )
    headers["streamtype"] = "data"
    assert frames.syn_stream(3, compressor.compress(headers)).hex() == (
        "800300010000001800000003000000000000c2aa15540a2512d209000000ffff"
    )


def test_known_syn_replies() -> None:
    compressor = HeaderCompressor(level=9, window_bits=15)
    assert frames.syn_reply(1, compressor.compress({})).hex() == (
        "80030002000000140000000178f9e3c6a7c202a6230600000000ffff"
    )
    assert frames.syn_reply(3, compressor.compress({})).hex() == (
        "800300020000000c00000003020100000000ffff"
    )


def test_flags_and_lengths() -> None:
    assert frames.data_header(5, frames.MAX_DATA_LENGTH, fin=True).hex() == "0000000501ffffff"
    assert frames.syn_stream(7, b"x", fin=True)[4:8].hex() == "0100000b"
