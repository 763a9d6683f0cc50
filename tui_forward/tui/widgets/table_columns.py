"""Columns of a table: their natural widths, and the arrow of the one that rows are sorted by."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from tui_forward.tui.viewmodel.cell_layout import Column, NaturalWidths
from tui_forward.tui.widgets.row_renderer import RowRenderer


class TableColumns:
    """Gives a renderer its columns; every change returns whether a column moves."""

    def __init__(self, columns: tuple[Column, ...], renderer: RowRenderer) -> None:
        self.columns = columns
        self._renderer = renderer
        self._natural = NaturalWidths()
        self._sorted_by = ("", False)  # key of the column with the arrow, and whether it is down

    def set(self, columns: tuple[Column, ...]) -> bool:
        """Set the columns."""
        if columns == self.columns:
            return False
        self.columns = columns
        self._natural.reset()
        return self._lay_out(())

    def fit(self, keys: Sequence[str], longest: Sequence[int]) -> bool:
        """Fit the columns to the longest cells of these rows; see `NaturalWidths`."""
        return self._lay_out(self._natural.update(keys, longest))

    def reset(self) -> None:
        """Forget the natural widths, when the size of the table has changed."""
        self._natural.reset()

    def mark_sorted(self, column: str, *, descending: bool) -> bool | None:
        """Show an arrow at a column, or none for an empty key; None if it is there already."""
        if (column, descending) == self._sorted_by:
            return None
        self._sorted_by = (column, descending)
        return self._lay_out(self._renderer.longest)

    def _lay_out(self, longest: tuple[int, ...]) -> bool:
        key, descending = self._sorted_by
        arrow = "▼" if descending else "▲"
        columns = tuple(
            replace(column, title=column.title + arrow) if key and column.key == key else column
            for column in self.columns
        )
        return self._renderer.set_columns(columns, longest)

    def width(self, position: int) -> int:
        """Return the width of a column in cells; 0 while it is dropped."""
        return self._renderer.layout.widths[position]

    def key_at(self, x: int) -> str:
        """Return the key of the column at a cell; empty if it has none."""
        position = self._renderer.layout.position_at(x)
        return self.columns[position].key if position is not None else ""
