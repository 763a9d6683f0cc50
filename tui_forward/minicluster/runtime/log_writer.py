"""Writer of container logs in the CRI's format: `<time> <stream> <F|P> <text>` per line.

The shim writes them, the kubelet reads them. A log is bounded: at `MAX_BYTES` the file is renamed
to `<name>.old`, replacing an older one, and a new one is started.
"""

from __future__ import annotations

import contextlib
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 4 * 1024 * 1024
MAX_LINE = 16 * 1024


def _timestamp(at_ns: int) -> bytes:
    """Return RFC 3339 with nanoseconds, as Go writes it."""
    seconds, rest = divmod(at_ns, 1_000_000_000)
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{rest:09d}Z".encode()


class LogWriter:
    """Log of one container."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._file: BinaryIO | None = None
        self._size = 0
        self._partial: dict[str, bytes] = {}
        self._open()

    def _open(self) -> None:
        if self._path is None:
            return
        # A log that cannot be opened must not end the container.
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab", buffering=0)
            self._size = os.fstat(self._file.fileno()).st_size

    def write(self, stream: str, data: bytes) -> None:
        """Write output in any chunks; `stream` is "stdout" or "stderr"."""
        *lines, rest = (self._partial.get(stream, b"") + data).split(b"\n")
        stamp = _timestamp(time.time_ns()) + b" " + stream.encode()
        out = [stamp + b" F " + line + b"\n" for line in lines]
        while len(rest) > MAX_LINE:
            out.append(stamp + b" P " + rest[:MAX_LINE] + b"\n")
            rest = rest[MAX_LINE:]
        self._partial[stream] = rest
        self._append(b"".join(out))

    def close(self) -> None:
        """Write unfinished lines and close the file."""
        for stream, rest in self._partial.items():
            if rest:
                stamp = _timestamp(time.time_ns()) + b" " + stream.encode()
                self._append(stamp + b" F " + rest + b"\n")
        self._partial.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, data: bytes) -> None:
        if self._file is None or not data:
            return
        # On a full disk, lines are lost and the container continues.
        with contextlib.suppress(OSError):
            self._file.write(data)
            self._size += len(data)
            if self._size > MAX_BYTES and self._path is not None:
                self._file.close()
                self._file = None
                self._path.replace(self._path.with_name(self._path.name + ".old"))
                self._open()
