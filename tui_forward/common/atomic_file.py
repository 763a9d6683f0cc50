"""Atomic replacement and quarantine of files."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path

from tui_forward.common.private_files import check_own_file, ensure_private_dirs

_MAX_QUARANTINED = 10
_MAX_LINKS = 40  # as Linux


def write_atomically(target: Path, data: bytes, *, follow_links: bool = True) -> os.stat_result:
    """Replace or create a file in one step, and return its status; a link of this user is kept.

    A concurrent reader, or one after a power loss or an OSError, finds the old or the new content,
    complete. A new file is private (0600), as are missing directories (0700); an existing file
    keeps its permissions. Raise OSError for a link or a file of another user, who could choose what
    is overwritten or read what is written, and for what is no regular file. Without `follow_links`
    any link is an error: those of a cloned repository belong to this user, too.
    """
    if follow_links:
        target = _follow_own_links(target)
    elif target.is_symlink():
        raise OSError(errno.ELOOP, "it is a symbolic link", str(target))
    else:
        target = target.parent.resolve() / target.name
    ensure_private_dirs(target.parent)
    exists = os.path.lexists(target)
    if exists:
        check_own_file(target.lstat(), target)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if exists:
            shutil.copymode(target, temporary)
        status = temporary.stat()
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)
    return status


def _sync_folder(folder: Path) -> None:
    """Make a replaced name durable, where the file system supports it; the file is valid anyway."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _follow_own_links(path: Path) -> Path:
    """Return where links of this user or of root lead; OSError for a link of another user."""
    for _ in range(_MAX_LINKS):
        if not path.is_symlink():
            return path.parent.resolve() / path.name
        if path.lstat().st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, "it is a link of another user", str(path))
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


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
