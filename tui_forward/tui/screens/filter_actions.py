"""Filter of the entries and of the forwards: opened, applied as it is typed, and cleared."""

from __future__ import annotations

from collections.abc import Callable

from tui_forward.tui.viewmodel.pane_layout import Pane
from tui_forward.tui.widgets.entry_table import EntryTable
from tui_forward.tui.widgets.filter_bar import FilterBar
from tui_forward.tui.widgets.forward_table import ForwardTable
from tui_forward.tui.widgets.pane_body import PaneBody
from tui_forward.tui.widgets.pane_tables import PaneTables


class FilterActions:
    """Filters the table of the focused pane; without the filter the cursor returns to its row."""

    def __init__(
        self, bar: FilterBar, body: PaneBody, tables: PaneTables, on_change: Callable[[], None]
    ) -> None:
        self._bar = bar
        self._body = body
        self._tables = tables
        self._on_change = on_change  # draws what depends on the cursor
        self._row_before: str | None = None

    @property
    def _table(self) -> EntryTable | ForwardTable:
        """The table that the filter applies to where the focus is."""
        in_forwards = self._body.focused_pane in (Pane.FORWARDS, Pane.CONNECTIONS)
        return self._tables.forwards if in_forwards else self._tables.entries

    def open(self) -> None:
        """Open the filter of the entries or of the forwards."""
        table = self._table
        label = "forwards" if table is self._tables.forwards else ""
        if not table.filter_query:
            self._row_before = table.cursor
        self._bar.open(table, table.filter_query.text, label=label)

    def apply(self, text: str) -> None:
        """Show the rows that match what is typed."""
        table = self._bar.table
        if isinstance(table, EntryTable | ForwardTable):
            table.filter(text)
            if not text and self._row_before is not None:
                table.follow(self._row_before)
            self._on_change()

    def clear(self) -> bool:
        """Clear the filter of the focused pane; return whether there was one."""
        table = self._table
        if not table.filter_query:
            return False
        table.clear_filter()
        if self._row_before is not None:
            table.follow(self._row_before)
        self._on_change()
        return True

    def show_state(self, state: str) -> None:
        """Show only forwards in a state; all of them for an empty text."""
        self._tables.forwards.filter(f"status:{state}" if state else "")
        self._body.focus_pane(Pane.FORWARDS)
        self._on_change()
