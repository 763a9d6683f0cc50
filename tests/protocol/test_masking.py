"""The XOR, against the definition."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.recording_receivers import codec_settings
from tui_forward.protocol.masking import Masker, apply_mask, load_masker, rotate_key


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


MASKERS = pytest.mark.parametrize("masker", [apply_mask, load_masker()], ids=["python", "loaded"])
COMPILED = "aiohttp._websocket.mask"


@pytest.fixture(autouse=True)
def forget_masker() -> Iterator[None]:
    load_masker.cache_clear()
    yield
    load_masker.cache_clear()


@MASKERS
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 255, 256, 257, 32_768, 65_537])
def test_every_masker_matches_the_standard(masker: Masker, size: int) -> None:
    key, data = b"\x00\xff\x10\x83", bytes(index * 131 % 256 for index in range(size))
    masked = bytearray(data)
    masker(key, masked)
    assert masked == by_definition(key, data)


def test_the_compiled_function_is_used_where_it_is_installed() -> None:
    pytest.importorskip(COMPILED, reason="aiohttp without its compiled modules")
    assert load_masker() is not apply_mask


def masker_module(masker: Masker) -> ModuleType:
    module = ModuleType(COMPILED)
    module._websocket_mask_cython = masker  # type: ignore[attr-defined]
    return module


def shorter(key: bytes, data: bytearray) -> None:
    apply_mask(key, data)
    del data[8:]


def raising(key: bytes, data: bytearray) -> None:
    raise TypeError("takes no bytearray")


@pytest.mark.parametrize(
    "module",
    [
        None,  # not installed
        ModuleType(COMPILED),  # the function has another name
        masker_module(lambda key, data: None),
        masker_module(shorter),
        masker_module(raising),
    ],
    ids=["absent", "renamed", "does nothing", "shortens", "raises"],
)
def test_a_compiled_function_that_cannot_be_used_is_not(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType | None
) -> None:
    monkeypatch.setitem(sys.modules, COMPILED, module)
    assert load_masker() is apply_mask
