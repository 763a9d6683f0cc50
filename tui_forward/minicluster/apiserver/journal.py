"""The file that keeps every object across restarts of the API server.

A log of changes: each record a header line ``<version> <resource> <key> <length>`` followed by
that many bytes of JSON and a newline; length 0 is a deletion. A torn last record (the process
was killed while writing) is ignored. The file is rewritten when most of it is outdated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

Record = tuple[int, str, str, bytes]

# Below this size nothing is gained by rewriting.
_SMALL = 32 << 20


class Journal:
    """See the module.

    Args:
        path: The file; created when missing.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._file: BinaryIO | None = None
        self._live = 0
        self._size = 0

    @property
    def wasteful(self) -> bool:
        """Whether a rewrite would at least halve the file."""
        return self._size > _SMALL and self._size > 2 * self._live

    def replay(self) -> Iterator[Record]:
        """Every record of the file, oldest first."""
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
        """Replace the file by these records; `version` is kept even if there are none."""
        self.close()
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(_record(version, "//", "", b""))
            for record in records:
                file.write(_record(*record))
            self._size = self._live = file.tell()
        fresh.replace(self._path)
        # Unbuffered: what append() has returned from must survive the end of this process.
        self._file = self._path.open("ab", buffering=0)

    def append(self, version: int, path: str, key: str, raw: bytes) -> None:
        """Write one change."""
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
