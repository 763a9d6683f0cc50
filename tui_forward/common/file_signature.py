"""What tells whether files have changed, at the price of a `stat` each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

Signature = tuple[tuple[str, int, int, int], ...]


def file_signatures(paths: Sequence[Path] | Sequence[str]) -> Signature:
    """Return a value that changes when a file is replaced, rewritten, created or removed."""
    signatures = []
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116 - called on every request; Path costs twice as much
        except OSError:
            signatures.append((str(path), 0, 0, 0))
        else:
            signatures.append((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(signatures)
