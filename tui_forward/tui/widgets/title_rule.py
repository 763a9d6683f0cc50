"""Texts of the rule above a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from tui_forward.common.formatting import pluralize


class TitleRule:
    """Title at the left; at the right problems that are scrolled out, notes, and the position."""

    def __init__(self, refresh: Callable[[], None]) -> None:
        self.title = ""
        self.notes: tuple[str, ...] = ()
        # Whether the position of the cursor is shown, and of how many rows if some are filtered
        # out.
        self.shows_position = False
        self.total: int | None = None
        self.is_zoomed = False  # whether other panes are hidden
        self.problems: Collection[str] = ()  # keys of rows that are counted when scrolled out
        self._refresh = refresh  # draws the rule again

    def show(
        self, title: str, notes: tuple[str, ...] = (), *,
        total: int | None = None, problems: Collection[str] = (),
    ) -> None:  # fmt: skip
        """Show a title and notes; the rest is shown with the rows."""
        self.total, self.problems = total, problems
        if (title, notes) != (self.title, self.notes):
            self.title, self.notes = title, notes
            self._refresh()

    def show_zoom(self, is_zoomed: bool) -> None:
        """Show whether other panes are hidden."""
        if is_zoomed != self.is_zoomed:
            self.is_zoomed = is_zoomed
            self._refresh()

    def texts(
        self, keys: Sequence[str], position: int | None, first: int, end: int
    ) -> Sequence[str]:
        """Return the texts at the right.

        Args:
            keys: Keys of all rows.
            position: That of the cursor's row, from 0.
            first: Position of the first row on the screen.
            end: Position after the last row on the screen.
        """
        notes = [*(["zoomed"] if self.is_zoomed else []), *(n for n in self.notes if n and keys)]
        if not self.shows_position:
            return notes
        text = f"{position + 1}/{len(keys)}" if position is not None and keys else f"{len(keys)}"
        text = f"{text} of {self.total}" if self.total is not None else text
        above = self._count(keys[:first], "▲", "above") if self.problems else []
        below = self._count(keys[end:], "▼", "below") if self.problems else []
        return [*above, *below, *notes, text]

    def _count(self, keys: Sequence[str], mark: str, where: str) -> list[str]:
        count = sum(key in self.problems for key in keys)
        return [f"{mark} {pluralize(count, 'problem')} {where}"] if count else []
