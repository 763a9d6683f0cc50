"""What a person likes and has used lately, for each context; kept in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from tui_forward.tui.storage.json_file import JsonFile

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


class Favorites:
    """Favourites and what was used lately. Keys are those of `Picture`.

    Args:
        path: The file; None keeps nothing beyond this object's life.
    """

    def __init__(self, path: Path | None) -> None:
        self._kept = JsonFile(path, _File(1))

    @property
    def trouble(self) -> str:
        """Why the file could not be read or written, in a sentence; empty if it could."""
        return self._kept.trouble

    def favourites(self, context: str) -> frozenset[str]:
        """The keys with a star."""
        known = self._kept.content.contexts.get(context)
        return frozenset(known.favourites) if known is not None else frozenset()

    def recent(self, context: str) -> dict[str, int]:
        """Keys used lately, the latest with the lowest number."""
        known = self._kept.content.contexts.get(context)
        return {key: place for place, key in enumerate(known.recent)} if known is not None else {}

    def toggle_favourite(self, context: str, key: str) -> bool:
        """Give a star or take it away; returns whether it has one now."""
        self._kept.refresh()
        favourites = self._context(context).favourites
        starred = key not in favourites
        if starred:
            favourites.append(key)
        else:
            favourites.remove(key)
        self._kept.save()
        return starred

    def record_use(self, context: str, key: str) -> None:
        """It was just used."""
        self._kept.refresh()
        recent = self._context(context).recent
        if recent[:1] == [key]:
            return
        if key in recent:
            recent.remove(key)
        recent.insert(0, key)
        del recent[_RECENT:]
        self._kept.save()

    def _context(self, name: str) -> _Context:
        contexts = self._kept.content.contexts
        known = contexts.pop(name, None) or _Context()
        contexts[name] = known  # the last one used is the last one forgotten
        while len(contexts) > _CONTEXTS:
            del contexts[next(iter(contexts))]
        return known
