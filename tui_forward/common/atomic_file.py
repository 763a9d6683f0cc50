"""Files that are never half-written, and never lost: replaced in one step, or put aside."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path

_ASIDE = 10


def write_atomically(target: Path, data: bytes) -> os.stat_result:
    """Put a new file in place of a file, or where there was none; a link stays a link.

    Whoever reads meanwhile, or after a loss of power, finds the old one or the new one, whole.
    A new file is closed to others; an old one leaves its permissions to the new one.

    Args:
        target: The file; its folder is made if need be, closed to others.
        data: All that is to be in it.

    Returns:
        The new file's status, as it was when it came into place.

    Raises:
        OSError: The old file is untouched.
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
    """What is different as soon as somebody has written a file."""
    return status.st_ino, status.st_mtime_ns, status.st_size


def quarantine(path: Path) -> Path:
    """Give a file that cannot be understood another name: somebody may want it back.

    Returns:
        `NAME.bad`, or `NAME.bad.1` and so on.

    Raises:
        OSError: It cannot be renamed, or there are too many of them already.
    """
    bad = path.with_name(f"{path.name}.bad")
    names = (bad, *(bad.with_name(f"{bad.name}.{number}") for number in range(1, _ASIDE)))
    aside = next((name for name in names if not os.path.lexists(name)), None)
    if aside is None:
        raise FileExistsError(errno.EEXIST, f"{bad} and {_ASIDE - 1} more are there")
    path.rename(aside)
    return aside
