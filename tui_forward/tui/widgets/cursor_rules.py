"""Where the cursor of a table goes when rows come and go."""

from __future__ import annotations

from tui_forward.tui.widgets.row_selection import RowSelection


class CursorRules:
    """The cursor stays on its row, goes to one that is followed, or waits for its first row."""

    def __init__(self) -> None:
        # Until the first input, the cursor stays on the first row when rows appear above it.
        self.has_input = False
        self._pending: str | None = None
        self._followed: str | None = None

    @property
    def pending(self) -> str | None:
        """Row that gets the cursor when it appears, unless the table got input before that."""
        return None if self.has_input else self._pending

    @pending.setter
    def pending(self, key: str | None) -> None:
        self._pending = key

    def first(self, selection: RowSelection) -> str:
        """Return the row of the cursor before any input; there must be rows."""
        key = self._pending
        return selection.keys[0] if key is None or selection.position(key) is None else key

    def follow(self, key: str) -> None:
        """Let the cursor go to a row as soon as it is there."""
        self._followed = key

    def take_followed(self, selection: RowSelection) -> str | None:
        """Return the followed row once when it is there, else None."""
        key = self._followed
        if key is None or selection.position(key) is None:
            return None
        self.has_input, self._followed = True, None
        return key
