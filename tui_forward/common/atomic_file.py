"""Atomic replacement and quarantine of files."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path

_MAX_QUARANTINED = 10


def write_atomically(target: Path, data: bytes) -> os.stat_result:
    """Replace or create a file in one step, and return its status; a symbolic link is kept.

    A concurrent reader, or one after a power loss or an OSError, finds the old or the new content,
    complete. A new file is private (0600), as is a missing directory (0700); an existing file keeps
    its permissions.
    """
    target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        status = temporary.stat()
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return status


def file_identity(status: os.stat_result) -> tuple[int, int, int]:
    """Return a value that changes whenever the file is written."""
    return status.st_ino, status.st_mtime_ns, status.st_size


def quarantine(path: Path) -> Path:
    """Rename an invalid file to `NAME.bad`, `NAME.bad.1`, …, so that its content is not lost."""
    bad = path.with_name(f"{path.name}.bad")
    names = (bad, *(bad.with_name(f"{bad.name}.{number}") for number in range(1, _MAX_QUARANTINED)))
    target = next((name for name in names if not os.path.lexists(name)), None)
    if target is None:
        raise FileExistsError(errno.EEXIST, f"{bad} and {_MAX_QUARANTINED - 1} more already exist")
    path.rename(target)
    return target
