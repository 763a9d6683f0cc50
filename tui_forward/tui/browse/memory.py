"""What a person likes and has used lately, for each context; kept in a file.

The file is small, and written whole each time. What another screen has written meanwhile is taken
in first. A file that cannot be understood is put aside, never overwritten: somebody may want it
back.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from tui_forward import atomic

_RECENT = 200  # per context
_CONTEXTS = 200


# What another program, or a later version of this one, has written is not understood, for what
# is not known here would be lost.
class _Context(msgspec.Struct, forbid_unknown_fields=True):
    favourites: list[str] = []
    recent: list[str] = []  # the latest first


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: Literal[1]
    contexts: dict[str, _Context] = {}


class Memory:
    """Favourites and what was used lately. Keys are those of `Picture`.

    Args:
        path: The file; None keeps nothing beyond this object's life.

    Attributes:
        trouble: Why it could not be read or written, in a sentence; empty if it could.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.trouble = ""
        self._seen: tuple[int, int, int] | None = None  # the file as it was last read or written
        self._file = _File(1)
        self._refresh()

    def favourites(self, context: str) -> frozenset[str]:
        """The keys with a star."""
        known = self._file.contexts.get(context)
        return frozenset(known.favourites) if known is not None else frozenset()

    def recent(self, context: str) -> dict[str, int]:
        """Keys used lately, the latest with the lowest number."""
        known = self._file.contexts.get(context)
        return {key: place for place, key in enumerate(known.recent)} if known is not None else {}

    def toggle_favourite(self, context: str, key: str) -> bool:
        """Give a star or take it away; returns whether it has one now."""
        self._refresh()
        favourites = self._context(context).favourites
        starred = key not in favourites
        if starred:
            favourites.append(key)
        else:
            favourites.remove(key)
        self._save()
        return starred

    def use(self, context: str, key: str) -> None:
        """It was just used."""
        self._refresh()
        recent = self._context(context).recent
        if recent[:1] == [key]:
            return
        if key in recent:
            recent.remove(key)
        recent.insert(0, key)
        del recent[_RECENT:]
        self._save()

    def _context(self, name: str) -> _Context:
        contexts = self._file.contexts
        known = contexts.pop(name, None) or _Context()
        contexts[name] = known  # the last one used is the last one forgotten
        while len(contexts) > _CONTEXTS:
            del contexts[next(iter(contexts))]
        return known

    def _refresh(self) -> None:
        """Read the file if it is another one than was seen last."""
        if self._path is None:
            return
        try:
            now = _identity(self._path.stat())
            if now == self._seen:
                return
            self._file = msgspec.json.decode(self._path.read_bytes(), type=_File)
            self._seen = now
        except FileNotFoundError:
            return  # then what is known is written there
        except OSError as error:
            self.trouble = f"{self._path} cannot be read: {error.strerror}"
            self._path = None  # and shall not be written over
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._put_aside(self._path)

    def _put_aside(self, path: Path) -> None:
        try:
            aside = atomic.put_aside(path)
        except OSError as error:
            self.trouble = f"{path} could not be understood, nor put aside: {error.strerror}"
            self._path = None
        else:
            self.trouble = f"{path} could not be understood; it is now {aside}"

    def _save(self) -> None:
        if self._path is None:
            return
        data = msgspec.json.format(msgspec.json.encode(self._file), indent=1)
        try:
            self._seen = _identity(atomic.replace(self._path, data))
        except OSError as error:
            self.trouble = f"{self._path} cannot be written: {error.strerror}"


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    """What is different as soon as somebody else has written the file."""
    return status.st_ino, status.st_mtime_ns, status.st_size
