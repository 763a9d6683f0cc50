"""Table of the connections of one forward, or of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tui_forward.model import Connection, Forward
from tui_forward.tui import messages
from tui_forward.tui.viewmodel import columns, rows
from tui_forward.tui.widgets.row_table import RowTable


class ConnectionTable(RowTable):
    """Connections, newest first."""

    def __init__(
        self, forward_by_id: Callable[[str], Forward | None], clock: Callable[[], float]
    ) -> None:
        super().__init__(columns.CONNECTIONS, id="connections")
        self.shows_all = False  # connections of all forwards
        self._forward_by_id = forward_by_id
        self._clock = clock
        self._connections: dict[str, Connection] = {}

    @property
    def has_connections(self) -> bool:
        """Whether there are any to show."""
        return bool(self._connections)

    def set_connections(self, connections: Sequence[Connection]) -> None:
        """Set the connections, oldest first; `draw` shows them."""
        self._connections = {str(one.id): one for one in reversed(connections)}

    def draw(self, forward: Forward | None) -> None:
        """Show the connections of the forward, or with `shows_all` of all, as they are now."""
        now = self._clock()
        self.columns = columns.ALL_CONNECTIONS if self.shows_all else columns.CONNECTIONS
        if self.shows_all:
            self.title, self.empty = "connections of all forwards", "No connections yet"
        else:
            self.empty = "" if forward is None else "No connections yet"
            self.title = f"connections of {forward.spec.target}" if forward else "connections"

        def row(key: str) -> rows.Row:
            connection = self._connections[key]
            target = None
            if self.shows_all:
                owner = self._forward_by_id(connection.forward_id)
                target = rows.target_text(owner) if owner is not None else ""
            return rows.connection_row(connection, now, target=target)

        self.show(tuple(self._connections), row)

    def close_selected(self) -> None:
        """Request to close the connection under the cursor."""
        if self.selected_keys:
            ids = [int(key) for key in self.selected_keys]
            self.app.post_message(messages.CloseConnectionsRequested(ids))
