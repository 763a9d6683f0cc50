"""Keys and clicks of the dashboard, each carried out by the part whose job it is."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.widgets import Input

from tui_forward.tui import messages
from tui_forward.tui.keys.dashboard_keys import DASHBOARD_BINDINGS
from tui_forward.tui.messages import ForwardAction
from tui_forward.tui.screens.filter_actions import FilterActions
from tui_forward.tui.screens.navigation import Navigation
from tui_forward.tui.screens.row_actions import RowActions
from tui_forward.tui.screens.view_actions import ViewActions
from tui_forward.tui.textual_internals.screens import StaticFocusScreen
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.pane_layout import Pane
from tui_forward.tui.widgets import row_messages
from tui_forward.tui.widgets.pane_body import PaneBody
from tui_forward.tui.widgets.pane_tables import PaneTables
from tui_forward.tui.widgets.sorted_table import SortedTable


class DashboardActions(StaticFocusScreen[None]):
    """Screen with the actions of the bindings in `dashboard_keys`; subclasses set its parts."""

    BINDINGS: ClassVar[list[BindingType]] = DASHBOARD_BINDINGS

    tables: PaneTables
    body: PaneBody
    rows: RowActions
    views: ViewActions
    filters: FilterActions
    navigation: Navigation

    def __init__(self) -> None:
        super().__init__()
        self._namespace_before = ""

    @property
    def cluster_state(self) -> ClusterState:
        """The cluster shown."""
        return self.tables.entries.entries.cluster_state

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Return whether a key has a meaning in the focused pane."""
        if action == "filter":
            return not isinstance(self.focused, Input)
        if action in ("forward", "stop", "detail", "log"):
            return self.body.focused_pane is not Pane.CONNECTIONS
        return True

    # The mouse, and Enter ----------------------------------------------------------------------

    def on_row_table_chosen(self, event: row_messages.Chosen) -> None:
        """Go to the ports, start a port, show a forward's details, or fold a group."""
        tables = self.tables
        if event.table is tables.entries:
            self.body.focus_pane(Pane.PORTS)
        elif event.table is tables.ports:
            self.rows.choose_port()
        elif event.table is tables.connections:
            self.rows.go_to_forward_of_connection()
        elif event.table is tables.forwards:
            if tables.forwards.is_heading(event.key):
                tables.forwards.toggle_fold()
            else:
                self.post_message(messages.DetailRequested(event.key))

    def on_row_table_nothing_to_choose(self, event: row_messages.NothingToChoose) -> None:
        """Answer Enter in an empty table."""
        if self.body.pane_of(event.table) is not None:
            self.notify(self.rows.no_forward_text(), severity="warning")

    def on_row_table_header_clicked(self, event: row_messages.HeaderClicked) -> None:
        """Change the sort order."""
        event.table.focus()
        if isinstance(event.table, SortedTable):
            self.views.sort_by(event.table, event.column)

    def on_row_table_title_clicked(self, event: row_messages.TitleClicked) -> None:
        """Focus the pane; show the next view where the title has the view."""
        event.table.focus()
        entries = self.tables.entries
        if event.table is entries and event.x < len(entries.rule.title):
            self.action_next_view()

    def on_row_table_title_dragged(self, event: row_messages.TitleDragged) -> None:
        """Change the height of the pane whose title is dragged."""
        pane = self.body.pane_of(event.table)
        if pane is not None:
            self.body.resize_pane(pane, -event.by)

    # Panes -------------------------------------------------------------------------------------

    def action_next_pane(self, by: int = 1) -> None:
        """Go to the next pane."""
        self.navigation.next_pane(by)

    def action_cluster(self) -> None:
        """Go to the cluster."""
        self.body.focus_pane(Pane.CLUSTER)

    def action_next_problem(self) -> None:
        """Go to the next forward with a problem."""
        self.navigation.next_problem()

    def action_back(self) -> None:
        """Leave the selection, the filter or the zoom, one each time."""
        if not self.views.unselect() and not self.filters.clear() and self.body.is_zoomed:
            self.body.action_zoom()

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

    # Views -------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        """Open the filter of the entries or of the forwards."""
        self.filters.open()

    def action_filter_state(self, state: str) -> None:
        """Show only forwards in a state; all of them for an empty text."""
        self.filters.show_state(state)

    def action_sort(self) -> None:
        """Ask for the column to sort the focused table by."""
        self.views.sort()

    def action_reverse_sort(self) -> None:
        """Reverse the order of the focused table."""
        self.views.reverse_sort()

    def action_select(self, by: int = 1) -> None:
        """Select or unselect the row under the cursor and move by a row."""
        self.views.select(by)

    def action_select_all(self) -> None:
        """Select all rows that are shown, or none."""
        self.views.select_all()

    def action_next_view(self, by: int = 1) -> None:
        """Show workloads, pods, services in turn."""
        self.views.next_kind(by)

    def action_next_group(self) -> None:
        """Use the next grouping of the forwards."""
        self.views.next_group()

    def action_fold(self) -> None:
        """Fold a group of forwards, or the pods of a workload."""
        self.views.fold()

    def action_unfold(self) -> None:
        """Unfold a group of forwards or the pods of a workload, else go to the ports."""
        self.views.unfold()

    def action_top_talkers(self) -> None:
        """Show the connections of all forwards."""
        self.views.show_top_talkers()

    def action_all_connections(self) -> None:
        """Show the connections of all forwards, or of the selected one."""
        self.views.toggle_all_connections()

    def action_closed_connections(self) -> None:
        """Show or hide closed connections."""
        self.views.toggle_closed_connections()

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
        if self.tables.entries.cursor is None:
            self.notify("No row to act on", severity="warning")
        self.tables.entries.toggle_favorite()

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
