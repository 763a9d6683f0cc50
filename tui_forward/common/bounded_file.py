"""Files read up to a size, so that none can fill the memory: `/dev/zero`, a log, a disk image."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

# Files with the program's own state, certificates, tokens.
MAX_BYTES: Final = 16 * 2**20


def read_bounded(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return the content of a file; OSError (EFBIG) if it is longer than `limit` bytes."""
    with path.open("rb") as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content
