"""A small file in which a screen keeps something for the next one.

It is written whole each time, in one step. What another screen has written meanwhile is taken in
first. A file that cannot be understood is put aside, never overwritten: somebody may want it back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from tui_forward.common import atomic_file as atomic_file

T = TypeVar("T")


class JsonFile(Generic[T]):
    """What is in a file.

    Args:
        path: The file; None keeps nothing beyond this object's life.
        empty: What is known if there is no file; its type is how the file is understood.

    Attributes:
        content: Change it as you like after `refresh`, then `save`.
        trouble: Why it could not be read or written, in a sentence; empty if it could.
    """

    def __init__(self, path: Path | None, empty: T) -> None:
        self._path = path
        self._type = type(empty)
        self._seen: tuple[int, int, int] | None = None  # the file as it was last read or written
        self.content = empty
        self.trouble = ""
        self.refresh()

    def refresh(self) -> None:
        """Read the file if it is another one than was seen last."""
        if self._path is None:
            return
        try:
            now = atomic_file.file_identity(self._path.stat())
            if now == self._seen:
                return
            self.content = msgspec.json.decode(self._path.read_bytes(), type=self._type)
            self._seen = now
        except FileNotFoundError:
            return  # then what is known is written there
        except OSError as error:
            self.trouble = f"{self._path} cannot be read: {error.strerror}"
            self._path = None  # and shall not be written over
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._put_aside(self._path)

    def save(self) -> None:
        """Write it."""
        if self._path is None:
            return
        data = msgspec.json.format(msgspec.json.encode(self.content), indent=1)
        try:
            self._seen = atomic_file.file_identity(atomic_file.write_atomically(self._path, data))
        except OSError as error:
            self.trouble = f"{self._path} cannot be written: {error.strerror}"

    def _put_aside(self, path: Path) -> None:
        try:
            aside = atomic_file.quarantine(path)
        except OSError as error:
            self.trouble = f"{path} could not be understood, nor put aside: {error.strerror}"
            self._path = None
        else:
            self.trouble = f"{path} could not be understood; it is now {aside}"
