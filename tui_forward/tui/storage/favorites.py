"""Favorites and recently used entries of each context, kept in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from tui_forward.tui.storage.json_file import JsonFile

_MAX_RECENT = 200  # per context
_MAX_CONTEXTS = 200


# Unknown fields, for example of a later version, make the file invalid: rewriting it without them
# would lose data.
class _Context(msgspec.Struct, forbid_unknown_fields=True):
    favorites: list[str] = []
    recent: list[str] = []  # latest first


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: Literal[1]
    contexts: dict[str, _Context] = {}


class Favorites:
    """Favorites and recently used entries by `ClusterState` key; not saved without a path."""

    def __init__(self, path: Path | None) -> None:
        self._file = JsonFile(path, _File(1))

    @property
    def problem(self) -> str:
        """Return why the file could not be read or written; empty if it could."""
        return self._file.problem

    def keys(self, context: str) -> frozenset[str]:
        """Return the keys of the favorites."""
        known = self._file.content.contexts.get(context)
        return frozenset(known.favorites) if known is not None else frozenset()

    def recent(self, context: str) -> dict[str, int]:
        """Return recently used keys with their rank, 0 for the latest."""
        known = self._file.content.contexts.get(context)
        return {key: rank for rank, key in enumerate(known.recent)} if known is not None else {}

    def toggle(self, context: str, key: str) -> bool:
        """Add or remove a favorite; return whether it is one now."""
        self._file.refresh()
        favorites = self._context(context).favorites
        starred = key not in favorites
        if starred:
            favorites.append(key)
        else:
            favorites.remove(key)
        self._file.save()
        return starred

    def record_use(self, context: str, key: str) -> None:
        """Record that a key was just used."""
        self._file.refresh()
        recent = self._context(context).recent
        if recent[:1] == [key]:
            return
        if key in recent:
            recent.remove(key)
        recent.insert(0, key)
        del recent[_MAX_RECENT:]
        self._file.save()

    def _context(self, name: str) -> _Context:
        contexts = self._file.content.contexts
        known = contexts.pop(name, None) or _Context()
        contexts[name] = known  # moves it to the end, the last one to be dropped
        while len(contexts) > _MAX_CONTEXTS:
            del contexts[next(iter(contexts))]
        return known
