"""Decoding of response bodies in bounded pieces. No I/O."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

# Largest piece, however well the body was compressed.
PIECE_BYTES: Final = 256 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS


class ContentDecoder:
    """Incremental decoder of a body: gzip, or as it is."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = zlib.decompressobj(_GZIP) if gzip else None

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the content of a chunk in pieces; zlib.error if it is not gzip."""
        if self._gzip is None:
            yield chunk
            return
        while True:
            if self._gzip.eof:
                chunk = self._gzip.unused_data or chunk
                if not chunk:
                    return
                self._gzip = zlib.decompressobj(_GZIP)  # the next member (RFC 1952, section 2.2)
            piece = self._gzip.decompress(chunk, PIECE_BYTES)
            chunk = self._gzip.unconsumed_tail
            if piece:
                yield piece
            if not self._gzip.eof and not chunk and len(piece) < PIECE_BYTES:
                return

    def finish(self) -> None:
        """Check at the end of the body that it is complete; zlib.error if not."""
        if self._gzip is not None and not self._gzip.eof:
            raise zlib.error("incomplete gzip")
