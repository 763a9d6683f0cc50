"""Table of the connections of one forward, or of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import BindingType

from tui_forward.model import Connection, ConnectionState, Forward
from tui_forward.tui.keys.dashboard_keys import CONNECTION_BINDINGS
from tui_forward.tui.viewmodel import columns, rows
from tui_forward.tui.viewmodel.connection_rows import (
    CONNECTION_SORTS,
    connection_labels,
    connection_row,
    shown_connections,
    sort_connections,
)
from tui_forward.tui.viewmodel.context_names import ContextNaming
from tui_forward.tui.viewmodel.forward_rows import target_cell
from tui_forward.tui.viewmodel.sorting import DEFAULT_ORDER, SortOrder
from tui_forward.tui.widgets.sorted_table import SortedTable

_DOWN_RATE = "down_rate"


class ConnectionTable(SortedTable):
    """Connections: queued and draining ones first, then the busiest; closed ones last."""

    BINDINGS: ClassVar[list[BindingType]] = CONNECTION_BINDINGS

    def __init__(
        self, forward_by_id: Callable[[str], Forward | None], clock: Callable[[], float]
    ) -> None:
        super().__init__(columns.CONNECTIONS, id="connections", sorts=CONNECTION_SORTS)
        self.shows_all = False  # connections of all forwards
        self._order_before: SortOrder | None = None  # while top talkers are shown for a look
        # By `shows_all`: of many forwards, closed ones would bury the busy ones.
        self._shows_closed = {False: True, True: False}
        self.context = ""  # on view
        self.naming = ContextNaming()  # of contexts
        self._forward: Forward | None = None
        self._forward_by_id = forward_by_id
        self._clock = clock
        self._connections: dict[str, Connection] = {}

    def exists(self, key: str) -> bool:
        """Return whether a row is hidden."""
        return key in self._connections

    @property
    def selected(self) -> list[Connection]:
        """The marked connections, or the one under the cursor."""
        return [self._connections[key] for key in self.selected_keys if key in self._connections]

    @property
    def shows_closed(self) -> bool:
        """Whether closed connections are shown of what is shown now."""
        return self._shows_closed[self.shows_all]

    def toggle_closed(self) -> None:
        """Show or hide the closed connections; `draw` shows the change."""
        self._shows_closed[self.shows_all] = not self.shows_closed

    def set_connections(self, connections: Sequence[Connection]) -> None:
        """Set the connections, oldest first; `draw` shows them."""
        self._connections = {str(one.id): one for one in reversed(connections)}

    def draw(self, forward: Forward | None) -> None:
        """Show the connections of the forward, or with `shows_all` of all, as they are now."""
        self._forward = forward
        self.show_sort(self.order.column or _DOWN_RATE, descending=self._is_descending)
        notes = (*self._count_notes(), self.order_text or "↓ rate")
        self.rule.show(self._title_text(), notes)
        self.empty = "" if forward is None and not self.shows_all else "No connections yet."
        now = self._clock()
        shown = shown_connections(self._connections.values(), with_closed=self.shows_closed)
        owners = map(self._forward_by_id, {one.forward_id for one in shown})
        labels = connection_labels(
            shown, [one for one in owners if one is not None], self.context, now,
            of_all=self.shows_all, naming=self.naming,
        )  # fmt: skip
        keys = [str(one.id) for one in sort_connections(shown, self.order, labels)]

        def row(key: str) -> rows.Row:
            marked = key in self.selection.marked
            return connection_row(self._connections[key], now, labels, marked=marked)

        self.show(keys, row, longest=labels.longest)

    @property
    def _is_descending(self) -> bool:
        return self.order == DEFAULT_ORDER or self.order.descending

    def redraw(self) -> None:
        """See `SortedTable`."""
        self.draw(self._forward)

    def show_top_talkers(self) -> None:
        """Show the connections of all forwards, the busiest first; `draw` shows them.

        Until `leave_top_talkers`, unless all of them are shown anyway.
        """
        if not self.shows_all:
            self._order_before = self.order
        self.shows_all = True
        self.restore_order(f"{_DOWN_RATE}-")

    def leave_top_talkers(self) -> None:
        """Show the connections of one forward again, in their order; `draw` shows them."""
        if self._order_before is not None:
            self.restore_order(str(self._order_before))
            self.shows_all, self._order_before = False, None

    def toggle_all(self) -> None:
        """Show the connections of all forwards, or of one, from now on; `draw` shows them."""
        self.shows_all, self._order_before = not self.shows_all, None

    def _count_notes(self) -> list[str]:
        """Return how many connections of all forwards are open and queued."""
        hidden = [] if self.shows_closed else ["closed hidden"]
        if not self.shows_all:
            return hidden
        states = [one.state for one in self._connections.values() if one.closed_at is None]
        queued = states.count(ConnectionState.QUEUED)
        parts = [f"open {len(states) - queued}"]
        return [*parts, *([f"queued {queued}"] if queued else []), *hidden]

    def _title_text(self) -> str:
        forward = self._forward
        if self.shows_all:
            return "connections of all forwards"
        return f"connections of {target_cell(forward).text}" if forward else "connections"
