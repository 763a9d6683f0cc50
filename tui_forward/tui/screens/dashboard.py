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
from textual.widgets import Input

from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.errors import TuiForwardError
from tui_forward.model import BlockedBy, Connection, Forward, Snapshot
from tui_forward.tui import messages
from tui_forward.tui.keys.dashboard_keys import (
    DASHBOARD_BINDINGS,
    FOOTERS,
    SELECTION_FOOTERS,
    PaneFooter,
)
from tui_forward.tui.messages import ForwardAction
from tui_forward.tui.screens.row_actions import RowActions
from tui_forward.tui.screens.sort_prompt import SortPrompt
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals import StaticFocusScreen
from tui_forward.tui.viewmodel import strip
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.entries import EntryKind
from tui_forward.tui.viewmodel.entry_list import EntryList
from tui_forward.tui.viewmodel.entry_targets import ForwardsByEntry
from tui_forward.tui.viewmodel.forward_rows import has_problem
from tui_forward.tui.viewmodel.header import HeaderContent, build_header
from tui_forward.tui.viewmodel.pane_layout import Content, Pane, PaneLayout
from tui_forward.tui.widgets.connection_table import ConnectionTable
from tui_forward.tui.widgets.entry_table import EntryTable
from tui_forward.tui.widgets.filter_bar import FilterBar
from tui_forward.tui.widgets.forward_table import ForwardTable
from tui_forward.tui.widgets.header_bar import HeaderBar
from tui_forward.tui.widgets.key_bar import KeyBar
from tui_forward.tui.widgets.pane_body import PaneBody
from tui_forward.tui.widgets.port_table import PortTable
from tui_forward.tui.widgets.row_table import RowTable
from tui_forward.tui.widgets.sorted_table import SortedTable
from tui_forward.tui.widgets.strip_bar import StripBar

_MAX_EMPTY_LINES = 3  # of a text in an empty pane


@dataclass(frozen=True, slots=True)
class DashboardSample:
    """State of the session at one moment."""

    snapshot: Snapshot
    # Of the forwards in `Dashboard.sampled_connections`, oldest first.
    connections: Sequence[Connection] = ()
    error: TuiForwardError | None = None  # why the sample may be out of date


