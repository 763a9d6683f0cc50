"""A profile file that is written as different programs do, or replaced by something unreadable."""

from __future__ import annotations

import os
import random
import stat
import sys
from pathlib import Path
from typing import Final

from tui_forward.profiles.parser import MAX_FILE_BYTES

_NOT_REGULAR = "this is not a regular file"
# What the file is replaced with, and the problem that the engine reports.
UNREADABLE: Final = {
    "missing file": "no such file",
    "dangling link": "no such file",
    "link loop": "cannot read the file: too many levels",
    "folder": _NOT_REGULAR,
    "pipe": _NOT_REGULAR,
    "device": _NOT_REGULAR,
    "not UTF-8": "this is not UTF-8",
    "too large": "the file is too large",
    "empty file": "`forwards:` is missing",
    "only a comment": "`forwards:` is missing",
}
if sys.platform == "linux":  # elsewhere mknod(2) cannot create a socket
    UNREADABLE["socket"] = _NOT_REGULAR
if os.geteuid():  # root may read any file
    UNREADABLE["no permission"] = "cannot read the file: permission"


class EditedFile:
    """A file under edit.

    Args:
        path: Path of the file.
        rng: Source of all random choices.
    """

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.path = path
        self._rng = rng
        self._link_targets = path.parent.parent / f"targets-{path.parent.name}-{path.stem}"
        self._link_targets.mkdir()

    def write(self, data: bytes) -> None:
        """Replace the content as one of several kinds of programs does."""
        path, method = self.path, self._rng.randrange(4)
        is_writable = path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o200
        if method == 0 and is_writable:  # in place, in two steps
            with path.open("wb", buffering=0) as stream:
                stream.write(data[: len(data) // 2])
                stream.write(data[len(data) // 2 :])
        elif method == 1 and is_writable:  # for a moment there is no file
            path.unlink()
            path.write_bytes(data)
        elif method == 2 and path.is_symlink() and path.readlink().parent == self._link_targets:
            path.readlink().write_bytes(data)
        else:  # atomically, whatever is in its place
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            temporary = path.with_name(f".{path.name}.new")
            temporary.write_bytes(data)
            temporary.replace(path)

    def link(self, name: str, text: str) -> None:
        """Replace the file by a link to a file with a text."""
        target = self._link_targets / name
        target.write_text(text)
        self._remove()
        self.path.symlink_to(target)

    def make_unreadable(self, kind: str) -> str:
        """Replace the file by one of `UNREADABLE`; return `line:column` of the problem."""
        path, rng = self.path, self._rng
        match kind:
            case "not UTF-8":
                lines = rng.randrange(3)
                self.write("# ümläut\n".encode() * lines + b"abc\xff\n")
                return f"{lines + 1}:4"
            case "too large":
                self.write(b"a: b\n" * (MAX_FILE_BYTES // 4))
                return "1:1"
            case "empty file":
                self.write(b"")
                return "1:1"
            case "only a comment":
                self.write(b"# off\n")
                return "1:1"
        self._remove()
        match kind:
            case "dangling link":
                path.symlink_to(path.parent / "missing")
            case "link loop":
                path.symlink_to(path)
            case "folder":
                path.mkdir()
            case "pipe":
                os.mkfifo(path)
            case "device":
                path.symlink_to(rng.choice(["/dev/zero", "/dev/null", "/dev/full"]))
            case "socket":
                os.mknod(path, stat.S_IFSOCK | 0o600)
            case "no permission":
                path.touch(mode=0)
        return "1:1"

    def _remove(self) -> None:
        if self.path.is_dir() and not self.path.is_symlink():
            self.path.rmdir()
        else:
            self.path.unlink(missing_ok=True)
