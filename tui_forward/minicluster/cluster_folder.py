"""The folder of an embedded cluster: its private files, its sockets, and their removal."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from tui_forward.errors import ConfigError

# The path of a Unix socket is limited to 108 bytes on Linux and 104 on macOS.
SOCKET_PATH_LIMIT = 90


_PREFIX = "minicluster-"
_CONNECT_TIMEOUT_S = 1.0


def running_control_sockets() -> list[Path]:
    """Return the control sockets of this user's clusters in temporary folders that run now."""
    folders = Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")
    sockets = (folder / "control.sock" for folder in sorted(folders))
    return [path for path in sockets if _is_served(path)]


def _is_served(path: Path) -> bool:
    """Return whether a process of this user serves a socket."""
    try:
        if path.lstat().st_uid != os.geteuid():
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_CONNECT_TIMEOUT_S)
            connection.connect(str(path))
    except OSError:
        return False
    return True


class ClusterFolder:
    """The files of a cluster in an empty or temporary (None) folder. Raises `ConfigError`."""

    def __init__(self, path: Path | None) -> None:
        self._created_paths: list[Path] = []
        self._created_folders: list[Path] = []
        self.path = Path(tempfile.gettempdir()) if path is None else path.absolute()
        try:
            self._create(is_temporary=path is None)
        except OSError as error:
            self.remove()
            raise ConfigError(f"cannot use {self.path}: {error}") from error
        self.control = self.socket("control")
        self.kubeconfig = self.file("kubeconfig")

    def _create(self, *, is_temporary: bool) -> None:
        if is_temporary:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._created_folders.append(self.path)
        elif not self.path.exists():
            _make_private_folders(self.path)
            self._created_folders.append(self.path)
        elif not _is_private(self.path):
            raise ConfigError(
                f"cannot use {self.path}: other users can write to the folder",
                hint="Choose a folder that belongs to you.",
            )
        elif any(self.path.iterdir()):
            raise ConfigError(
                f"cannot use {self.path}: the folder is not empty", hint="Choose an empty folder."
            )
        for name in ("pki", "logs", "etc", "tokens"):
            self.file(name).mkdir(mode=0o700)
        self._socket_folder = self.path
        if len(str(self.path)) > SOCKET_PATH_LIMIT - 20:
            self._socket_folder = Path(tempfile.mkdtemp(prefix="mc-", dir="/tmp"))
            self._created_folders.append(self._socket_folder)

    @property
    def created(self) -> tuple[Path, ...]:
        """The files and folders that `remove` deletes."""
        return (*self._created_paths, *self._created_folders)

    def file(self, name: str) -> Path:
        """Return the path of a file or folder that `remove` deletes."""
        path = self.path / name
        self._created_paths.append(path)
        return path

    def socket(self, name: str) -> Path:
        """Return the path of a socket that `remove` deletes."""
        path = self.socket_path(name)
        self._created_paths.append(path)
        return path

    def socket_path(self, name: str) -> Path:
        """Return the path of a socket."""
        return self._socket_folder / f"{name}.sock"

    def node_folder(self, node: str) -> Path:
        """Create a node's state folder, next to the sockets: the runtime creates some in it."""
        folder = self._socket_folder / node
        self._created_paths.append(folder)
        for name in ("kubelet", "runtime"):
            (folder / name).mkdir(parents=True, mode=0o700)
        return folder

    def remove(self) -> None:
        """Delete all files and folders of the cluster. Idempotent."""
        for path in self.created:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _make_private_folders(folder: Path) -> None:
    """Create a folder and the missing ones above it, each with mode 0700."""
    if not folder.parent.exists():
        _make_private_folders(folder.parent)
    folder.mkdir(mode=0o700)


def _is_private(folder: Path) -> bool:
    status = folder.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def write_private_file(path: Path, content: bytes) -> None:
    """Write a file atomically, readable by this user only."""
    new_path = path.with_name(path.name + ".new")
    new_path.touch(mode=0o600)
    new_path.write_bytes(content)
    new_path.replace(path)


def write_private_json(path: Path, value: Any) -> None:
    """Write a value as formatted JSON, readable by this user only."""
    write_private_file(path, msgspec.json.format(msgspec.json.encode(value)) + b"\n")
