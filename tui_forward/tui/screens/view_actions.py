"""How the panes show their rows: sort order, selection, view, groups and folds."""

from __future__ import annotations

from collections.abc import Callable

from textual.message import Message
from textual.screen import Screen

from tui_forward.tui import messages
from tui_forward.tui.screens.sort_prompt import SortPrompt
from tui_forward.tui.viewmodel.pane_layout import Pane
from tui_forward.tui.widgets.pane_body import PaneBody
from tui_forward.tui.widgets.pane_tables import PaneTables
from tui_forward.tui.widgets.row_table import RowTable
from tui_forward.tui.widgets.sorted_table import SortedTable


class ViewActions:
    """Changes the view of the focused pane."""

    def __init__(
        self, screen: Screen[None], body: PaneBody, tables: PaneTables,
        on_change: Callable[[], None],
    ) -> None:  # fmt: skip
        self._screen = screen
        self._body = body
        self._tables = tables
        self._on_change = on_change  # draws what depends on the cursor

    def _post(self, message: Message) -> None:
        self._screen.post_message(message)

    # Sort order ------------------------------------------------------------------------------

    @property
    def _sorted_table(self) -> SortedTable:
        """The table to sort where the focus is; the ports have the order of their pod."""
        table = self._body.table(self._body.focused_pane)
        return table if isinstance(table, SortedTable) else self._tables.entries

    def sort(self) -> None:
        """Ask for the column to sort the focused table by."""
        table = self._sorted_table

        def choose(key: str | None) -> None:
            if key:
                self.sort_by(table, key)

        self._screen.app.push_screen(SortPrompt(table.sort_choices), choose)

    def sort_by(self, table: SortedTable, column: str) -> None:
        """Sort by a column, reverse, or return to the default order, in turn."""
        table.choose_sort(column)
        self._on_change()

    def reverse_sort(self) -> None:
        """Reverse the order of the focused table."""
        table = self._sorted_table
        if not table.order_text:
            self._screen.notify("The default order has one direction. s chooses a column.")
        table.reverse_sort()
        self._on_change()

    # Selection -------------------------------------------------------------------------------

    def select(self, by: int) -> None:
        """Select or unselect the row under the cursor and move by a row."""
        table = self._body.table(self._body.focused_pane)
        if table.cursor is None:
            self._screen.notify("No row to select", severity="warning")
        else:
            table.toggle_mark(by)
            self._redraw(table)

    def select_all(self) -> None:
        """Select all rows that are shown, or none."""
        table = self._body.table(self._body.focused_pane)
        if table.keys:
            table.toggle_all_marks()
            self._redraw(table)
        else:
            self._screen.notify("No row to select", severity="warning")

    def unselect(self) -> bool:
        """Clear the selection of every pane; return whether there was any."""
        tables = (self._tables.entries, self._tables.forwards, self._tables.connections)
        marked = [table for table in tables if table.unmark()]
        for table in marked:
            self._redraw(table)
        return bool(marked)

    def _redraw(self, table: RowTable) -> None:
        self._tables.redraw(table)
        self._on_change()

    # Views -----------------------------------------------------------------------------------

    def next_kind(self, by: int) -> None:
        """Show workloads, pods, services in turn."""
        self._tables.entries.next_kind(by)
        self._on_change()

    def next_group(self) -> None:
        """Use the next grouping of the forwards."""
        self._tables.forwards.next_group()
        self._body.fit()
        self._on_change()

    def fold(self) -> None:
        """Fold a group of forwards, or the pods of a workload."""
        in_forwards = self._screen.focused is self._tables.forwards
        (self._tables.forwards if in_forwards else self._tables.entries).fold(True)
        self._body.fit()

    def unfold(self) -> None:
        """Unfold a group of forwards or the pods of a workload, else go to the ports."""
        if self._screen.focused is self._tables.forwards:
            self._tables.forwards.fold(False)
            self._body.fit()
        elif not self._tables.entries.fold(False):
            self._body.focus_pane(Pane.PORTS)

    # Connections -----------------------------------------------------------------------------

    def show_top_talkers(self) -> None:
        """Show the connections of all forwards, the busiest first."""
        self._tables.connections.show_top_talkers()
        self._redraw(self._tables.connections)
        self._body.focus_pane(Pane.CONNECTIONS)
        self._post(messages.SampleRequested())

    def toggle_all_connections(self) -> None:
        """Show the connections of all forwards, or of the selected one."""
        connections = self._tables.connections
        connections.toggle_all()
        self._redraw(connections)
        self._post(messages.SampleRequested())

    def toggle_closed_connections(self) -> None:
        """Show or hide closed connections."""
        self._tables.connections.toggle_closed()
        self._redraw(self._tables.connections)
