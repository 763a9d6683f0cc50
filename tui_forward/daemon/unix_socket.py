"""The unix socket of the engine process, private to its user, and the lock to serve it.

The socket is in a folder that belongs to this user with mode 0700 and has mode 0600 itself, and
both ends check the user of the other (`peer_uid`). A lock file beside it ensures that at most one
engine process serves the socket; the kernel releases the lock with the process, so that a crash
leaves nothing to clean up.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shlex
import socket
import stat
import struct
import sys
from collections.abc import Mapping
from pathlib import Path

from tui_forward.common.bounded_file import is_folder
from tui_forward.common.private_files import ensure_private_dirs, open_private_file
from tui_forward.common.user_folders import absolute_path, home_dir, kubeconfig_list
from tui_forward.errors import ConfigError

_FOLDER = "tui-forward"
# sun_path has 104 bytes on macOS and 108 on Linux, including the final NUL.
_MAX_PATH = 103


def kubeconfig_files(kubeconfig: str | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the absolute paths of `--kubeconfig` or `KUBECONFIG`; none for the default."""
    if kubeconfig:
        files: tuple[Path, ...] = (absolute_path(kubeconfig),)
    else:
        listed = kubeconfig_list(environ.get("KUBECONFIG", ""))
        files = tuple(dict.fromkeys(absolute_path(path, expand=False) for path in listed))
    return () if files == (home_dir() / ".kube" / "config",) else files


def default_socket_path(kubeconfig: str | None, environ: Mapping[str, str]) -> Path:
    """Return the socket of the engine process of a kubeconfig; each has its own engine."""
    files = kubeconfig_files(kubeconfig, environ)
    name = "engine.sock"
    if files:
        digest = hashlib.sha256(os.pathsep.join(map(str, files)).encode()).hexdigest()
        name = f"engine-{digest[:10]}.sock"
    return _runtime_folder(environ) / _FOLDER / name


def _runtime_folder(environ: Mapping[str, str]) -> Path:
    runtime_dir = environ.get("XDG_RUNTIME_DIR", "")
    # After `su` or `sudo` it may still be that of another user.
    if runtime_dir and Path(runtime_dir).is_absolute() and not _why_replaceable(Path(runtime_dir)):
        return Path(runtime_dir)
    # On Linux all users share it: hence the user id in the name, and the checks below.
    return _temporary_folder(environ) / f"{_FOLDER}-{os.getuid()}"


def _temporary_folder(environ: Mapping[str, str]) -> Path:
    """Return TMPDIR if it can be used, else /tmp.

    `tempfile.gettempdir` would return the current folder if /tmp is full: each folder would have an
    engine of its own.
    """
    folder = environ.get("TMPDIR", "")
    if folder.startswith("/") and is_folder(Path(folder)) and os.access(folder, os.W_OK | os.X_OK):
        return Path(folder)
    return Path("/tmp")


def ensure_private_dir(path: Path) -> None:
    """Create the socket's folder, or check that it is private to this user.

    Raise ConfigError if it is not, if another user can replace it, or if the path is too long.
    """
    if len(os.fsencode(path)) > _MAX_PATH:
        raise ConfigError(
            f"the path of the engine's socket is too long: {path}",
            hint="set XDG_RUNTIME_DIR to a folder with a shorter name",
        )
    folder = path.parent
    # Our folders: that of the socket, and in a folder of all users the one around it.
    folders = [folder]
    if folder.parent.name == f"{_FOLDER}-{os.getuid()}":
        folders.insert(0, folder.parent)
    try:
        ensure_private_dirs(folders[0].parent)
        _check_not_replaceable(folders[0].parent)
        for one in folders:
            ensure_private_dirs(one)
            _check_private(one)
    except OSError as error:
        raise ConfigError(
            f"cannot create the folder {folder}: {(error.strerror or str(error)).lower()}",
            hint="set XDG_RUNTIME_DIR to a writable folder",
        ) from error


