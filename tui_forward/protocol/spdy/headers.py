"""Header blocks of SPDY/3: layout, rules, and compression.

There is one zlib stream per direction for the life of a connection. So blocks must be
compressed in exactly the order in which they are sent, and every received block must be
decompressed, also that of a refused stream (SPDY/3 draft, section 2.6.10.1).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Final, TypeAlias

from tui_forward.errors import ProtocolError
from tui_forward.protocol.buffers import Buffer
from tui_forward.protocol.spdy.dictionary import SPDY3_DICTIONARY

Headers: TypeAlias = dict[str, str]
"""Names in lower case. Several values of one name are joined by NUL, as on the wire."""

MAX_BLOCK_BYTES: Final = 64 * 1024
"""Limit of one inflated block; real ones have 60 bytes. spdystream: 1 MiB per field."""

MAX_HEADERS: Final = 1000
"""The limit of spdystream 0.5.1."""

# SPDY forbids HTTP/1 hop-by-hop names; spdystream ends the connection on them.
_FORBIDDEN: Final = frozenset(
    {"connection", "host", "keep-alive", "proxy-connection", "transfer-encoding"}
)

_U32: Final = struct.Struct(">I")


def encode_block(headers: Mapping[str, str]) -> bytes:
    """Encode an uncompressed header block. Names must be in lower case."""
    parts = [_U32.pack(len(headers))]
    for name, value in headers.items():
        for text in (name, value):
            raw = text.encode("latin-1")
            parts += (_U32.pack(len(raw)), raw)
    return b"".join(parts)


def decode_block(block: Buffer) -> Headers:
    """Decode an uncompressed header block; ProtocolError for a malformed or forbidden one."""
    block = bytes(block)
    try:
        (count,) = _U32.unpack_from(block, 0)
        if count > MAX_HEADERS:
            raise ProtocolError(f"header block with {count} headers, more than {MAX_HEADERS}")
        at = 4
        texts: list[str] = []
        for _ in range(2 * count):
            (length,) = _U32.unpack_from(block, at)
            at += 4
            if length > len(block) - at:
                raise ProtocolError("header block ends inside a header")
            texts.append(block[at : at + length].decode("latin-1"))
            at += length
    except struct.error:
        raise ProtocolError("header block ends inside a length") from None
    if at != len(block):
        raise ProtocolError(f"header block with {len(block) - at} bytes after its last header")
    headers: Headers = {}
    for name, value in zip(texts[::2], texts[1::2], strict=True):
        if not name:
            raise ProtocolError("header with an empty name")
        if name != name.lower():
            raise ProtocolError(f"header name not in lower case: {name[:64]!r}")
        if name in _FORBIDDEN:
            raise ProtocolError(f"header not allowed in SPDY: {name!r}")
        if name in headers:
            raise ProtocolError(f"header given twice: {name[:64]!r}")
        headers[name] = value
    return headers


class HeaderCompressor:
    """Zlib stream of one direction, sending end.

    The blocks are tiny and repeat: level 6 gives Go's sizes at a fraction of the time of 9. The
    dictionary and about 60 blocks fit into a window of 2**12 bytes; the default of 15 bits costs
    256 KiB per tunnel.
    """

    __slots__ = ("_zlib",)

    def __init__(self, *, level: int = 6, window_bits: int = 12) -> None:
        self._zlib = zlib.compressobj(
            level,
            zlib.DEFLATED,
            window_bits,
            8 if window_bits == zlib.MAX_WBITS else 5,
            zlib.Z_DEFAULT_STRATEGY,
            SPDY3_DICTIONARY,
        )

    def compress(self, headers: Mapping[str, str]) -> bytes:
        """Compress the next block. Its frame must be the next one sent with a block."""
        # Go's inflater returns data only at the empty stored block of a sync flush.
        return self._zlib.compress(encode_block(headers)) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


class HeaderDecompressor:
    """Zlib stream of one direction, receiving end."""

    __slots__ = ("_zlib",)

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS, zdict=SPDY3_DICTIONARY)

    def decompress(self, block: Buffer) -> Headers:
        """Decode the next block. After a ProtocolError the connection cannot continue."""
        try:
            plain = self._zlib.decompress(block, MAX_BLOCK_BYTES + 1)
        except zlib.error as error:
            raise ProtocolError(f"header block cannot be decompressed: {error}") from error
        if len(plain) > MAX_BLOCK_BYTES:
            raise ProtocolError(f"header block inflates beyond {MAX_BLOCK_BYTES} bytes")
        if self._zlib.eof:
            raise ProtocolError("header compression stream was finished by the peer")
        return decode_block(plain)
