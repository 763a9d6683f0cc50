"""Draws a sample of the session in the header, the panes and the strip of the dashboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from tui_forward.errors import TuiForwardError
from tui_forward.model import CatalogScope, Connection, Snapshot
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.context_names import ContextNaming
from tui_forward.tui.viewmodel.counting import counts_seconds
from tui_forward.tui.viewmodel.entry_targets import ForwardsByEntry
from tui_forward.tui.viewmodel.header import HeaderContent, build_header
from tui_forward.tui.viewmodel.inspector import Inspection, StripSubject
from tui_forward.tui.viewmodel.pane_layout import INSPECTOR_LINES, Content, Pane, PaneLayout
from tui_forward.tui.widgets.header_bar import HeaderBar
from tui_forward.tui.widgets.lines_view import StripBar
from tui_forward.tui.widgets.pane_body import PaneBody
from tui_forward.tui.widgets.pane_tables import PaneTables
from tui_forward.tui.widgets.row_table import RowTable

_MAX_EMPTY_LINES = 3  # of a text in an empty pane


class DashboardSample(msgspec.Struct, frozen=True):
    """State of the session at one moment."""

    snapshot: Snapshot
    # Of the forwards in `Dashboard.sampled_connections`, oldest first.
    connections: Sequence[Connection] = ()
    error: TuiForwardError | None = None  # why the sample may be out of date


class SampleRenderer:
    """The widgets that show a sample.

    They are kept, not queried: a sample may come before they are mounted or after they are
    removed.
    """

    def __init__(self, tables: PaneTables, clock: Callable[[], float]) -> None:
        self.sample = DashboardSample(Snapshot(version=0, at=0.0))
        self.header_bar = HeaderBar()
        self._tables = tables
        self._clock = clock
        self._strip = StripBar(id="strip")
        self.naming = ContextNaming()
        self.inspection = Inspection()
        self._fitted_for: tuple[object, ...] = ()
        self._pane_layout: PaneLayout | None = None
        self.body = PaneBody(tables.by_pane(), self._strip, self._content, self._apply_layout)

    @property
    def cluster_state(self) -> ClusterState:
        """The cluster shown."""
        return self._tables.entries.entries.cluster_state

    def header(self, width: int) -> HeaderContent:
        """Return the header of every screen."""
        sample = self.sample
        return build_header(
            self.cluster_state, sample.snapshot, width, sample.error, naming=self.naming
        )

    def draw(self) -> None:
        """Draw the sample; needs mounted widgets."""
        self.draw_cluster()
        self.draw_forwards()

    def draw_cluster(self) -> None:
        """Draw the panes of the cluster."""
        cluster, tables = self.cluster_state, self._tables
        forwards = self.sample.snapshot.forwards
        tables.entries.set_forwards(ForwardsByEntry(forwards, cluster))
        tables.ports.set_forwards(cluster.scope, forwards)
        tables.entries.draw()
        tables.ports.draw(tables.entries.current)

    def draw_forwards(self) -> None:
        """Draw the header and the panes of forwards, then fit all panes."""
        sample, tables = self.sample, self._tables
        snapshot, context = sample.snapshot, self.cluster_state.scope.context
        tables.forwards.set_forwards(snapshot.forwards, snapshot.other_engines, snapshot.proxies)
        tables.forwards.context = tables.connections.context = context
        tables.connections.set_connections(sample.connections)
        self.header_bar.show(self.header)
        tables.forwards.draw()
        self.draw_strip()
        tables.connections.draw(tables.forwards.current)
        self.fit_panes()

    def fit_panes(self) -> None:
        """Fit the panes when their content needs it.

        When forwards start or stop or are grouped, when an empty pane gets its first rows, and for
        longer names of ports.
        """
        tables = self._tables
        now = (
            frozenset(forward.id for forward in self.sample.snapshot.forwards),
            frozenset(proxy.id for proxy in self.sample.snapshot.proxies),
            tables.forwards.wanted_rows,
            tables.forwards.wanted_second_lines,
            bool(tables.entries.keys),
            bool(tables.connections.keys),
            tables.ports.natural_width,
        )
        if now != self._fitted_for:
            self._fitted_for = now
            self.body.fit()
        self._show_heads()

    def _content(self) -> Content:
        """Return the lines that each pane would show."""
        tables, forwards = self._tables, self._tables.forwards
        return Content(
            cluster=_lines_of(tables.entries), ports=_lines_of(tables.ports),
            forwards=forwards.wanted_rows or _lines_of(forwards),
            problems=forwards.wanted_second_lines,
            connections=_lines_of(tables.connections), has_forwards=bool(forwards.wanted_rows),
            ports_width=tables.ports.natural_width,
        )  # fmt: skip

    def _apply_layout(self, layout: PaneLayout) -> None:
        """Show column titles and second lines where there is room for them."""
        self._pane_layout = layout
        self._show_heads()
        self._tables.forwards.has_second_lines = layout.has_second_lines
        for pane in layout.boxes:
            self.body.table(pane).rule.show_zoom(self.body.is_zoomed)

    def _show_heads(self) -> None:
        """Show the column titles of panes that are high enough or have few rows."""
        layout = self._pane_layout
        for pane in layout.boxes if layout is not None else ():
            table = self.body.table(pane)
            rows = table.content_lines
            table.has_head = layout is not None and layout.has_head(pane, rows) and bool(rows)

    def draw_strip(self) -> None:
        """Describe the row under the cursor of the focused pane."""
        pane, tables = self.body.focused_pane, self._tables
        forward = tables.forwards.current
        has_entry = pane is Pane.CLUSTER
        if pane is Pane.PORTS:
            has_entry = tables.ports.current_forward is None
            forward = tables.ports.current_forward or forward
        entry = tables.entries.current if has_entry else None
        count = len(tables.entries.forwards_of(entry.key)) if entry is not None else 0
        lacking = tables.ports.missing_permissions_of(entry) if entry is not None else ()
        subject = StripSubject(
            entry, forward, self.sample.snapshot, self.inspection, self._clock(), count, lacking
        )
        self._strip.show(subject.lines)

    @property
    def namespace_of_cursor(self) -> CatalogScope | None:
        """The namespace of the row under the cursor of the cluster; None without a row."""
        entry, scope = self._tables.entries.current, self.cluster_state.scope
        if entry is None or not entry.namespace:
            return None
        return CatalogScope(scope.context, entry.namespace, scope.options)

    @property
    def counts_seconds(self) -> bool:
        """Whether the sample has ages or countdowns in seconds."""
        sample, cluster = self.sample, self.cluster_state
        return counts_seconds(
            sample.snapshot, sample.connections, cluster.health, cluster.newest_at, self._clock()
        )

    @property
    def inspected(self) -> str | None:
        """Id of the forward whose chain the inspector shows; None without an inspector."""
        if self._strip.size.height < INSPECTOR_LINES:
            return None
        tables = self._tables
        on_ports = self.body.focused_pane is Pane.PORTS
        forward = (tables.ports.current_forward if on_ports else None) or tables.forwards.current
        return forward.id if forward is not None else None


def _lines_of(table: RowTable) -> int:
    """Return the lines of a table's rows, or of its text without rows."""
    return table.content_lines or min(_MAX_EMPTY_LINES, table.empty.count("\n") + 1)
