"""The tables of the dashboard's panes."""

from __future__ import annotations

import msgspec

from tui_forward.tui.viewmodel.pane_layout import Pane
from tui_forward.tui.widgets.connection_table import ConnectionTable
from tui_forward.tui.widgets.entry_table import EntryTable
from tui_forward.tui.widgets.forward_table import ForwardTable
from tui_forward.tui.widgets.port_table import PortTable
from tui_forward.tui.widgets.row_table import RowTable


class PaneTables(msgspec.Struct, frozen=True):
    """One table for each pane."""

    entries: EntryTable
    ports: PortTable
    forwards: ForwardTable
    connections: ConnectionTable

    def by_pane(self) -> dict[Pane, RowTable]:
        """Return the table of each pane."""
        return {
            Pane.CLUSTER: self.entries, Pane.PORTS: self.ports,
            Pane.FORWARDS: self.forwards, Pane.CONNECTIONS: self.connections,
        }  # fmt: skip

    def redraw(self, table: RowTable) -> None:
        """Show the rows of a table again, after a change of what they show."""
        if table is self.ports:
            self.ports.draw(self.entries.current)
        elif table is self.connections:
            self.connections.draw(self.forwards.current)
        elif isinstance(table, EntryTable | ForwardTable):
            table.draw()
