"""Where the engine process and its front ends meet, and that nobody else can be there.

The socket lies in a folder that belongs to this user and is closed to others (0700), is
itself closed to others (0600), and both ends check whom they talk to (`peer_uid`). A lock
file beside it makes sure that at most one engine process serves it; the lock is the
kernel's and ends with the process, so a crash leaves nothing that needs cleaning.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import stat
import struct
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tui_forward.errors import ConfigError

_FOLDER = "tui-forward"
# sun_path: 104 bytes on macOS and the BSDs, 108 on Linux, the closing NUL included.
_LONGEST_PATH = 103


def kubeconfig_files(kubeconfig: str | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The absolute paths that `--kubeconfig`, or else `KUBECONFIG`, names; none for the default."""
    if kubeconfig:
        named = [kubeconfig]
    else:
        named = [item for item in environ.get("KUBECONFIG", "").split(os.pathsep) if item]
    files = tuple(dict.fromkeys(Path(name).expanduser().absolute() for name in named))
    return () if files == (Path.home() / ".kube" / "config",) else files


def default_socket_path(kubeconfig: str | None, environ: Mapping[str, str]) -> Path:
    """The socket of the engine process for a kubeconfig: one engine for each.

    Raises:
        ConfigError: There is no safe folder for it.
    """
    files = kubeconfig_files(kubeconfig, environ)
    name = "engine.sock"
    if files:
        digest = hashlib.sha256(os.pathsep.join(map(str, files)).encode()).hexdigest()
        name = f"engine-{digest[:10]}.sock"
    return _runtime_folder(environ) / _FOLDER / name


def _runtime_folder(environ: Mapping[str, str]) -> Path:
    named = environ.get("XDG_RUNTIME_DIR", "")
    if named and Path(named).is_dir():
        return Path(named)
    # Shared by all users on Linux, hence the user id in the name, and the checks below.
    return Path(tempfile.gettempdir()) / f"{_FOLDER}-{os.getuid()}"


def ensure_private_dir(path: Path) -> None:
    """Make the socket's folder, or make sure that it is ours and closed to others.

    Raises:
        ConfigError: It belongs to somebody else, is open to others, or the path is too long.
    """
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ConfigError(
            f"the path of the engine's socket is too long: {path}",
            hint="set XDG_RUNTIME_DIR to a folder with a shorter name",
        )
    folder = path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise ConfigError(
            f"cannot make the folder {folder}: {(error.strerror or str(error)).lower()}",
            hint="set XDG_RUNTIME_DIR to a folder you may write to",
        ) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise ConfigError(
            f"{folder} does not belong to you",
            hint="remove it, or set XDG_RUNTIME_DIR to a folder of your own",
        )
    if status.st_mode & 0o077:
        raise ConfigError(f"{folder} is open to other users", hint=f"run: chmod 700 {folder}")


class SocketLock:
    """The right to serve a socket, held until `release` or the end of the process.

    Args:
        socket_path: The socket it is about; the lock lies beside it.
    """

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path.with_name(socket_path.name + ".lock")
        self._descriptor: int | None = None

    @property
    def holder(self) -> int | None:
        """The process that took it last, as far as the file tells."""
        try:
            return int(self._path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def acquire(self) -> bool:
        """Try to take it, without waiting; whether it is ours now."""
        if sys.platform == "win32":
            raise ConfigError("there is no engine process on Windows")
        import fcntl  # not on Windows

        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        # Never unlinked: whoever waits for this very file would then hold a lock on nothing.
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor
        return True

    def adopt(self, descriptor: int) -> None:
        """Hold what another process took and handed over: the lock is both's until it lets go."""
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor by which it is held. Only while it is."""
        assert self._descriptor is not None
        return self._descriptor

    def release(self) -> None:
        """Give it up. Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def bind_socket(path: Path) -> socket.socket:
    """A listening socket at `path`, in place of whatever was left there. Hold the lock."""
    unlink_socket(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Closed to others from the first moment, not only after a chmod.
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


def unlink_socket(path: Path) -> None:
    """Take a socket out of sight. Idempotent."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def peer_uid(sock: socket.socket) -> int | None:
    """The user at the other end of a unix socket; None where the system does not tell."""
    if sys.platform == "linux":
        size = struct.calcsize("3i")  # struct ucred: pid, uid, gid
        _, uid, _ = struct.unpack(
            "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
        return int(uid)
    if sys.platform == "darwin" or "bsd" in sys.platform:
        # struct xucred: version, uid, ... (what getpeereid(3) reads); SOL_LOCAL, LOCAL_PEERCRED.
        with contextlib.suppress(OSError):
            credentials = sock.getsockopt(0, 1, 76)
            if len(credentials) >= 8:
                return int(struct.unpack_from("II", credentials)[1])
    return None


def is_same_user(sock: socket.socket) -> bool:
    """Whether the process at the other end belongs to this user (or the system does not tell).

    Root is let through: it could read the memory of this process anyway.
    """
    uid = peer_uid(sock)
    return uid is None or uid in (os.getuid(), 0)