def _check_private(folder: Path) -> None:
    """Close a folder to others; ConfigError if it is another user's or others may write in it."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise ConfigError(
            f"{folder} does not belong to you",
            hint="remove it, or set XDG_RUNTIME_DIR to a folder that belongs to you",
        )
    if status.st_mode & 0o022:
        raise ConfigError(
            f"{folder} is open to other users",
            hint=f"see what is in it, then run: chmod 700 {shlex.quote(str(folder))}",
        )
    if status.st_mode & 0o077:
        folder.chmod(0o700)


def _check_not_replaceable(folder: Path) -> None:
    """Raise ConfigError if another user can rename or replace what is in a folder."""
    problem = _why_replaceable(folder)
    if problem:
        raise ConfigError(
            f"{folder} {problem}, who can replace the folder of the engine's socket in it",
            hint="set XDG_RUNTIME_DIR to a folder that belongs to you",
        )


def _why_replaceable(folder: Path) -> str:
    """Return why another user can replace what is in a folder; empty if none can."""
    try:
        status = folder.stat()
    except OSError:
        return "cannot be read"
    if status.st_uid not in (0, os.getuid()):
        return "belongs to another user"
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        return "can be written by another user"
    return ""


class SocketLock:
    """Exclusive right to serve a socket, held until `release` or the end of the process."""

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path.with_name(socket_path.name + ".lock")
        self._descriptor: int | None = None

    @property
    def holder(self) -> int | None:
        """Process id of the last holder, or None if the file does not contain it."""
        try:
            return int(self._path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def acquire(self) -> bool:
        """Try to acquire the lock without waiting; return whether this process holds it now.

        Raise ConfigError if the file cannot be opened, or is not a file of this user alone.
        """
        try:
            descriptor = open_private_file(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            cause = (error.strerror or str(error)).lower()
            raise ConfigError(
                f"cannot lock {self._path}: {cause}", hint="remove this file, and try again"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        previous, self._descriptor = self._descriptor, descriptor
        # Never unlinked by an engine, but something may have removed it between the two calls.
        if not self.is_in_place:
            self._descriptor = previous
            os.close(descriptor)
            return False
        if previous is not None:
            os.close(previous)
        self.record_holder()
        return True

    @property
    def is_in_place(self) -> bool:
        """Whether the path leads to the file that this process has locked."""
        return self._descriptor is not None and (
            path_identity(self._path) == _identity(os.fstat(self._descriptor))
        )

    def is_held(self) -> bool:
        """Return whether any process holds the lock, without creating its file."""
        try:
            descriptor = open_private_file(self._path, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def adopt(self, descriptor: int) -> None:
        """Hold a lock that another process handed over; both hold it until that one releases."""
        self._descriptor = descriptor

    def record_holder(self) -> None:
        """Write the id of this process to the file, if there is space. Only while it is held."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.fileno(), 0)
            os.pwrite(self.fileno(), f"{os.getpid()}\n".encode(), 0)

    def fileno(self) -> int:
        """Return the descriptor of the lock file. Only while the lock is held."""
        assert self._descriptor is not None
        return self._descriptor

    def release(self) -> None:
        """Release the lock. Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def bind_socket(path: Path) -> socket.socket:
    """Return a listening socket at `path`, replacing a stale one. Call with the lock held.

    Raise ConfigError if it cannot be created: the file system is full or read-only.
    """
    try:
        return _bind(path)
    except OSError as error:
        raise ConfigError(
            f"cannot create the engine's socket {path}: {(error.strerror or str(error)).lower()}",
            hint="set XDG_RUNTIME_DIR to a folder with space that belongs to you",
        ) from error


def _bind(path: Path) -> socket.socket:
    unlink_socket(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A chmod after `bind` would leave the socket open to others for a moment.
        umask = os.umask(0o177)
        try:
            listening.bind(os.fspath(path))
        finally:
            os.umask(umask)
        listening.listen(64)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def path_identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of what is at a path; None if there is nothing."""
    try:
        return _identity(path.lstat())
    except OSError:
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def is_served(path: Path) -> bool:
    """Return whether a process accepts connections at a socket. Blocks for a second at most."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
    return True


def unlink_socket(path: Path) -> None:
    """Remove a socket's path. Idempotent."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def peer_uid(sock: socket.socket) -> int | None:
    """Return the user id of a unix socket's peer; None if the system does not report it."""
    if sys.platform == "linux":
        size = struct.calcsize("3i")  # struct ucred: pid, uid, gid
        _, uid, _ = struct.unpack(
            "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
        return int(uid)
    if sys.platform == "darwin":
        # struct xucred: version, uid, ... (what getpeereid(3) reads); SOL_LOCAL, LOCAL_PEERCRED.
        with contextlib.suppress(OSError):
            credentials = sock.getsockopt(0, 1, 76)
            if len(credentials) >= 8:
                return int(struct.unpack_from("II", credentials)[1])
    return None


def is_same_user(sock: socket.socket) -> bool:
    """Return whether the peer belongs to this user, or to root, or the system does not report it.

    Root is accepted because it could read the memory of this process anyway.
    """
    uid = peer_uid(sock)
    return uid is None or uid in (os.getuid(), 0)
