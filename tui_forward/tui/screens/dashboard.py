"""Main screen of the dashboard: cluster, ports, forwards and connections.

The screen draws the samples it is given and posts messages for everything to be done; it never
calls the session and never waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from textual.app import ComposeResult

from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.model import CatalogScope, MissingPermissions, Snapshot
from tui_forward.tui import messages
from tui_forward.tui.screens.dashboard_actions import DashboardActions
from tui_forward.tui.screens.dashboard_footer import DashboardFooter
from tui_forward.tui.screens.filter_actions import FilterActions
from tui_forward.tui.screens.navigation import Navigation
from tui_forward.tui.screens.row_actions import RowActions
from tui_forward.tui.screens.sample_renderer import DashboardSample, SampleRenderer
from tui_forward.tui.screens.view_actions import ViewActions
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.viewmodel.context_names import ContextNaming
from tui_forward.tui.viewmodel.entry_list import EntryList
from tui_forward.tui.viewmodel.header import HeaderContent
from tui_forward.tui.viewmodel.inspector import Inspection
from tui_forward.tui.widgets.connection_table import ConnectionTable
from tui_forward.tui.widgets.entry_table import EntryTable
from tui_forward.tui.widgets.filter_bar import FilterBar
from tui_forward.tui.widgets.forward_table import ForwardTable
from tui_forward.tui.widgets.key_bar import KeyBar
from tui_forward.tui.widgets.pane_tables import PaneTables
from tui_forward.tui.widgets.port_table import PortTable


class Dashboard(DashboardActions):
    """Header, panes and keys, made of the parts that draw samples and carry out keys."""

    CSS_PATH = stylesheet("dashboard.tcss")
    AUTO_FOCUS = "#browse"

    def __init__(
        self, entries: EntryList, histories: TrafficHistories, *,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        super().__init__()
        forwards = ForwardTable(histories, clock)
        self.tables = tables = PaneTables(
            EntryTable(entries, clock), PortTable(), forwards,
            ConnectionTable(forwards.forward, clock),
        )  # fmt: skip
        for table in tables.by_pane().values():
            table.rule.shows_position = table is not tables.ports
        self._inspected: str | None = None  # id of the forward that is read for the inspector
        self._permissions_of: CatalogScope | None = None  # the namespace under the cursor
        self._renderer = renderer = SampleRenderer(tables, clock)
        self.body = body = renderer.body
        on_change = self._describe_cursor
        self.navigation = Navigation(self, renderer, tables, on_change)
        self.rows = RowActions(
            self, body, tables, lambda: self.cluster_state.scope, self.navigation.go_to_forward
        )
        self.views = ViewActions(self, body, tables, on_change)
        self.footer = DashboardFooter(self, renderer, tables, self.rows)
        self._key_bar = KeyBar(self.footer)
        self._filter_bar = FilterBar(self._key_bar, id="filter")
        self.filters = FilterActions(self._filter_bar, body, tables, on_change)

    def compose(self) -> ComposeResult:
        """Arrange the panes between the header line and the keys."""
        yield self._renderer.header_bar
        yield self.body
        yield self._key_bar
        yield self._filter_bar

    def on_mount(self) -> None:
        """Draw in the same frame what depends on a cursor, on the focus or on the filter."""
        tables = self.tables
        # Tables that draw themselves send no event about their focus.
        self.watch(self, "focused", self._follow_focus, init=False)
        self.watch(tables.entries, "cursor", self._draw_ports_of_cursor, init=False)
        self.watch(tables.ports, "cursor", self.footer.refresh, init=False)
        self.watch(tables.forwards, "cursor", self._describe_cursor, init=False)
        self.watch(tables.connections, "cursor", self.footer.refresh, init=False)
        self.watch(self._filter_bar, "text", self.filters.apply, init=False)
        self._draw()

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot shown."""
        return self._renderer.sample.snapshot

    @property
    def counts_seconds(self) -> bool:
        """Whether the last sample has ages or countdowns in seconds."""
        return self._renderer.counts_seconds

    @property
    def sampled_connections(self) -> str | None:
        """Id of the forward whose connections are shown; None for all, "" for none."""
        if self.tables.connections.shows_all:
            return None
        forward = self.tables.forwards.current
        return forward.id if forward is not None else ""

    def header(self, width: int) -> HeaderContent:
        """Return the header of every screen."""
        return self._renderer.header(width)

    @property
    def naming(self) -> ContextNaming:
        """How contexts are named."""
        return self._renderer.naming

    def name_contexts(self, naming: ContextNaming) -> None:
        """Set how contexts are named, here and on other screens."""
        self._renderer.naming = naming
        self.tables.forwards.naming = self.tables.connections.naming = naming
        if self.is_mounted:
            self._draw()

    def draw_inspection(self, inspection: Inspection) -> None:
        """Show what has been read about a forward in the inspector."""
        self._renderer.inspection = inspection
        self._renderer.draw_strip()

    def draw_in_turns(self, sample: DashboardSample) -> Iterator[None]:
        """Show a sample, a part with each value; when the screen is mounted if it is not now.

        Between the parts, keys may be handled.
        """
        self._renderer.sample = sample
        if self.is_mounted:
            self._renderer.draw_cluster()
            yield
            self._renderer.draw_forwards()
            self._after_draw()

    def draw_first_frame(self) -> None:
        """Draw the lines and columns for which there turned out to be room."""
        self._draw()

    def _draw(self) -> None:
        self._renderer.draw()
        self._after_draw()

    def _after_draw(self) -> None:
        self._inspect()
        self._request_permissions()
        self.footer.refresh()

    def _follow_focus(self) -> None:
        """Fit the panes to the focus and describe the row of the pane that has it now."""
        self.body.follow_focus(self.focused)
        self._draw_strip()
        self.footer.note_focus()

    def _draw_strip(self) -> None:
        self._renderer.draw_strip()
        self._inspect()
        self._request_permissions()

    def _inspect(self) -> None:
        """Request what the inspector shows when it shows another forward."""
        inspected = self._renderer.inspected
        if inspected != self._inspected:
            self._inspected = inspected
            self.post_message(messages.InspectionRequested(inspected))

    def _request_permissions(self) -> None:
        """Request what the user may not do when the cursor gets to another namespace."""
        scope = self._renderer.namespace_of_cursor
        if scope != self._permissions_of:
            self._permissions_of = scope
            self.post_message(messages.PermissionsRequested(scope))

    def show_missing_permissions(self, missing: MissingPermissions) -> None:
        """Show what the user may not do in a namespace."""
        if self.tables.ports.set_missing_permissions(missing):
            self.tables.redraw(self.tables.ports)
            self._renderer.draw_strip()

    def _draw_ports_of_cursor(self) -> None:
        self.tables.redraw(self.tables.ports)
        self._renderer.fit_panes()
        self._describe_cursor()

    def _describe_cursor(self) -> None:
        """Describe the row under the cursor, and show the keys that work on it."""
        self._draw_strip()
        self.footer.refresh()
