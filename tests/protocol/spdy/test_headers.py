"""Header blocks: layout, rules, compression, and what a peer can do wrong with them."""

from __future__ import annotations

import contextlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.recording_receivers import codec_settings
from tui_forward.errors import ProtocolError
from tui_forward.protocol.spdy.dictionary import SPDY3_DICTIONARY
from tui_forward.protocol.spdy.headers import (
    MAX_BLOCK_BYTES,
    HeaderCompressor,
    HeaderDecompressor,
    decode_block,
    encode_block,
)

FORBIDDEN = ("connection", "host", "keep-alive", "proxy-connection", "transfer-encoding")

names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20).map(
    str.lower
)
headers_strategy = st.dictionaries(
    names.filter(lambda name: name not in FORBIDDEN),
    st.text(st.characters(max_codepoint=255), max_size=30),
    max_size=6,
)


def test_known_block() -> None:
    block = encode_block({"streamtype": "error", "port": "80", "requestid": "0"})
    assert block.hex() == (
        "000000030000000a73747265616d74797065000000056572726f7200000004706f7274"
        "0000000238300000000972657175657374696400000001" + "30"
    )


@given(st.lists(headers_strategy, max_size=8))
@codec_settings
def test_round_trip_of_a_whole_connection(blocks: list[dict[str, str]]) -> None:
    compressor, decompressor = HeaderCompressor(), HeaderDecompressor()
    for headers in blocks:
        assert decompressor.decompress(compressor.compress(headers)) == headers


@pytest.mark.parametrize(("level", "window_bits"), [(9, 15), (6, 15), (1, 12), (6, 9), (0, 15)])
def test_any_level_and_window_can_be_decompressed(level: int, window_bits: int) -> None:
    compressor = HeaderCompressor(level=level, window_bits=window_bits)
    decompressor = HeaderDecompressor()
    for number in range(200):
        headers = {"streamtype": "data", "port": "8080", "requestid": str(number)}
        assert decompressor.decompress(compressor.compress(headers)) == headers


def test_every_block_ends_with_a_sync_flush() -> None:
    compressor = HeaderCompressor()
    for number in range(3):
        assert compressor.compress({"port": str(number)}).endswith(b"\x00\x00\xff\xff")


def test_first_bytes_name_the_dictionary() -> None:
    block = HeaderCompressor(level=9, window_bits=15).compress({})
    assert block[:6].hex() == "78f9e3c6a7c2"
    assert HeaderCompressor().compress({})[2:6].hex() == "e3c6a7c2"


@pytest.mark.parametrize("name", FORBIDDEN)
def test_hop_by_hop_names_are_refused(name: str) -> None:
    with pytest.raises(ProtocolError, match="not allowed in SPDY"):
        decode_block(encode_block({name: "x"}))


def test_upper_case_is_refused() -> None:
    with pytest.raises(ProtocolError, match="not in lower case"):
        decode_block(encode_block({"Port": "80"}))


def test_duplicate_name_is_refused() -> None:
    one = encode_block({"port": "80"})[4:]
    with pytest.raises(ProtocolError, match="given twice"):
        decode_block(b"\x00\x00\x00\x02" + one + one)


def test_empty_name_is_refused() -> None:
    with pytest.raises(ProtocolError, match="empty name"):
        decode_block(encode_block({"": "80"}))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (b"", "inside a length"),
        (b"\x00\x00\x00", "inside a length"),
        (b"\x00\x00\x00\x01", "inside a length"),
        (b"\x00\x00\x00\x01\x00\x00\x00\x09port", "inside a header"),
        (b"\x00\x00\x00\x01\xff\xff\xff\xffport", "inside a header"),
        (b"\x00\x00\x00\x00x", "after its last header"),
        (struct.pack(">I", 1001), "more than 1000"),
        (b"\xff\xff\xff\xff", "more than 1000"),
    ],
)
def test_malformed_blocks(block: bytes, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        decode_block(block)


@given(st.binary(max_size=200))
@codec_settings
def test_garbage_raises_only_documented_errors(block: bytes) -> None:
    for read in (decode_block, HeaderDecompressor().decompress):
        with contextlib.suppress(ProtocolError):
            read(block)


def _compressed(plain: bytes) -> bytes:
    stream = zlib.compressobj(9, zdict=SPDY3_DICTIONARY)
    return stream.compress(plain) + stream.flush(zlib.Z_SYNC_FLUSH)


def test_zlib_bomb_is_refused() -> None:
    bomb = _compressed(bytes(50_000_000))
    assert len(bomb) < 60_000
    with pytest.raises(ProtocolError, match="inflates beyond"):
        HeaderDecompressor().decompress(bomb)


def test_block_of_exactly_the_limit_is_accepted() -> None:
    value = "v" * (MAX_BLOCK_BYTES - 4 - 4 - 1 - 4)
    block = encode_block({"n": value})
    assert len(block) == MAX_BLOCK_BYTES
    assert HeaderDecompressor().decompress(_compressed(block)) == {"n": value}


def test_finished_zlib_stream_is_refused() -> None:
    stream = zlib.compressobj(9, zdict=SPDY3_DICTIONARY)
    block = stream.compress(encode_block({})) + stream.flush(zlib.Z_FINISH)
    with pytest.raises(ProtocolError, match="finished by the peer"):
        HeaderDecompressor().decompress(block)


def test_wrong_dictionary_is_refused() -> None:
    stream = zlib.compressobj(9, zdict=b"something else")
    block = stream.compress(encode_block({})) + stream.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(ProtocolError, match="cannot be decompressed"):
        HeaderDecompressor().decompress(block)
