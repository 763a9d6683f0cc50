"""The dashboard's one main screen: what the cluster offers, what is forwarded, who uses it.

The screen draws samples it is given and asks the app to act (`wishes`); it never waits for
anything.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.geometry import Size
from textual.widgets import Input

from tui_forward.common.formatting import sparkline
from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.errors import TuiForwardError
from tui_forward.model import Connection, DeclaredPort, Forward, Snapshot
from tui_forward.tui import messages
from tui_forward.tui.messages import ForwardAction
from tui_forward.tui.storage.view_state import Place
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals import StaticFocusScreen
from tui_forward.tui.viewmodel import columns, rows
from tui_forward.tui.viewmodel.cluster_state import WORKLOADS, ClusterState
from tui_forward.tui.viewmodel.entries import Entry
from tui_forward.tui.viewmodel.entry_list import EntryKind, EntryList, EntrySort
from tui_forward.tui.viewmodel.entry_rows import DIGITS, entry_row, port_row
from tui_forward.tui.viewmodel.entry_targets import ForwardsByEntry, forward_on, is_forwardable
from tui_forward.tui.viewmodel.filter_query import FilterQuery, parse_query
from tui_forward.tui.viewmodel.forward_filter import FilterableForward
from tui_forward.tui.viewmodel.forward_list import (
    HEADING,
    ForwardGroup,
    ForwardSort,
    GroupedForwards,
    group_forwards,
)
from tui_forward.tui.widgets.filter_bar import FilterBar
from tui_forward.tui.widgets.key_bar import KeyBar
from tui_forward.tui.widgets.row_table import RowTable
from tui_forward.tui.widgets.status_line import StatusLine

# Which key acts on which panes: the footer shows what works where one is.
_BROWSING = frozenset({"browse", "ports"})
_NONE_ON = "No forward is on: choose a row above and press 1"
_NONE_FOUND = "No forward matches the filter (esc clears it)"


E = TypeVar("E", bound=StrEnum)


class Clock(Protocol):
    """Seconds since the epoch."""

    def __call__(self) -> float:
        """The present time."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the app has just learnt.

    Attributes:
        snapshot: The session.
        connections: Of the forward the screen looks at, or of all.
        trouble: Why this may be out of date.
    """

    snapshot: Snapshot
    connections: tuple[Connection, ...] = ()
    error: TuiForwardError | None = None


class Dashboard(StaticFocusScreen[None]):
    """Workloads, pods, services and their ports; forwards; connections.

    Args:
        listing: What the cluster offers; replaced by `show`.
        histories: What flowed lately; the app keeps it current.
        clock: For ages and countdowns.
    """

    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - as Textual declares it
        (0, "-narrow"), (70, "-normal"), (120, "-wide"),
    ]  # fmt: skip
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012 - likewise
        (0, "-low"), (22, "-middle"), (40, "-high"),
    ]  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "toggle_nth(1)", "Port", key_display="1-9", id="ports.1",
                tooltip="Switch the port with this number on or off"),
        *(Binding(str(n), f"toggle_nth({n})", show=False, id=f"ports.{n}",
                  tooltip="Switch the port with this number on or off") for n in range(2, 10)),
        Binding("space", "switch", "Switch", show=False, id="ports.switch",
                tooltip="Switch what the cursor is on: a port on or off, a forward to pause or on"),
        Binding("a", "all_ports", "All", show=False, id="ports.all",
                tooltip="Forward all ports of the chosen rows"),
        Binding("f", "form", "Form", id="ports.form",
                tooltip="Forward with a local port, address, label, … of your choice"),
        # Before anything else, so that what is typed behind it finds the filter open.
        Binding("slash", "filter", "Filter", priority=True, id="browse.filter",
                tooltip="Search: words, ns: label: port: node: status: kind: !not"),
        Binding("t", "next_view", "View", id="browse.view",
                tooltip="Workloads, pods or services"),
        Binding("s", "next_sort", "Sort", show=False, id="browse.sort", tooltip="Another order"),
        Binding("asterisk", "star", "Star", show=False, id="browse.star",
                tooltip="Favourites come first"),
        Binding("m", "mark", "Mark", show=False, id="browse.mark",
                tooltip="Choose several rows, then act on all of them"),
        Binding("left,right", "fold", "Fold", show=False, id="browse.fold",
                tooltip="Fold the pods of a workload or a group of forwards away, or unfold them"),
        Binding("d", "detail", "Detail", show=False, id="forwards.detail",
                tooltip="Everything about the forward: chart, timeline, connections"),
        Binding("o", "forward('open')", "Open", show=False, id="forwards.open",
                tooltip="Show it in the browser"),
        Binding("y", "forward('copy')", "Copy", id="forwards.copy",
                tooltip="Copy the local address to the clipboard"),
        Binding("p", "forward('pause')", "Pause", show=False, id="forwards.pause",
                tooltip="Stop forwarding but keep the local port; again to go on"),
        Binding("e", "forward('edit')", "Edit", show=False, id="forwards.edit",
                tooltip="Change local port, address, label, …; starts it anew"),
        Binding("r", "forward('reconnect')", "Reconnect", show=False, id="forwards.reconnect",
                tooltip="Try again now"),
        Binding("x", "end", "Stop", id="forwards.stop",
                tooltip="Stop the forward, or end the connection; u brings a forward back"),
        Binding("b", "next_group", "Group", show=False, id="forwards.group",
                tooltip="Group forwards by namespace, profile, label or context"),
        Binding("l", "all_connections", "All", show=False, id="connections.all",
                tooltip="Connections of the chosen forward, or of all"),
        Binding("z", "zoom", "Zoom", show=False, id="panes.zoom",
                tooltip="Give the pane the whole screen, and back"),
        Binding("escape", "back", "Back", show=False, id="panes.back",
                tooltip="Leave the zoom, the marks, the filter: one at a time"),
    ]  # fmt: skip
    CSS_PATH = stylesheet("dashboard.tcss")
    AUTO_FOCUS = "#browse"

    def __init__(
        self, listing: EntryList, histories: TrafficHistories, *, clock: Clock = time.time
    ) -> None:
        super().__init__()
        self._clock = clock
        self._listing = listing
        self._histories = histories
        self._sample = Sample(Snapshot(version=0, at=0.0))
        self._forwards: dict[str, Forward] = {}
        self._by_entry = ForwardsByEntry((), "", listing.picture)
        self._arranged = GroupedForwards((), {})
        self._sort = ForwardSort.STARTED
        self._group = ForwardGroup.NONE
        self._folded: set[str] = set()
        self._forward_query: FilterQuery = parse_query("")
        self._connections: dict[str, Connection] = {}
        self._offered: tuple[object, ...] = ()
        self.of_all = False
        # Kept, not queried: a sample may come while the screen is being built or taken down.
        self._header = StatusLine(title_may_go=True, id="header")
        self._keys = KeyBar()
        self._filter = FilterBar(self._keys, id="filter")
        self._browse = RowTable(columns.ENTRIES, id="browse")
        self._ports = RowTable(columns.PORTS, id="ports")
        self._forward_table = RowTable(columns.FORWARDS, id="forwards")
        self._detail = StatusLine(id="detail")
        self._connection_table = RowTable(columns.CONNECTIONS, id="connections")

    def compose(self) -> ComposeResult:
        """Three rows of panes between a head line and the keys."""
        yield self._header
        with Horizontal(id="offer"):
            yield self._browse
            yield self._ports
        yield self._forward_table
        yield self._detail
        yield self._connection_table
        yield self._keys
        yield self._filter

    # What is chosen.

    @property
    def picture(self) -> ClusterState:
        """The cluster on show."""
        return self._listing.picture

    @property
    def entry(self) -> Entry | None:
        """The entry under the cursor."""
        key = self._browse.cursor
        return self._listing.entry(key) if key is not None else None

    @property
    def chosen_forward(self) -> Forward | None:
        """The forward under the cursor of their table."""
        key = self._forward_table.cursor
        return self._forwards.get(key) if key else None

    @property
    def wanted_connections(self) -> str | None:
        """Whose connections are to be sampled: a forward's id, None for all, "" for nobody's."""
        if self.of_all:
            return None
        forward = self.chosen_forward
        return forward.id if forward is not None else ""

    @property
    def _pane(self) -> str:
        return self.focused.id or "" if self.focused is not None else ""

    def _port_under_cursor(self) -> tuple[Entry, DeclaredPort] | None:
        entry, key = self.entry, self._ports.cursor
        if entry is None or key is None:
            return None
        place = int(key.rpartition("#")[2])
        return (entry, entry.ports[place]) if place < len(entry.ports) else None

    def _selected_forwards(self) -> list[Forward]:
        """The forwards that a key means where one is."""
        pane = self._pane
        if pane == "ports":
            chosen = self._port_under_cursor()
            forward = self._forward_on(*chosen) if chosen is not None else None
            return [forward] if forward is not None else []
        if pane == "browse":
            found: dict[str, Forward] = {}
            for key in self._browse.selected_keys:
                found.update({forward.id: forward for forward in self._by_entry.of(key)})
            return list(found.values())
        found = {}
        for key in self._forward_table.selected_keys:
            if (heading := self._arranged.headings.get(key)) is not None:
                found.update({forward.id: forward for forward in heading.members})
            elif key in self._forwards:
                found[key] = self._forwards[key]
        return list(found.values())

    def _forward_on(self, entry: Entry, port: DeclaredPort) -> Forward | None:
        context = self.picture.scope.context
        return forward_on(self._forwards.values(), context, entry, port)

    # Drawing.

    def show(self, listing: EntryList) -> None:
        """Look at another part of a cluster, or at another cluster."""
        listing.view, listing.sort = self._listing.view, self._listing.sort
        listing.query = self._listing.query
        self._listing = listing
        self._browse.unmark()
        self._browse.pending_cursor = None

    def view_state(self, origin: tuple[str, str]) -> Place:
        """Where the person is, to be taken up again.

        Args:
            origin: See `Place`.
        """
        listing, scope = self._listing, self.picture.scope
        return Place(
            origin=origin, context=scope.context, namespace=scope.namespace,
            view=listing.view, sort=listing.sort, query=listing.query.text,
            row=self._browse.pending_cursor or self._browse.cursor or "",
            forward_sort=self._sort, forward_group=self._group,
            forward_query=self._forward_query.text,
        )  # fmt: skip

    def restore_view_state(self, place: Place) -> None:
        """Show things as they were; what is filtered and chosen, only if it is the same place."""
        listing, scope = self._listing, self.picture.scope
        listing.view = _known(EntryKind, place.view, listing.view)
        listing.sort = _known(EntrySort, place.sort, listing.sort)
        self._sort = _known(ForwardSort, place.forward_sort, self._sort)
        self._group = _known(ForwardGroup, place.forward_group, self._group)
        if (place.context, place.namespace) == (scope.context, scope.namespace):
            listing.query = parse_query(place.query)
            self._forward_query = parse_query(place.forward_query)
            self._browse.pending_cursor = place.row or None

    def draw(self, sample: Sample) -> None:
        """Show a sample; as soon as there is a screen, if there is none yet."""
        self._sample = sample
        if self.is_mounted:
            self._draw()

    def _draw(self) -> None:
        sample = self._sample
        self._forwards = {forward.id: forward for forward in sample.snapshot.forwards}
        self._by_entry = ForwardsByEntry(
            sample.snapshot.forwards, self.picture.scope.context, self.picture
        )
        # Newest first: what has just happened is what one looks for.
        self._connections = {str(one.id): one for one in reversed(sample.connections)}
        self._draw_header()
        self._draw_browse()
        self._draw_ports()
        self._draw_forwards()
        self._draw_connections()
        self._offer_keys()

    def _draw_header(self) -> None:
        sample, picture = self._sample, self.picture
        scope, health = picture.scope, picture.health
        cells = rows.header_cells(scope.context, scope.namespace, health, sample.snapshot)
        if sample.error is not None:
            cells = (cells[0], rows.Cell(f"■ {sample.error.message}", "bad"))
        elif health is not None and health.ok is False:
            words = f"API ✗ {health.error}" + (f" → {health.hint}" if health.hint else "")
            cells = (*cells[:3], rows.Cell(words, "bad"))
        self._header.show(cells)

    def _draw_browse(self) -> None:
        listing, table, now = self._listing, self._browse, self._clock()
        listing.update()
        with_namespace = not self.picture.scope.namespace
        table.empty = self._why_empty()
        table.title = self._browse_title()

        def row(key: str) -> rows.Row:
            entry = listing.entry(key)
            if entry is None:
                return rows.Row(())
            fold = ""
            if listing.folds(key):
                fold = "▸" if key in listing.folded and not listing.query else "▾"
            return entry_row(
                entry, self._by_entry.of(key), now,
                depth=listing.depth(key), fold=fold, favourite=key in listing.favourites,
                marked=key in table.marked, with_namespace=with_namespace,
                spans=listing.query.spans(entry.name) if listing.query else (),
            )  # fmt: skip

        table.show(listing.keys, row)

    def _why_empty(self) -> str:
        what = "services" if self._listing.view is EntryKind.SERVICES else "pods"
        trouble = self.picture.resource_error(what)
        if trouble is not None:
            hints = [trouble.hint] if trouble.hint else []
            if trouble.forbidden:
                hints += ["look at another namespace (n)", "type what to forward (v)"]
            return trouble.error + (f" → {', or '.join(hints)}" if hints else "")
        status = self.picture.resources.get(what)
        if status is None or not status.synced:
            return f"Listing {what} …"
        if self._listing.query:
            return "Nothing matches the filter (esc clears it)"
        return f"No {what} here"

    def _browse_title(self) -> str:
        listing = self._listing
        parts = [f"{listing.view.value} of {self.picture.scope.namespace or 'all namespaces'}"]
        if listing.query:
            parts.append(f"/{listing.query.text.strip()} ({len(listing.keys)})")
        if listing.sort is not EntrySort.NAME:
            parts.append(f"by {listing.sort.value}")
        if self._browse.marked:
            parts.append(f"{len(self._browse.marked)} marked")
        parts += self._not_live()
        return " · ".join(parts)

    def _not_live(self) -> list[str]:
        """What the list lacks, though it is not empty."""
        listing = self._listing
        if not listing.keys:
            return []
        what = "services" if listing.view is EntryKind.SERVICES else "pods"
        parts = ["stale"] if self.picture.resource_error(what) else []
        if listing.view is EntryKind.WORKLOADS:
            hidden = [
                status.resource
                for status in self.picture.resources.values()
                if status.forbidden and status.resource in WORKLOADS
            ]
            if hidden:
                what = "workloads" if len(hidden) == len(WORKLOADS) else ", ".join(hidden)
                parts.append(f"you may not list {what}")
        return parts

    def _draw_ports(self) -> None:
        table, entry = self._ports, self.entry
        if entry is None:
            table.empty, table.title = "", "ports"
            table.show((), lambda _key: rows.Row(()))
            return
        table.empty = "No declared ports"
        table.title = f"ports of {entry.name}"

        def row(key: str) -> rows.Row:
            place = int(key.rpartition("#")[2])
            port = entry.ports[place]
            return port_row(place, port, self._forward_on(entry, port))

        table.show(tuple(f"{entry.key}#{place}" for place in range(len(entry.ports))), row)

    def _draw_forwards(self) -> None:
        table, now, query = self._forward_table, self._clock(), self._forward_query
        self._arranged = group_forwards(
            self._forwards.values(), sort=self._sort, group=self._group, folded=self._folded,
            wanted=lambda forward: query.score(FilterableForward(forward)) is not None,
        )  # fmt: skip
        table.title = self._forwards_title()
        table.empty = _NONE_FOUND if query and self._forwards else _NONE_ON

        def row(key: str) -> rows.Row:
            heading = self._arranged.headings.get(key)
            if heading is not None:
                return rows.heading_row(heading)
            return rows.forward_row(
                self._forwards[key], now,
                sparkline=sparkline(
                    self._histories.series(key, columns.SPARKLINE), columns.SPARKLINE
                ),
                marked=key in table.marked,
            )  # fmt: skip

        table.show(self._arranged.keys, row)
        self._detail.show(rows.detail_text(self.chosen_forward, now))

    def _forwards_title(self) -> str:
        parts = ["forwards"]
        if self._forward_query:
            parts.append(f"/{self._forward_query.text.strip()}")
        if self._sort is not ForwardSort.STARTED:
            parts.append(f"by {self._sort.value}")
        if self._group is not ForwardGroup.NONE:
            parts.append(f"in {self._group.value}s")
        if self._forward_table.marked:
            parts.append(f"{len(self._forward_table.marked)} marked")
        return " · ".join(parts)

    def _draw_connections(self) -> None:
        now, table, forward = self._clock(), self._connection_table, self.chosen_forward
        table.columns = columns.ALL_CONNECTIONS if self.of_all else columns.CONNECTIONS
        if self.of_all:
            table.title, table.empty = "connections of all forwards", "No connection yet"
        else:
            table.empty = "" if forward is None else "No connection yet"
            table.title = f"connections of {forward.spec.target}" if forward else "connections"

        def row(key: str) -> rows.Row:
            connection = self._connections[key]
            target = None
            if self.of_all:
                owner = self._forwards.get(connection.forward_id)
                target = rows.target_text(owner) if owner is not None else ""
            return rows.connection_row(connection, now, target=target)

        table.show(tuple(self._connections), row)

    def _offer_keys(self) -> None:
        """Redraw the footer when other keys work now; it is not free."""
        # That another pane has other keys, Textual knows itself.
        offered = bool(self._selected_forwards()), bool(self._connections), self.entry is not None
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    # Moving about.

    def on_mount(self) -> None:
        """Whatever depends on a cursor follows it at once."""
        self.watch(self._browse, "cursor", self._follow_entry, init=False)
        self.watch(self._forward_table, "cursor", self._follow_forward, init=False)
        self.watch(self._filter, "text", self._search, init=False)
        self._draw()

    def fit_to_size(self, size: Size) -> None:
        """Get ready for a terminal of this size, so that the first styles are the right ones."""
        for breakpoints, extent in (
            (self.HORIZONTAL_BREAKPOINTS, size.width), (self.VERTICAL_BREAKPOINTS, size.height),
        ):  # fmt: skip
            name = next(name for limit, name in reversed(breakpoints) if extent >= limit)
            self.add_class(name, update=False)

    def _follow_entry(self) -> None:
        self._draw_ports()
        self._offer_keys()

    def _follow_forward(self) -> None:
        self._detail.show(rows.detail_text(self.chosen_forward, self._clock()))
        self._offer_keys()

    def on_row_table_chosen(self, event: RowTable.Chosen) -> None:
        """Enter: go on to the ports, switch a port, show all of a forward."""
        if event.table is self._browse:
            self._ports.focus()
        elif event.table is self._ports:
            self.action_switch()
        elif event.table is self._forward_table:
            if event.key.startswith(HEADING):
                self.action_fold()
            else:
                self.post_message(messages.DetailRequested(event.key))

    def on_row_table_header_clicked(self, event: RowTable.HeaderClicked) -> None:
        """A click on a head changes the order."""
        event.table.focus()
        if event.table in (self._browse, self._forward_table):
            self.action_next_sort()

    # The filter.

    def action_filter(self) -> None:
        """Search in what the cluster offers, or in the forwards."""
        forwards = self._pane in ("forwards", "connections")
        query = self._forward_query if forwards else self._listing.query
        table = self._forward_table if forwards else self._browse
        self._filter.open("forwards" if forwards else "browse", query.text, table)

    def _search(self, text: str) -> None:
        """Narrow while one types."""
        query = parse_query(text)
        if self._filter.what == "forwards":
            self._forward_query = query
            self._draw_forwards()
        else:
            self._listing.query = query
            self._browse.pending_cursor = None
            # Letters first: of ten thousand names, a few are judged in a millisecond.
            self.call_after_refresh(self._show_found, query)

    def _show_found(self, query: FilterQuery) -> None:
        """The list, with the best match under the cursor; not if one has typed on meanwhile."""
        if query is self._listing.query:
            self._draw_browse()
            if query and self._listing.keys:
                self._browse.cursor = self._best_match()
            self._draw_ports()

    def _best_match(self) -> str:
        """The first row that matches itself, not only by what is beneath it."""
        listing = self._listing
        for key in listing.keys[:50]:
            entry = listing.entry(key)
            if entry is not None and listing.query.score(entry) is not None:
                return key
        return listing.keys[0]

    # Keys: the offer.

    def action_next_view(self) -> None:
        """Workloads, pods, services, and round again."""
        views = list(EntryKind)
        self._listing.view = views[(views.index(self._listing.view) + 1) % len(views)]
        self._browse.unmark()
        self._draw_browse()
        self._draw_ports()

    def action_next_sort(self) -> None:
        """The next order of the table one is in."""
        if self._pane in _BROWSING:
            sorts = list(EntrySort)
            self._listing.sort = sorts[(sorts.index(self._listing.sort) + 1) % len(sorts)]
            self._draw_browse()
        else:
            orders = list(ForwardSort)
            self._sort = orders[(orders.index(self._sort) + 1) % len(orders)]
            self._draw_forwards()

    def action_star(self) -> None:
        """Make the entry a favourite, or not any more."""
        if self._browse.cursor is not None:
            self.post_message(messages.FavoriteToggled(self._browse.cursor))

    def action_mark(self) -> None:
        """Choose one more row."""
        if self._pane == "forwards":
            self._forward_table.toggle_mark()
            self._draw_forwards()
        elif self._pane == "browse":
            self._browse.toggle_mark()
            self._draw_browse()

    def action_fold(self) -> None:
        """Fold away what is beneath the row, or what it is part of; or unfold it."""
        if self._pane == "forwards":
            key = self._forward_table.cursor
            if key is not None and key.startswith(HEADING):
                self._folded ^= {key}
                self._draw_forwards()
            return
        key, listing = self._browse.cursor, self._listing
        if key is None or listing.view is not EntryKind.WORKLOADS:
            return
        parent = next(
            (one for one in (key, listing.parent(key)) if one and listing.folds(one)), None
        )
        if parent is not None:
            listing.folded ^= {parent}
            self._draw_browse()
            self._browse.cursor = parent

    def action_toggle_nth(self, number: int) -> None:
        """Switch the n-th declared port of the chosen rows."""
        keys = self._browse.selected_keys
        wanted: list[tuple[Entry, DeclaredPort]] = []
        for key in keys:
            entry = self._listing.entry(key)
            if entry is None:
                continue
            if number <= len(entry.ports) and is_forwardable(entry.ports[number - 1]):
                wanted.append((entry, entry.ports[number - 1]))
            elif len(keys) == 1:
                self._cannot(entry, number)
        if not keys:
            self.notify("Choose a row first", severity="warning")
        self._wish_ports(wanted, toggle=True)

    def _cannot(self, entry: Entry, number: int) -> None:
        count = len(entry.ports)
        if number <= count:
            why = f"{entry.ports[number - 1].protocol.value} cannot be forwarded"
        elif count:
            why = f"{entry.name} declares only {count}"
        else:
            why = f"{entry.name} declares no ports"
        self.notify(why, severity="warning", markup=False)

    def _wish_ports(self, ports: list[tuple[Entry, DeclaredPort]], *, toggle: bool) -> None:
        if ports:
            self.post_message(messages.ForwardPortsRequested(ports, toggle=toggle))
            self._browse.unmark()

    def action_all_ports(self) -> None:
        """Forward all ports of the chosen rows."""
        entries = [
            entry for key in self._browse.selected_keys if (entry := self._listing.entry(key))
        ]
        ports = [(entry, port) for entry in entries for port in entry.ports if is_forwardable(port)]
        if not ports and entries:
            self.notify("No port here can be forwarded", severity="warning")
        self._wish_ports(ports[: DIGITS * 20], toggle=False)

    def action_form(self) -> None:
        """Ask how a port is to be forwarded."""
        entry = self.entry
        if entry is None:
            return
        chosen = self._port_under_cursor() if self._pane == "ports" else None
        port = chosen[1] if chosen is not None else next(filter(is_forwardable, entry.ports), None)
        if port is not None and not is_forwardable(port):
            self._cannot(entry, entry.ports.index(port) + 1)
            return
        self.post_message(messages.ForwardFormRequested(entry, port))

    def action_switch(self) -> None:
        """Switch what the cursor is on."""
        pane = self._pane
        if pane == "browse":
            self.action_toggle_nth(1)
        elif pane == "ports":
            chosen = self._port_under_cursor()
            if chosen is not None:
                entry, port = chosen
                if is_forwardable(port):
                    self._wish_ports([chosen], toggle=True)
                else:
                    self._cannot(entry, entry.ports.index(port) + 1)
        elif pane == "forwards":
            self.action_forward(ForwardAction.PAUSE.value)

    # Keys: forwards and connections.

    def action_forward(self, wish: str) -> None:
        """Do something with the forwards that are meant."""
        forwards = self._selected_forwards()
        if forwards:
            ids = [forward.id for forward in forwards]
            self.post_message(messages.ForwardActionRequested(ids, ForwardAction(wish)))
            self._forward_table.unmark()

    def action_detail(self) -> None:
        """Show everything about a forward."""
        forwards = self._selected_forwards()
        if forwards:
            self.post_message(messages.DetailRequested(forwards[0].id))

    def action_end(self) -> None:
        """Stop forwards, or end connections."""
        if self._pane != "connections":
            self.action_forward(ForwardAction.STOP.value)
        elif self._connection_table.cursor is not None:
            ids = [int(key) for key in self._connection_table.selected_keys]
            self.post_message(messages.CloseConnectionsRequested(ids))

    def action_next_group(self) -> None:
        """By namespace, profile, label, context, or not at all."""
        groups = list(ForwardGroup)
        self._group = groups[(groups.index(self._group) + 1) % len(groups)]
        self._draw_forwards()

    def action_all_connections(self) -> None:
        """Those of all forwards, or of the chosen one."""
        self.of_all = not self.of_all
        self._draw_connections()

    # Keys: panes.

    def action_zoom(self) -> None:
        """Give the pane the whole screen, or take it back."""
        if self.maximized is not None:
            self.minimize()
        elif isinstance(self.focused, RowTable):
            self.maximize(self.focused, container=False)

    def action_back(self) -> None:
        """Undo what narrows the view: zoom, marks, the filter; one at a time."""
        if self.maximized is not None:
            self.minimize()
        elif self._browse.unmark() or self._forward_table.unmark():
            self.draw(self._sample)
        elif self._pane in ("forwards", "connections") and self._forward_query:
            self._forward_query = parse_query("")
            self._draw_forwards()
        elif self._listing.query:
            self._listing.query = parse_query("")
            self._draw_browse()
            self._draw_ports()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Keys that would do nothing are not offered."""
        pane = self._pane
        if action == "filter":
            return not isinstance(self.focused, Input)
        if action in ("forward", "detail"):
            return bool(self._selected_forwards())
        if action == "end":
            return (
                bool(self._connections)
                if pane == "connections"
                else bool(self._selected_forwards())
            )
        if action in ("toggle_nth", "all_ports", "star", "form"):
            return self.entry is not None
        if action == "next_view":
            return pane in _BROWSING
        return True


def _known(kind: type[E], name: str, otherwise: E) -> E:
    """A choice by its name, which a version of before or after may have written."""
    try:
        return kind(name)
    except ValueError:
        return otherwise