class Dashboard(StaticFocusScreen[None]):
    """Entries of the cluster and their ports, forwards, and connections."""

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
        self._key_state: tuple[object, ...] = ()
        self._fitted_for: tuple[object, ...] = ()
        self._pane_layout: PaneLayout | None = None
        self._row_before_filter: str | None = None
        self._namespace_before = ""
        # Kept, not queried: a sample may come before the widgets are mounted or after they
        # are removed.
        self._header = HeaderBar()
        self._key_bar = KeyBar()
        self._filter_bar = FilterBar(self._key_bar, id="filter")
        self.entry_table = EntryTable(entries, clock)
        self._port_table = PortTable()
        self.forward_table = ForwardTable(histories, clock)
        self._strip = StripBar()
        self._connection_table = ConnectionTable(self.forward_table.forward, clock)
        tables: dict[Pane, RowTable] = {
            Pane.CLUSTER: self.entry_table, Pane.PORTS: self._port_table,
            Pane.FORWARDS: self.forward_table, Pane.CONNECTIONS: self._connection_table,
        }  # fmt: skip
        for pane, table in tables.items():
            table.shows_position = pane is not Pane.PORTS
        self.body = PaneBody(tables, self._strip, self._content, self._apply_layout)
        self.rows = RowActions(
            self, self.body, self.entry_table, self._port_table, self.forward_table,
            self._connection_table, lambda: self.cluster_state.scope,
        )  # fmt: skip

    def compose(self) -> ComposeResult:
        """Arrange the panes between the header line and the keys."""
        yield self._header
        yield self.body
        yield self._key_bar
        yield self._filter_bar

    @property
    def cluster_state(self) -> ClusterState:
        """The cluster shown."""
        return self.entry_table.entries.cluster_state

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot shown."""
        return self._sample.snapshot

    @property
    def sampled_connections(self) -> str | None:
        """Id of the forward whose connections are shown; None for all, "" for none."""
        if self._connection_table.shows_all:
            return None
        forward = self.forward_table.current
        return forward.id if forward is not None else ""

    def header(self, width: int) -> HeaderContent:
        """Return the header of every screen."""
        return build_header(self.cluster_state, self.snapshot, width, self._sample.error)

    def on_mount(self) -> None:
        """Draw in the same frame what depends on a cursor, on the focus or on the filter."""
        # Tables that draw themselves send no event about their focus.
        self.watch(self, "focused", self._follow_focus, init=False)
        self.watch(self.entry_table, "cursor", self._draw_ports_of_cursor, init=False)
        self.watch(self._port_table, "cursor", self._refresh_keys, init=False)
        self.watch(self.forward_table, "cursor", self._draw_summary, init=False)
        self.watch(self._connection_table, "cursor", self._refresh_keys, init=False)
        self.watch(self._filter_bar, "text", self._apply_filter, init=False)
        self._draw()

    # Drawing ---------------------------------------------------------------------------------

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
        self._header.show(self.header)
        self.entry_table.draw()
        self._port_table.draw(self.entry_table.current)
        self.forward_table.draw()
        self._draw_summary()
        self._connection_table.draw(self.forward_table.current)
        self._fit_panes()

    def _fit_panes(self) -> None:
        """Fit the panes when forwards start or stop, or when an empty pane gets its first rows."""
        now = (
            frozenset(forward.id for forward in self.snapshot.forwards),
            self.forward_table.problem_lines,
            bool(self.entry_table.keys),
            bool(self._connection_table.keys),
        )
        if now != self._fitted_for:
            self._fitted_for = now
            self.body.fit()
        self._show_heads()

    def _content(self) -> Content:
        """Return the lines that each pane would show."""
        forwards = self.forward_table
        return Content(
            cluster=_lines_of(self.entry_table), ports=_lines_of(self._port_table),
            forwards=len(forwards.keys) or _lines_of(forwards), problems=forwards.problem_lines,
            connections=_lines_of(self._connection_table), has_forwards=bool(forwards.keys),
        )  # fmt: skip

    def _apply_layout(self, layout: PaneLayout) -> None:
        """Show column titles and second lines where there is room for them."""
        self._pane_layout = layout
        self._show_heads()
        self.forward_table.has_second_lines = layout.has_second_lines

    def _show_heads(self) -> None:
        """Show the column titles of panes that are high enough or have few rows."""
        layout = self._pane_layout
        for pane in layout.boxes if layout is not None else ():
            table = self.body.table(pane)
            rows = table.content_lines
            table.has_head = layout is not None and layout.has_head(pane, rows) and bool(rows)

    def _draw_ports_of_cursor(self) -> None:
        self._port_table.draw(self.entry_table.current)
        self._draw_strip()
        self._refresh_keys()

    def _draw_summary(self) -> None:
        self._draw_strip()
        self._refresh_keys()

    def _draw_strip(self) -> None:
        forward = self._described_forward()
        now, snapshot = self._clock(), self.snapshot
        entry = self.entry_table.current

        def build(width: int) -> Sequence[strip.Line]:
            if forward is not None:
                return strip.forward_lines(forward, snapshot.health, now, width)
            if entry is not None and self.body.focused_pane in (Pane.CLUSTER, Pane.PORTS):
                count = len(self.entry_table.forwards_of(entry.key))
                return (strip.entry_line(entry, snapshot.forwards, count),)
            return ()

        self._strip.show(build)

    def _described_forward(self) -> Forward | None:
        """Return the forward that the strip describes: that of the row under the cursor."""
        pane = self.body.focused_pane
        if pane is Pane.CLUSTER:
            return None
        if pane is Pane.PORTS:
            return self._port_table.current_forward
        return self.forward_table.current

    def _follow_focus(self) -> None:
        """Fit the panes to the focus and describe the row of the pane that has it now."""
        self.body.follow_focus(self.focused)
        self._draw_strip()

    def _refresh_keys(self) -> None:
        """Update the key bar when other keys work; Textual does so when the focus moves."""
        state = (
            bool(self.rows.forwards()),
            self._is_paused(),
            self._connection_table.shows_all,
            self._connection_table.shows_closed,
            self._needs_login,
            self.footer_prefix,
        )
        if state != self._key_state:  # it takes milliseconds
            self._key_state = state
            self.refresh_bindings()

    @property
    def footer(self) -> PaneFooter:
        """The keys of the focused pane."""
        pane = self.body.focused_pane
        if self.footer_prefix and pane in SELECTION_FOOTERS:
            return SELECTION_FOOTERS[pane]
        return FOOTERS[pane]

    @property
    def footer_prefix(self) -> str:
        """How many rows are selected in the focused pane."""
        return self.body.table(self.body.focused_pane).selection_text

    @property
    def urgent_keys(self) -> tuple[str, ...]:
        """Keys that are always shown: to log in, where that is needed for what is shown."""
        return ("app.log-in",) if self._needs_login else ()

    def key_words(self, binding: str) -> str:
        """Return what a key does now, if that differs from its usual words."""
        if binding == "forwards.pause" and self._is_paused():
            return "Continue"
        if binding == "panes.zoom" and self.body.is_zoomed:
            return "Zoom out"
        if binding == "connections.all" and self._connection_table.shows_all:
            return "This forward"
        if binding == "connections.closed" and self._connection_table.shows_closed:
            return "Hide closed"
        return ""

    def is_idle(self, binding: str) -> bool:
        """Return whether a key that acts on forwards has none to act on."""
        is_on_forwards = binding.startswith("forwards.") and binding != "forwards.log"
        return is_on_forwards and not self.rows.forwards()

    def _is_paused(self) -> bool:
        forwards = self.rows.forwards()
        return bool(forwards) and all(forward.paused for forward in forwards)

    @property
    def _needs_login(self) -> bool:
        health, snapshot = self.cluster_state.health, self._sample.snapshot
        waiting = [health, *snapshot.forwards]
        by_credentials = (
            one is not None and one.blocked_by is BlockedBy.CREDENTIALS for one in waiting
        )
        return bool(snapshot.logins) or any(by_credentials)

    # Filter, sort order and selection ----------------------------------------------------------

    @property
    def _filtered_table(self) -> EntryTable | ForwardTable:
        """The table that the filter applies to where the focus is."""
        in_forwards = self.body.focused_pane in (Pane.FORWARDS, Pane.CONNECTIONS)
        return self.forward_table if in_forwards else self.entry_table

    def action_filter(self) -> None:
        """Open the filter of the entries or of the forwards."""
        table = self._filtered_table
        label = "forwards" if table is self.forward_table else ""
        if not table.filter_query:
            self._row_before_filter = table.cursor
        self._filter_bar.open(table, table.filter_query.text, label=label)

    def _apply_filter(self, text: str) -> None:
        table = self._filter_bar.table
        if isinstance(table, EntryTable | ForwardTable):
            table.filter(text)
            if not text and self._row_before_filter is not None:
                table.follow(self._row_before_filter)
            self._draw_summary()

    def action_filter_state(self, state: str) -> None:
        """Show only forwards in a state; all of them for an empty text."""
        self.forward_table.filter(f"status:{state}" if state else "")
        self.body.focus_pane(Pane.FORWARDS)
        self._draw_summary()

    @property
    def _sorted_table(self) -> SortedTable:
        """The table to sort where the focus is; the ports have the order of their pod."""
        table = self.body.table(self.body.focused_pane)
        return table if isinstance(table, SortedTable) else self.entry_table

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

    def action_select(self, by: int = 1) -> None:
        """Select or unselect the row under the cursor and move by a row."""
        table = self.body.table(self.body.focused_pane)
        if table.cursor is None:
            self.notify("No row to select", severity="warning")
        else:
            table.toggle_mark(by)
            self._redraw(table)

    def action_select_all(self) -> None:
        """Select all rows that are shown, or none."""
        table = self.body.table(self.body.focused_pane)
        if table.keys:
            table.toggle_all_marks()
            self._redraw(table)
        else:
            self.notify("No row to select", severity="warning")

    def _redraw(self, table: RowTable) -> None:
        if table is self._connection_table:
            self._connection_table.draw(self.forward_table.current)
        elif isinstance(table, EntryTable | ForwardTable):
            table.draw()
        self._refresh_keys()

    def show_forward(self, forward: Forward) -> None:
        """Move to the row of a forward; a filter that hides it is cleared."""
        if forward.id not in self.forward_table.keys and self.forward_table.filter_query:
            self.forward_table.clear_filter()
        self.rows.go_to(forward)

    def show_entry(self, kind: EntryKind, key: str) -> None:
        """Show a kind of entries, and move to one of them unless the key is empty."""
        table = self.entry_table
        table.show_kind(kind)
        if key:
            if table.filter_query:
                table.clear_filter()
            table.unfold_to(key)
            table.follow(key)
        self.body.focus_pane(Pane.CLUSTER)
        self._draw_summary()

    def go_to(self, forward_id: str, always: bool) -> None:
        """Move the cursor of the forwards to one, unless they have the focus or `always`."""
        if always or self.body.focused_pane is not Pane.FORWARDS:
            self.forward_table.follow(forward_id)

    # Panes -------------------------------------------------------------------------------------

    def on_row_table_chosen(self, event: RowTable.Chosen) -> None:
        """Go to the ports, start a port, show a forward's details, or fold a group."""
        if event.table is self.entry_table:
            self.body.focus_pane(Pane.PORTS)
        elif event.table is self._port_table:
            self.rows.choose_port()
        elif event.table is self._connection_table:
            self.rows.go_to_forward_of_connection()
        elif event.table is self.forward_table:
            if self.forward_table.is_heading(event.key):
                self.forward_table.toggle_fold()
            else:
                self.post_message(messages.DetailRequested(event.key))

    def on_row_table_nothing_to_choose(self, event: RowTable.NothingToChoose) -> None:
        """Answer Enter in an empty table."""
        if self.body.pane_of(event.table) is not None:
            self.notify(self.rows.no_forward_text(), severity="warning")

    def on_row_table_header_clicked(self, event: RowTable.HeaderClicked) -> None:
        """Change the sort order."""
        event.table.focus()
        if isinstance(event.table, SortedTable):
            event.table.choose_sort(event.column)
            self._draw_summary()

    def on_row_table_title_clicked(self, event: RowTable.TitleClicked) -> None:
        """Focus the pane; show the next view where the title has the view."""
        event.table.focus()
        if event.table is self.entry_table and event.x < len(self.entry_table.title):
            self.action_next_view()

    def on_row_table_title_dragged(self, event: RowTable.TitleDragged) -> None:
        """Change the height of the pane whose title is dragged."""
        pane = self.body.pane_of(event.table)
        if pane is not None:
            self.body.resize_pane(pane, -event.by)

    def action_next_view(self, by: int = 1) -> None:
        """Show workloads, pods, services in turn."""
        self.entry_table.next_kind(by)
        self._draw_summary()

    def action_next_group(self) -> None:
        """Use the next grouping of the forwards."""
        self.forward_table.next_group()
        self.body.fit()
        self._draw_summary()

    def action_fold(self) -> None:
        """Fold a group of forwards, or the pods of a workload."""
        table = self.forward_table if self.focused is self.forward_table else self.entry_table
        table.fold(True)
        self.body.fit()

    def action_unfold(self) -> None:
        """Unfold a group of forwards or the pods of a workload, else go to the ports."""
        if self.focused is self.forward_table:
            self.forward_table.fold(False)
            self.body.fit()
        elif not self.entry_table.fold(False):
            self.body.focus_pane(Pane.PORTS)

    def action_next_pane(self, by: int = 1) -> None:
        """Go to the next pane, in the same order in every layout."""
        panes = list(Pane)
        self.body.focus_pane(panes[(panes.index(self.body.focused_pane) + by) % len(panes)])

    def action_cluster(self) -> None:
        """Go to the cluster."""
        self.body.focus_pane(Pane.CLUSTER)

    def action_next_problem(self) -> None:
        """Go to the next forward with a problem."""
        keys = self.forward_table.keys
        problems = [key for key in keys if key in self.forward_table.problems]
        if not problems:
            hidden = any(map(has_problem, self.snapshot.forwards))
            text = "No problem matches the filter. esc clears it." if hidden else "No problems"
            self.notify(text, severity="warning" if hidden else "information")
            return
        cursor = self.forward_table.cursor
        at = keys.index(cursor) if cursor in keys else -1
        is_there = self.body.focused_pane is Pane.FORWARDS
        start = at + 1 if is_there else 0
        after = [key for key in keys[start:] if key in problems]
        self.forward_table.follow(after[0] if after else problems[0])
        self.body.focus_pane(Pane.FORWARDS)

    def action_top_talkers(self) -> None:
        """Show the connections of all forwards."""
        self._connection_table.show_top_talkers()
        self._connection_table.draw(self.forward_table.current)
        self.body.focus_pane(Pane.CONNECTIONS)
        self.post_message(messages.SampleRequested())

    def action_all_connections(self) -> None:
        """Show the connections of all forwards, or of the selected one."""
        self._connection_table.shows_all = not self._connection_table.shows_all
        self._connection_table.draw(self.forward_table.current)
        self._refresh_keys()
        self.post_message(messages.SampleRequested())

    def action_closed_connections(self) -> None:
        """Show or hide closed connections."""
        self._connection_table.toggle_closed()
        self._connection_table.draw(self.forward_table.current)
        self._refresh_keys()

    def action_all_namespaces(self) -> None:
        """Show all namespaces, or the one before."""
        namespace = self.cluster_state.scope.namespace
        if namespace:
            self._namespace_before = namespace
            self.post_message(messages.NamespaceRequested(""))
        elif self._namespace_before:
            self.post_message(messages.NamespaceRequested(self._namespace_before))
        else:
            self.notify("All namespaces are shown. n chooses one.")

    def action_back(self) -> None:
        """Leave the selection, the filter or the zoom, one each time."""
        tables = (self.entry_table, self.forward_table, self._connection_table)
        if sum(table.unmark() for table in tables):
            self._draw()
        elif self._filtered_table.filter_query:
            self._filtered_table.clear_filter()
            if self._row_before_filter is not None:
                self._filtered_table.follow(self._row_before_filter)
            self._draw_summary()
        elif self.body.is_zoomed:
            self.body.action_zoom()

    # Rows --------------------------------------------------------------------------------------

    def action_start_port(self, number: int) -> None:
        """Start a declared port, numbered from 1, of the selected rows, or go to its forward."""
        self.rows.start_port(number)

    def action_all_ports(self) -> None:
        """Start all ports of the selected rows."""
        self.rows.start_all_ports()

    def action_form(self) -> None:
        """Open the form of a new forward."""
        self.rows.open_form()

    def action_favorite(self) -> None:
        """Add the entry under the cursor to the favorites or remove it."""
        if self.entry_table.cursor is None:
            self.notify("No row to act on", severity="warning")
        self.entry_table.toggle_favorite()

    def action_forward(self, action: str) -> None:
        """Request an action, the value of a `ForwardAction`, on the selected forwards."""
        self.rows.run(ForwardAction(action))

    def action_stop(self) -> None:
        """Stop the selected forwards."""
        self.rows.run(ForwardAction.STOP)

    def action_detail(self) -> None:
        """Show the details of the first selected forward."""
        self.rows.show_detail()

    def action_log(self) -> None:
        """Show the log of the pod of the first selected row."""
        self.rows.show_log()

    def action_describe(self) -> None:
        """Show the description of the row of the cluster."""
        self.rows.describe()

    def action_connection_detail(self) -> None:
        """Show the details of the forward of a connection."""
        self.rows.show_detail()

    def action_connection_log(self) -> None:
        """Show the log of the pod of a connection."""
        self.rows.show_log()

    def action_close_connections(self) -> None:
        """Close the selected connections."""
        self.rows.close_connections()

    def action_copy_client(self) -> None:
        """Copy the address of the client of a connection."""
        connection = self.rows.connection()
        if connection is not None:
            self.post_message(messages.CopyRequested(connection.client))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Return whether a key has a meaning in the focused pane."""
        if action == "filter":
            return not isinstance(self.focused, Input)
        if action in ("forward", "stop", "detail", "log"):
            return self.body.focused_pane is not Pane.CONNECTIONS
        return True


def _lines_of(table: RowTable) -> int:
    """Return the lines of a table's rows, or of its text without rows."""
    return table.content_lines or min(_MAX_EMPTY_LINES, table.empty.count("\n") + 1)
