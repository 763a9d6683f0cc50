"""Files read up to a size, so that none can fill the memory: `/dev/zero`, a log, a disk image."""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from pathlib import Path
from typing import Final

# Files with the program's own state, certificates, tokens.
MAX_BYTES: Final = 16 * 2**20
_PIECE_BYTES: Final = 2**20


def may_exist(path: Path) -> bool:
    """Return False if there is nothing at a path, True if there is or that is unknown.

    `Path.exists` raises PermissionError in a folder that this user may not enter.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return True
    return True


def is_folder(path: Path) -> bool:
    """Return whether there is a folder at a path; False if that is unknown."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


# Time for a pipe: `<(command)` of a shell.
_PIPE_TIMEOUT_S: Final = 5.0


def read_bounded(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return the content of a file.

    OSError: EFBIG if it is longer than `limit` bytes, ETIMEDOUT if it is a pipe or terminal that
    does not come to its end within seconds.
    """
    # Not blocking: the open of a pipe waits for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        deadline = None if stat.S_ISREG(mode) else time.monotonic() + _PIPE_TIMEOUT_S
        poll = select.poll()  # unlike select(), for any number of open files
        poll.register(descriptor, select.POLLIN)
        content = bytearray()
        while len(content) <= limit:
            if deadline is not None:
                left = max(0.0, deadline - time.monotonic())
                if not poll.poll(left * 1000):
                    raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), str(path))
            piece = stream.read(min(limit + 1 - len(content), _PIECE_BYTES))
            if not piece:
                return bytes(content)
            content += piece
    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
