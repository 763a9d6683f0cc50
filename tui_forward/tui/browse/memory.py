"""What a person likes and has used lately, for each context; kept in a file.

The file is small, and written whole each time. One that cannot be understood is put aside, never
overwritten: somebody may want it back.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import msgspec

_RECENT = 100  # per context
_CONTEXTS = 200


class _Context(msgspec.Struct):
    favourites: list[str] = []
    recent: list[str] = []  # the latest first


class _File(msgspec.Struct):
    version: int = 1
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
        self._file = self._load()

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

    def _load(self) -> _File:
        if self._path is None:
            return _File()
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return _File()
        except OSError as error:
            self.trouble = f"{self._path} cannot be read: {error.strerror}"
            self._path = None  # and shall not be written over
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            aside = self._path.with_name(f"{self._path.name}.bad")
            self.trouble = f"{self._path} could not be understood; it is now {aside}"
            try:
                self._path.replace(aside)
            except OSError as error:
                self.trouble = f"{self._path} cannot be understood: {error.strerror}"
                self._path = None
        return _File()

    def _save(self) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(msgspec.json.format(msgspec.json.encode(self._file), indent=1))
                Path(name).replace(self._path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            self.trouble = f"{self._path} cannot be written: {error.strerror}"
