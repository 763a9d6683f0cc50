"""The file that stores every object across restarts of the API server.

It is a log of changes. Each record is a header line ``<version> <resource> <key> <length>``,
that many bytes of JSON and a newline; length 0 is a deletion. An incomplete last record (the
process was killed while writing) is ignored. The file is rewritten when most of it is outdated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

Record = tuple[int, str, str, bytes]

# Smaller files are never rewritten.
_MIN_REWRITE_SIZE = 32 << 20


class Journal:
    """Log of all changes of the store."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._file: BinaryIO | None = None
        self._live_size = 0
        self._size = 0

    @property
    def needs_rewrite(self) -> bool:
        """Whether a rewrite would at least halve the file."""
        return self._size > _MIN_REWRITE_SIZE and self._size > 2 * self._live_size

    def replay(self) -> Iterator[Record]:
        """Yield the records of the file, oldest first."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            while header := file.readline():
                parts = header.decode(errors="replace").split(" ")
                if len(parts) != 4 or not header.endswith(b"\n"):
                    return
                version, path, key, length = parts
                raw = file.read(int(length))
                if len(raw) != int(length) or file.read(1) != b"\n":
                    return
                yield int(version), path, key, raw

    def rewrite(self, records: Iterable[Record], version: int) -> None:
        """Replace the file by these records; it stores `version` even without records."""
        self.close()
        new_path = self._path.with_suffix(".new")
        with new_path.open("wb") as file:
            file.write(_record(version, "//", "", b""))
            for record in records:
                file.write(_record(*record))
            self._size = self._live_size = file.tell()
        new_path.replace(self._path)
        # Unbuffered: an appended record must survive a crash of this process.
        self._file = self._path.open("ab", buffering=0)

    def append(self, version: int, path: str, key: str, raw: bytes) -> None:
        """Append one change."""
        if self._file is None:
            self._file = self._path.open("ab", buffering=0)
        record = _record(version, path, key, raw)
        self._file.write(record)
        self._size += len(record)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


def _record(version: int, path: str, key: str, raw: bytes) -> bytes:
    return b"%d %b %b %d\n%b\n" % (version, path.encode(), key.encode(), len(raw), raw)
