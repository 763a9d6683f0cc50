"""The XOR of RFC 6455, section 5.3, in pure Python.

Measured on CPython 3.11 with 32 KiB: XOR of two big integers 0.5 GiB/s (and less for larger sizes),
four strided lanes through `bytearray.translate` 0.9 GiB/s. Below about 256 bytes integers are
faster. Compiled functions with the signature of `apply_mask` (aiohttp has one) reach 50 GiB/s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

Masker: TypeAlias = Callable[[bytes, bytearray], object]
"""`masker(key of four bytes, data)` XORs the data in place."""

_STRIDED_MIN_BYTES: Final = 256
_TABLES: Final = tuple(bytes(byte ^ key for byte in range(256)) for key in range(256))


def apply_mask(key: bytes, data: bytearray) -> None:
    """XOR `data` with `key`, repeated, in place. Masking and unmasking are the same."""
    size = len(data)
    if size >= _STRIDED_MIN_BYTES:
        data[0::4] = data[0::4].translate(_TABLES[key[0]])
        data[1::4] = data[1::4].translate(_TABLES[key[1]])
        data[2::4] = data[2::4].translate(_TABLES[key[2]])
        data[3::4] = data[3::4].translate(_TABLES[key[3]])
    elif size:
        mask = (key * (size // 4 + 1))[:size]
        number = int.from_bytes(data, "little") ^ int.from_bytes(mask, "little")
        data[:] = number.to_bytes(size, "little")


def rotate_key(key: bytes, offset: int) -> bytes:
    """Return the key for a piece that begins `offset` bytes into the payload."""
    offset %= 4
    return key[offset:] + key[:offset]
