"""Table of what can be forwarded: workloads, pods or services of the shown scope."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import BindingType

from tui_forward.model import Forward
from tui_forward.tui import messages
from tui_forward.tui.keys.dashboard_keys import CLUSTER_BINDINGS
from tui_forward.tui.storage.view_state import ViewState, enum_or_default
from tui_forward.tui.viewmodel import columns
from tui_forward.tui.viewmodel.cluster_state import WORKLOADS
from tui_forward.tui.viewmodel.entries import Entry, EntryKind
from tui_forward.tui.viewmodel.entry_list import EntryList
from tui_forward.tui.viewmodel.entry_rows import entry_row
from tui_forward.tui.viewmodel.entry_sorts import ENTRY_SORTS
from tui_forward.tui.viewmodel.entry_targets import ForwardsByEntry, is_forwardable
from tui_forward.tui.viewmodel.filter_query import FilterQuery, parse_query
from tui_forward.tui.viewmodel.rows import Row
from tui_forward.tui.widgets.sorted_table import SortedTable

_BEST_MATCH_SEARCH = 50  # rows


class EntryTable(SortedTable):
    """Entries of one scope, with kind, sort order, filter and folds."""

    BINDINGS: ClassVar[list[BindingType]] = CLUSTER_BINDINGS

    def __init__(self, entries: EntryList, clock: Callable[[], float]) -> None:
        super().__init__(columns.OBJECTS, id="browse", sorts=ENTRY_SORTS[entries.kind])
        self.entries = entries
        self._clock = clock
        self._forwards = ForwardsByEntry((), entries.cluster_state)

    def exists(self, key: str) -> bool:
        """Return whether the filter or a fold hides a row."""
        return self.entries.is_listed(key)

    @property
    def current(self) -> Entry | None:
        """The entry under the cursor."""
        return self.entries.entry(self.cursor) if self.cursor is not None else None

    @property
    def selected(self) -> list[Entry]:
        """The marked entries, or the one under the cursor."""
        return [entry for key in self.selected_keys if (entry := self.entries.entry(key))]

    @property
    def forwards_of_selected(self) -> list[Forward]:
        """The forwards that lead to the selected entries, each once."""
        found: dict[str, Forward] = {}
        for key in self.selected_keys:
            found.update({forward.id: forward for forward in self._forwards.of(key)})
        return list(found.values())

    def forwards_of(self, key: str) -> tuple[Forward, ...]:
        """Return the forwards that lead to an entry."""
        return self._forwards.of(key)

    def show_entries(self, entries: EntryList) -> None:
        """Show another scope with the same kind, sort order and filter."""
        entries.kind = self.entries.kind
        entries.query = self.entries.query
        self.entries = entries
        self.unmark()
        self.cursor_rules.pending = None

    def restore(self, state: ViewState, *, same_scope: bool) -> None:
        """Restore kind and sort order; filter and cursor only in the same scope."""
        self.entries.kind = enum_or_default(state.view, self.entries.kind)
        self.sorts = ENTRY_SORTS[self.entries.kind]
        self.restore_order(state.sort)
        if same_scope:
            self.entries.query = parse_query(state.query)
            self.cursor_rules.pending = state.row or None

    def set_forwards(self, forwards: ForwardsByEntry) -> None:
        """Set the forwards to mark; `draw` shows them."""
        self._forwards = forwards

    def draw(self) -> None:
        """Show the entries as they are now."""
        entries, now = self.entries, self._clock()
        self.sorts = ENTRY_SORTS[entries.kind]
        entries.order = self.order
        entries.room = self.row_lines or None
        entries.update()
        self.show_sort(self.order.column, descending=self.order.descending)
        with_namespace = not entries.cluster_state.scope.namespace
        self.empty = self._empty_text()
        self.rule.show(
            self._title_text(), (self.order_text,), total=entries.count if entries.query else None
        )

        services = entries.kind is EntryKind.SERVICES
        self.columns = columns.SERVICES if services else columns.OBJECTS

        def row(key: str) -> Row:
            entry = entries.entry(key)
            if entry is None:
                return Row(())
            return entry_row(
                entry, self._forwards.of(key), now,
                owner=entries.owner_name(key), fold=entries.fold_symbol(key),
                favorite=key in entries.favorites,
                marked=key in self.selection.marked, with_namespace=with_namespace,
                spans=entries.query.spans(entry.name) if entries.query else (),
                endpoints=entries.endpoints(entry),
                rule_below=key == entries.last_preferred,
            )  # fmt: skip

        tall = frozenset((entries.last_preferred,)) if entries.last_preferred else frozenset()
        self.show(entries.keys, row, longest=entries.longest, tall=tall)

    def _empty_text(self) -> str:
        cluster = self.entries.cluster_state
        resource = self._resource
        problem = cluster.resource_error(resource)
        if problem is not None:
            hints = [problem.hint] if problem.hint else []
            if problem.forbidden:
                hints += ["switch the namespace (n)", "enter a target (v)"]
            return problem.error + (f" → {', or '.join(hints)}" if hints else "")
        status = cluster.resources.get(resource)
        if status is None or not status.synced:
            return f"Loading {resource}…"
        if self.entries.query:
            return "No match. Press esc to clear the filter."
        return " · ".join([f"No {resource}", *self._missing_namespaces()])

    @property
    def _resource(self) -> str:
        return "services" if self.entries.kind is EntryKind.SERVICES else "pods"

    def _title_text(self) -> str:
        entries = self.entries
        scope = entries.cluster_state.scope
        kinds = " ".join(
            f"[{kind.value}]" if kind is entries.kind else kind.value for kind in EntryKind
        )
        parts = [kinds, scope.namespace or "all namespaces"]
        if entries.query:
            parts.append(f"/{entries.query.text.strip()}")
        if self.selection.marked:
            parts.append(self.selection.text)
        return " · ".join(parts + self._incomplete())

    def _incomplete(self) -> list[str]:
        """Return what a list that is not empty lacks."""
        entries, cluster = self.entries, self.entries.cluster_state
        if not entries.keys:
            return []
        parts = ["stale"] if cluster.resource_error(self._resource) else []
        if entries.kind is EntryKind.WORKLOADS:
            hidden = [
                status.resource
                for status in cluster.resources.values()
                if status.forbidden and status.resource in WORKLOADS
            ]
            if hidden:
                what = "workloads" if len(hidden) == len(WORKLOADS) else ", ".join(hidden)
                parts.append(f"no permission to list {what}")
        return parts + self._missing_namespaces()

    def _missing_namespaces(self) -> list[str]:
        """Return which namespaces the list of all namespaces lacks, and why."""
        resources = WORKLOADS if self.entries.kind is EntryKind.WORKLOADS else {self._resource}
        return self.entries.cluster_state.missing_namespaces(resources)

    @property
    def filter_query(self) -> FilterQuery:
        """The filter."""
        return self.entries.query

    def filter(self, text: str) -> None:
        """Filter and move the cursor to the best match, after the typed character is drawn.

        The list may have thousands of names; only the last of several pending filters is applied.
        """
        query = parse_query(text)
        self.entries.query = query
        self.cursor_rules.pending = None
        self.call_after_refresh(self._show_matches, query)

    def clear_filter(self) -> None:
        """Show everything."""
        self.entries.query = parse_query("")
        self.draw()

    def _show_matches(self, query: FilterQuery) -> None:
        if query is self.entries.query:
            self.draw()
            if query and self.entries.keys:
                self.cursor = self._best_match()

    def _best_match(self) -> str:
        """Return the first row that matches itself, not only by its pods."""
        entries = self.entries
        for key in entries.keys[:_BEST_MATCH_SEARCH]:
            entry = entries.entry(key)
            if entry is not None and entries.query.score(entry) is not None:
                return key
        return entries.keys[0]

    def open_form(self) -> None:
        """Request the form of a forward to the entry under the cursor."""
        if (entry := self.current) is not None:
            port = next(filter(is_forwardable, entry.ports), None)
            self.app.post_message(messages.ForwardFormRequested(entry, port))

    def toggle_favorite(self) -> None:
        """Request to add the entry under the cursor to the favorites or to remove it."""
        if self.cursor is not None:
            self.app.post_message(messages.FavoriteToggled(self.cursor))

    def next_kind(self, by: int = 1) -> None:
        """Show workloads, pods, services in turn."""
        kinds = list(EntryKind)
        self.show_kind(kinds[(kinds.index(self.entries.kind) + by) % len(kinds)])

    def show_kind(self, kind: EntryKind) -> None:
        """Show workloads, pods or services."""
        if kind is not self.entries.kind:
            self.entries.kind = kind
            self.unmark()
            self.draw()

    def unfold_to(self, key: str) -> None:
        """Unfold the workload of a pod."""
        parent = self.entries.parent(key)
        if parent is not None and self.entries.is_folded(parent):
            self.entries.folds[parent] = False
            self.draw()

    def redraw(self) -> None:
        """See `SortedTable`."""
        self.draw()

    def fold(self, on: bool) -> bool:
        """Fold or unfold the pods of the workload under the cursor or above it.

        Returns whether anything changed.
        """
        key, entries = self.cursor, self.entries
        if key is None or entries.kind is not EntryKind.WORKLOADS:
            return False
        candidates = (key, entries.parent(key)) if on else (key,)
        workload = next((one for one in candidates if one and entries.is_foldable(one)), None)
        if workload is None or entries.is_folded(workload) is on:
            return False
        entries.folds[workload] = on
        self.draw()
        self.cursor = workload
        return True
