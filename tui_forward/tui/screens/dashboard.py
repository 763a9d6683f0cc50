"""Main screen of the dashboard: cluster, ports, forwards and connections.

The screen draws the samples it is given and posts messages for everything to be done; it never
calls the session and never waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import Input

from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.errors import TuiForwardError
from tui_forward.model import BlockedBy, Connection, Forward, Snapshot
from tui_forward.tui import messages
from tui_forward.tui.messages import ForwardAction
from tui_forward.tui.screens.dashboard_bindings import DASHBOARD_BINDINGS
from tui_forward.tui.screens.sort_prompt import SortPrompt
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals import StaticFocusScreen
from tui_forward.tui.viewmodel import rows
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.entry_list import EntryList
from tui_forward.tui.viewmodel.entry_targets import ForwardsByEntry
from tui_forward.tui.widgets.connection_table import ConnectionTable
from tui_forward.tui.widgets.entry_table import EntryTable
from tui_forward.tui.widgets.filter_bar import FilterBar
from tui_forward.tui.widgets.forward_table import ForwardTable
from tui_forward.tui.widgets.key_bar import KeyBar
from tui_forward.tui.widgets.port_table import PortTable
from tui_forward.tui.widgets.row_table import RowTable
from tui_forward.tui.widgets.sorted_table import SortedTable
from tui_forward.tui.widgets.status_line import StatusLine


@dataclass(frozen=True, slots=True)
class DashboardSample:
    """State of the session at one moment."""

    snapshot: Snapshot
    # Of the forwards in `Dashboard.sampled_connections`, oldest first.
    connections: Sequence[Connection] = ()
    error: TuiForwardError | None = None  # why the sample may be out of date


class Dashboard(StaticFocusScreen[None]):
    """Entries of the cluster and their ports, forwards, and connections."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-normal"), (120, "-wide")]  # noqa: RUF012 - as Textual declares it
    VERTICAL_BREAKPOINTS = [(0, "-low"), (22, "-middle"), (40, "-high")]  # noqa: RUF012 - likewise
    BINDINGS: ClassVar[list[BindingType]] = DASHBOARD_BINDINGS
    CSS_PATH = stylesheet("dashboard.tcss")
    AUTO_FOCUS = "#browse"

    def __init__(
        self, entries: EntryList, histories: TrafficHistories, *,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        super().__init__()
        self._clock = clock
        self._sample = DashboardSample(Snapshot(version=0, at=0.0))
        self._enabled_keys: tuple[bool, ...] = ()
        # Kept, not queried: a sample may come before the widgets are mounted or after they
        # are removed.
        self._header = StatusLine(can_drop_title=True, id="header")
        self._key_bar = KeyBar()
        self._filter_bar = FilterBar(self._key_bar, id="filter")
        self.entry_table = EntryTable(entries, clock)
        self._port_table = PortTable()
        self.forward_table = ForwardTable(histories, clock)
        self._summary = StatusLine(id="detail")
        self._connection_table = ConnectionTable(self.forward_table.forward, clock)

    def compose(self) -> ComposeResult:
        """Arrange three rows of panes between the header line and the keys."""
        yield self._header
        with Horizontal(id="cluster"):
            yield self.entry_table
            yield self._port_table
        yield self.forward_table
        yield self._summary
        yield self._connection_table
        yield self._key_bar
        yield self._filter_bar

    @property
    def cluster_state(self) -> ClusterState:
        """The cluster shown."""
        return self.entry_table.entries.cluster_state

    @property
    def sampled_connections(self) -> str | None:
        """Id of the forward whose connections are shown; None for all, "" for none."""
        if self._connection_table.shows_all:
            return None
        forward = self.forward_table.current
        return forward.id if forward is not None else ""

    def on_mount(self) -> None:
        """Draw in the same frame what depends on a cursor or on the filter."""
        self.watch(self.entry_table, "cursor", self._draw_ports_of_cursor, init=False)
        self.watch(self.forward_table, "cursor", self._draw_summary, init=False)
        self.watch(self._filter_bar, "text", self._apply_filter, init=False)
        self._draw()

    def draw(self, sample: DashboardSample) -> None:
        """Show a sample, now or when the screen is mounted."""
        self._sample = sample
        if self.is_mounted:
            self._draw()

    def _draw(self) -> None:
        sample, cluster = self._sample, self.cluster_state
        forwards = sample.snapshot.forwards
        self.entry_table.set_forwards(ForwardsByEntry(forwards, cluster))
        self._port_table.set_forwards(cluster.scope, forwards)
        self.forward_table.set_forwards(forwards, sample.snapshot.other_engines)
        self.forward_table.context = self._connection_table.context = cluster.scope.context
        self._connection_table.set_connections(sample.connections)
        self._header.show(rows.status_cells(cluster, sample.snapshot, sample.error))
        self.entry_table.draw()
        self._port_table.draw(self.entry_table.current)
        self.forward_table.draw()
        self._draw_summary()
        self._connection_table.draw(self.forward_table.current)

    def _draw_ports_of_cursor(self) -> None:
        self._port_table.draw(self.entry_table.current)
        self._refresh_keys()

    def _draw_summary(self) -> None:
        self._summary.show(rows.detail_text(self.forward_table.current, self._clock()))
        self._refresh_keys()

    def _refresh_keys(self) -> None:
        """Update the key bar when other keys work; Textual does so when the focus moves."""
        enabled = (
            bool(self._selected_forwards()),
            self._connection_table.has_connections,
            self.entry_table.current is not None,
            self._needs_login,
        )
        if enabled != self._enabled_keys:  # it takes milliseconds
            self._enabled_keys = enabled
            self.refresh_bindings()

    @property
    def _needs_login(self) -> bool:
        health, snapshot = self.cluster_state.health, self._sample.snapshot
        waiting = [health, *snapshot.forwards]
        by_credentials = (
            one is not None and one.blocked_by is BlockedBy.CREDENTIALS for one in waiting
        )
        return bool(snapshot.logins) or any(by_credentials)

    @property
    def _is_in_cluster(self) -> bool:
        return self.focused in (self.entry_table, self._port_table)

    @property
    def _filtered_table(self) -> EntryTable | ForwardTable:
        """The table that the filter applies to where the focus is."""
        in_forwards = self.focused in (self.forward_table, self._connection_table)
        return self.forward_table if in_forwards else self.entry_table

    def action_filter(self) -> None:
        """Open the filter of the entries or of the forwards."""
        table = self._filtered_table
        label = "forwards" if table is self.forward_table else ""
        self._filter_bar.open(table, table.filter_query.text, label=label)

    def _apply_filter(self, text: str) -> None:
        table = self._filter_bar.table
        if isinstance(table, EntryTable | ForwardTable):
            table.filter(text)
            self._draw_summary()

    def on_row_table_chosen(self, event: RowTable.Chosen) -> None:
        """Go to the ports, toggle a port, show a forward's details, or fold a group."""
        if event.table is self.entry_table:
            self._port_table.focus()
        elif event.table is self._port_table:
            self.action_toggle_current()
        elif event.table is self.forward_table:
            if self.forward_table.is_heading(event.key):
                self.forward_table.toggle_fold()
            else:
                self.post_message(messages.DetailRequested(event.key))

    def on_row_table_header_clicked(self, event: RowTable.HeaderClicked) -> None:
        """Change the sort order."""
        event.table.focus()
        if isinstance(event.table, SortedTable):
            event.table.choose_sort(event.column)
            self._draw_summary()

    def action_next_view(self) -> None:
        """Show workloads, pods, services in turn."""
        self.entry_table.next_kind()

    @property
    def _sorted_table(self) -> SortedTable:
        """The table to sort where the focus is; the ports have the order of their pod."""
        return self.focused if isinstance(self.focused, SortedTable) else self.entry_table

    def action_sort(self) -> None:
        """Ask for the column to sort the focused table by."""
        table = self._sorted_table

        def choose(key: str | None) -> None:
            if key:
                table.choose_sort(key)
                self._draw_summary()

        self.app.push_screen(SortPrompt(table.sort_choices), choose)

    def action_reverse_sort(self) -> None:
        """Reverse the order of the focused table."""
        table = self._sorted_table
        if not table.order_text:
            self.notify("The default order has one direction. s chooses a column.")
        table.reverse_sort()
        self._draw_summary()

    def action_next_group(self) -> None:
        """Use the next grouping of the forwards."""
        self.forward_table.next_group()
        self._draw_summary()

    def action_fold(self) -> None:
        """Fold or unfold a group of forwards, or the pods of a workload."""
        table = self.forward_table if self.focused is self.forward_table else self.entry_table
        table.toggle_fold()

    def action_select(self) -> None:
        """Mark or unmark the row under the cursor."""
        if self.focused is self.forward_table or self.focused is self.entry_table:
            self.focused.toggle_mark()
            self.focused.draw()

    def action_favorite(self) -> None:
        """Add the entry under the cursor to the favorites or remove it."""
        self.entry_table.toggle_favorite()

    def action_all_connections(self) -> None:
        """Show the connections of all forwards, or of the selected one."""
        self._connection_table.shows_all = not self._connection_table.shows_all
        self._connection_table.draw(self.forward_table.current)

    def action_zoom(self) -> None:
        """Show only the focused pane, or all panes again."""
        if self.maximized is not None:
            self.minimize()
        elif isinstance(self.focused, RowTable):
            self.maximize(self.focused, container=False)

    def action_back(self) -> None:
        """Leave the zoom, else clear the marks, else clear the filter."""
        if self.maximized is not None:
            self.minimize()
        elif self.entry_table.unmark() or self.forward_table.unmark():
            self._draw()
        elif self._filtered_table is self.forward_table and self.forward_table.filter_query:
            self.forward_table.clear_filter()
            self._draw_summary()
        elif self.entry_table.filter_query:
            self.entry_table.clear_filter()

    def _selected_forwards(self) -> list[Forward]:
        """Return the forwards that an action applies to where the focus is."""
        if self.focused is self._port_table:
            forward = self._port_table.current_forward
            return [forward] if forward is not None else []
        if self.focused is self.entry_table:
            return self.entry_table.forwards_of_selected
        return self.forward_table.selected

    def action_toggle_port(self, number: int) -> None:
        """Start or stop the forward of a declared port, numbered from 1, of the selected rows."""
        self.entry_table.toggle_port(number)

    def action_all_ports(self) -> None:
        """Forward all ports of the selected rows."""
        self.entry_table.forward_all_ports()

    def action_form(self) -> None:
        """Open the form of a new forward."""
        if self.focused is self._port_table and self._port_table.current is not None:
            self._port_table.open_form()
        else:
            self.entry_table.open_form()

    def action_toggle_current(self) -> None:
        """Start or stop the port under the cursor, or pause or resume the forward."""
        if self.focused is self.entry_table:
            self.entry_table.toggle_port(1)
        elif self.focused is self._port_table:
            if self._port_table.toggle_current():
                self.entry_table.unmark()
        elif self.focused is self.forward_table:
            self.action_forward(ForwardAction.PAUSE.value)

    def action_forward(self, action: str) -> None:
        """Request an action, the value of a `ForwardAction`, on the selected forwards."""
        forwards = self._selected_forwards()
        if forwards:
            ids = [forward.id for forward in forwards]
            self.post_message(messages.ForwardActionRequested(ids, ForwardAction(action)))
            self.forward_table.unmark()

    def action_detail(self) -> None:
        """Show the details of the first selected forward."""
        forwards = self._selected_forwards()
        if forwards:
            self.post_message(messages.DetailRequested(forwards[0].id))

    def action_stop(self) -> None:
        """Stop the selected forwards, or close the selected connections."""
        if self.focused is not self._connection_table:
            self.action_forward(ForwardAction.STOP.value)
        else:
            self._connection_table.close_selected()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Return whether a key does something now; others are hidden."""
        if action == "filter":
            return not isinstance(self.focused, Input)
        if action == "stop" and self.focused is self._connection_table:
            return self._connection_table.has_connections
        if action in ("forward", "detail", "stop"):
            return bool(self._selected_forwards())
        if action in ("toggle_port", "all_ports", "favorite", "form"):
            return self.entry_table.current is not None
        if action == "next_view":
            return self._is_in_cluster
        return True
