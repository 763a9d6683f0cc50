"""The XOR, against the definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.recording_receivers import codec_settings
from tui_forward.protocol.masking import apply_mask, rotate_key


def by_definition(key: bytes, data: bytes) -> bytes:
    return bytes(byte ^ key[index % 4] for index, byte in enumerate(data))


@given(st.binary(min_size=4, max_size=4), st.integers(0, 1000))
@codec_settings
def test_matches_the_standard(key: bytes, size: int) -> None:
    data = bytes(index * 31 % 256 for index in range(size))
    masked = bytearray(data)
    apply_mask(key, masked)
    assert masked == by_definition(key, data)
    apply_mask(key, masked)
    assert masked == data


@given(st.binary(min_size=4, max_size=4), st.binary(max_size=900), st.integers(0, 900))
@codec_settings
def test_pieces_with_a_rotated_key(key: bytes, data: bytes, cut: int) -> None:
    first, second = bytearray(data[:cut]), bytearray(data[cut:])
    apply_mask(key, first)
    apply_mask(rotate_key(key, len(first)), second)
    assert bytes(first + second) == by_definition(key, data)
