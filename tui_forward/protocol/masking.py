"""The XOR of RFC 6455, section 5.3, as fast as pure Python does it.

Measured on CPython 3.11 with 32 KiB: XOR of two big integers 0.5 GiB/s (and falling with
the size, as integers are made digit by digit), four strided lanes through
`bytearray.translate` 0.9 GiB/s. Below some 256 bytes the integers win. Compiled maskers
with the signature of `apply_mask` (aiohttp has one) reach 50 GiB/s; a connection takes one
as an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

Masker: TypeAlias = Callable[[bytes, bytearray], object]
"""`masker(key of four bytes, data)` XORs the data in place."""

_LANES_FROM: Final = 256
_TABLES: Final = tuple(bytes(byte ^ key for byte in range(256)) for key in range(256))


def apply_mask(key: bytes, data: bytearray) -> None:
    """XOR `data` with `key`, repeated, in place. Masking and unmasking are the same."""
    size = len(data)
    if size >= _LANES_FROM:
        data[0::4] = data[0::4].translate(_TABLES[key[0]])
        data[1::4] = data[1::4].translate(_TABLES[key[1]])
        data[2::4] = data[2::4].translate(_TABLES[key[2]])
        data[3::4] = data[3::4].translate(_TABLES[key[3]])
    elif size:
        mask = (key * (size // 4 + 1))[:size]
        number = int.from_bytes(data, "little") ^ int.from_bytes(mask, "little")
        data[:] = number.to_bytes(size, "little")


def rotate_key(key: bytes, offset: int) -> bytes:
    """The key as it applies to a piece that begins `offset` bytes into the payload."""
    offset %= 4
    return key[offset:] + key[:offset]
