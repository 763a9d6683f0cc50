"""Folders and files that another user can neither read nor redirect.

Another user may have created a name first: as a symbolic link to a file of this user, as a hard
link, or as a FIFO that blocks its readers. Such a name is refused before anything is written.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def ensure_private_dirs(folder: Path) -> None:
    """Create a folder and the missing ones above it, each with mode 0700; existing ones stay.

    Raise OSError if one cannot be created, or a file is in the way.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileNotFoundError:
        ensure_private_dirs(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:  # it exists, or is in a read-only folder; also the root folder of macOS
        if not folder.is_dir():
            raise


def open_private_file(path: Path, flags: int) -> int:
    """Open a file of this user, created with mode 0600 if `flags` have O_CREAT; return its number.

    Raise OSError, and change nothing, for a symbolic link, a file with several names, another
    user's file, and for what is no regular file. The descriptor is not inherited.
    """
    truncate = flags & os.O_TRUNC
    # O_NONBLOCK: opening a FIFO may block forever. It has no effect on a regular file.
    flags = flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link", str(path)) from error
        raise
    try:
        status = os.fstat(descriptor)
        check_own_file(status, path)
        if status.st_nlink > 1:
            raise PermissionError(errno.EPERM, "it has another name", str(path))
        if truncate:
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_own_file(status: os.stat_result, path: Path) -> None:
    """Raise PermissionError unless this is the status of a regular file of this user."""
    if not stat.S_ISREG(status.st_mode):
        raise PermissionError(errno.EPERM, "it is not a regular file", str(path))
    if status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user", str(path))
