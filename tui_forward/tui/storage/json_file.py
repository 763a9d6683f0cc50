"""A small JSON file that dashboards share.

It is written atomically as a whole. Changes of another dashboard are read first. An invalid file
is moved aside, never overwritten, so that its content can be recovered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from tui_forward.common import atomic_file
from tui_forward.common.bounded_file import read_bounded
from tui_forward.common.printable import escape_json
from tui_forward.common.user_folders import short_path

T = TypeVar("T")


class JsonFile(Generic[T]):
    """Typed content of a JSON file; without a path, it is kept in memory only."""

    def __init__(self, path: Path | None, empty: T) -> None:
        self._path = path
        self._type = type(empty)
        self._identity: tuple[int, int, int] | None = None  # of the file last read or written
        self.content = empty  # to change it: `refresh`, modify, `save`
        self.problem = ""  # why it could not be read or written; empty if it could
        self.refresh()

    def refresh(self) -> None:
        """Read the file if it has changed since it was last read or written."""
        if self._path is None:
            return
        try:
            identity = atomic_file.file_identity(self._path.stat())
            if identity == self._identity:
                return
            self.content = msgspec.json.decode(read_bounded(self._path), type=self._type)
            self._identity = identity
        except FileNotFoundError:
            return  # `save` creates it
        except OSError as error:
            self.problem = f"cannot read {short_path(self._path)}: {error.strerror}"
            self._path = None  # never overwrite it
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._quarantine(self._path)

    def save(self) -> None:
        """Write the content."""
        if self._path is None:
            return
        data = escape_json(msgspec.json.format(msgspec.json.encode(self.content), indent=1))
        try:
            status = atomic_file.write_atomically(self._path, data)
            self._identity = atomic_file.file_identity(status)
        except OSError as error:
            self.problem = f"cannot write {short_path(self._path)}: {error.strerror}"

    def _quarantine(self, path: Path) -> None:
        try:
            moved_to = atomic_file.quarantine(path)
        except OSError as error:
            self.problem = f"{short_path(path)} is invalid, and cannot be moved: {error.strerror}"
            self._path = None
        else:
            self.problem = f"{short_path(path)} is invalid; moved to {short_path(moved_to)}"
