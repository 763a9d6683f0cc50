"""Ordered row keys of a table and which of them are marked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

_SEARCH_RADIUS = 100  # rows around the last position


class RowSelection:
    """Row keys in order, with marks that disappear together with their rows."""

    def __init__(self) -> None:
        self.keys: tuple[str, ...] = ()
        self.marked: set[str] = set()
        self._last_position = 0

    def replace(
        self, keys: tuple[str, ...], exists: Callable[[str], bool] = lambda _key: False
    ) -> None:
        """Set the keys and unmark rows that are gone; hidden ones that exist stay marked."""
        self.keys = keys
        if self.marked:
            shown = set(keys)
            self.marked = {key for key in self.marked if key in shown or exists(key)}

    def toggle_all(self) -> None:
        """Mark all shown rows, or none if all are marked."""
        shown = set(self.keys)
        self.marked = set() if shown <= self.marked else self.marked | shown

    @property
    def text(self) -> str:
        """Return `3 selected (1 hidden)`; empty without marks."""
        if not self.marked:
            return ""
        hidden = len(self.marked.difference(self.keys))
        return f"{len(self.marked)} selected{f' ({hidden} hidden)' if hidden else ''}"

    def position(self, key: str | None) -> int | None:
        """Return the position of a key; fast for a key near the one found last."""
        if key is None:
            return None
        start = max(0, self._last_position - _SEARCH_RADIUS)
        for first, last in ((start, start + 2 * _SEARCH_RADIUS), (0, len(self.keys))):
            with contextlib.suppress(ValueError):
                self._last_position = self.keys.index(key, first, last)
                return self._last_position
        return None

    def key_at(self, position: int) -> str | None:
        """Return the key at a position, None outside the table."""
        return self.keys[position] if 0 <= position < len(self.keys) else None

    def clamped(self, position: int) -> str:
        """Return the key at a position or at the end nearest to it; there must be keys."""
        return self.keys[max(0, min(position, len(self.keys) - 1))]

    def selected(self, cursor: str | None) -> tuple[str, ...]:
        """Return the marked keys in order, hidden ones last, or the cursor's key without marks."""
        if self.marked:
            shown = tuple(key for key in self.keys if key in self.marked)
            return shown + tuple(sorted(self.marked.difference(shown)))
        return (cursor,) if cursor is not None else ()
