"""Table of the active forwards of all contexts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import msgspec
from textual.binding import BindingType

from tui_forward.common.formatting import describe_other_engine
from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.model import DeclaredPort, Forward, OtherEngine, ProxyInfo
from tui_forward.tui.keys.dashboard_keys import FORWARD_BINDINGS
from tui_forward.tui.storage.view_state import ViewState, enum_or_default
from tui_forward.tui.viewmodel import columns, rows
from tui_forward.tui.viewmodel.chart import traffic_cells
from tui_forward.tui.viewmodel.context_names import ContextNaming
from tui_forward.tui.viewmodel.filter_query import FilterQuery, parse_query
from tui_forward.tui.viewmodel.forward_list import (
    FORWARD_SORTS,
    HEADING,
    ForwardGroup,
    GroupedForwards,
    Heading,
    ShownRanks,
    group_forwards,
)
from tui_forward.tui.viewmodel.forward_rows import (
    forward_labels,
    forward_row,
    has_problem,
    heading_row,
)
from tui_forward.tui.viewmodel.log_tail import sanitize_terminal_text
from tui_forward.tui.widgets.sorted_table import SortedTable

_EMPTY = "No active forwards. Select a row and press 1."
_NO_MATCH = "No forward matches the filter. Press esc to clear it."


class FilterableForward(msgspec.Struct, frozen=True):
    """Implements `Filterable`: `status:` is the state, `label:` the label of the spec."""

    forward: Forward

    @property
    def title(self) -> str:
        """See `Filterable`."""
        return self.forward.spec.target.name.lower()

    def mentions(self, text: str) -> bool:
        """See `Filterable`."""
        forward = self.forward
        pods = {share.pod.name for share in forward.pods}
        if forward.pod is not None:
            pods.add(forward.pod.name)
        parts = [
            rows.target_text(forward), _host(forward), forward.spec.target.context,
            forward.state.value,
            forward.spec.label, rows.local_text(forward), *sorted(pods), forward.id,
        ]  # fmt: skip
        return text in " ".join(parts).lower()

    @property
    def namespace(self) -> str:
        """See `Filterable`."""
        return self.forward.spec.target.namespace

    @property
    def kind(self) -> str:
        """See `Filterable`."""
        return self.forward.spec.target.kind.value

    @property
    def node(self) -> str:
        """See `Filterable`."""
        return self.forward.pod.node if self.forward.pod is not None else ""

    @property
    def status(self) -> str:
        """See `Filterable`."""
        return "paused" if self.forward.paused else self.forward.state.value

    @property
    def labels(self) -> Mapping[str, str]:
        """See `Filterable`."""
        return {self.forward.spec.label: ""} if self.forward.spec.label else {}

    @property
    def ports(self) -> tuple[DeclaredPort, ...]:
        """See `Filterable`: the remote port and the local ports."""
        port = self.forward.spec.target.port
        number = self.forward.remote_port or (int(port) if port.isdecimal() else 0)
        local_ports = [DeclaredPort(number=address.port) for address in self.forward.listening]
        return (DeclaredPort(number=number, name=port), *local_ports)


def _host(forward: Forward) -> str:
    """Return the name of the target in the cluster, by which a proxy was asked for it."""
    target = forward.spec.target
    return f"{target.name}.{target.namespace}" if forward.spec.proxy else ""


class ForwardTable(SortedTable):
    """Forwards, with sort order, groups that fold, and a filter."""

    BINDINGS: ClassVar[list[BindingType]] = FORWARD_BINDINGS

    def __init__(self, histories: TrafficHistories, clock: Callable[[], float]) -> None:
        super().__init__(columns.FORWARDS, id="forwards", sorts=FORWARD_SORTS)
        # Whether a forward that is neither ready nor paused has a second line: cause and fix.
        self.has_second_lines = False
        self.context = ""  # on view
        self.naming = ContextNaming()  # of contexts
        self.group = ForwardGroup.NONE
        self.filter_query: FilterQuery = parse_query("")
        self._histories = histories
        self._clock = clock
        self._forwards: dict[str, Forward] = {}
        self._grouped = GroupedForwards((), {})
        self._ranks = ShownRanks()
        # Rows and second lines to have room for: a filter leaves the pane as high as it was.
        self.wanted_rows = 0
        self.wanted_second_lines = 0
        self._folded: set[str] = set()
        self._other_engines: Sequence[OtherEngine] = ()
        self._proxies: Sequence[ProxyInfo] = ()

    @property
    def has_forwards(self) -> bool:
        """Whether there are any, also if the filter hides them."""
        return bool(self._forwards)

    def exists(self, key: str) -> bool:
        """Return whether the filter or a fold hides a row."""
        return key in self._forwards

    @property
    def current(self) -> Forward | None:
        """The forward under the cursor; None on a group's heading."""
        return self._forwards.get(self.cursor) if self.cursor else None

    @property
    def current_proxy(self) -> Heading | None:
        """The heading of a cluster proxy under the cursor; None on any other row."""
        heading = self._grouped.headings.get(self.cursor) if self.cursor else None
        return heading if heading is not None and heading.proxy is not None else None

    @property
    def forward_ids(self) -> list[str]:
        """Ids of the forwards that are shown, in their order."""
        return [key for key in self.keys if key in self._forwards]

    @property
    def problem_ids(self) -> list[str]:
        """Ids of those of them that have a problem."""
        return [key for key in self.forward_ids if key in self.rule.problems]

    @property
    def selected(self) -> list[Forward]:
        """The marked forwards or the one under the cursor; of a heading, its whole group."""
        found: dict[str, Forward] = {}
        for key in self.selected_keys:
            if (heading := self._grouped.headings.get(key)) is not None:
                found.update({forward.id: forward for forward in heading.members})
            elif key in self._forwards:
                found[key] = self._forwards[key]
        return list(found.values())

    def forward(self, forward_id: str) -> Forward | None:
        """Return a forward by its id."""
        return self._forwards.get(forward_id)

    def restore(self, state: ViewState, *, same_scope: bool) -> None:
        """Restore sort order and groups; the filter only in the same scope."""
        self.restore_order(state.forward_sort)
        self.group = enum_or_default(state.forward_group, self.group)
        if same_scope:
            self.filter_query = parse_query(state.forward_query)

    def set_forwards(
        self, forwards: Sequence[Forward], other_engines: Sequence[OtherEngine] = (),
        proxies: Sequence[ProxyInfo] = (),
    ) -> None:  # fmt: skip
        """Set forwards, engines that have others, and cluster proxies; `draw` shows them."""
        self._forwards = {forward.id: forward for forward in forwards}
        self._proxies = proxies
        self._other_engines = other_engines

    def redraw(self) -> None:
        """See `SortedTable`."""
        self.draw()

    def _group_title(self, heading: Heading) -> str:
        is_context = self.group is ForwardGroup.CONTEXT and heading.proxy is None
        return self.naming.name_of(heading.members) if is_context else heading.title

    def draw(self) -> None:
        """Show the forwards as they are now."""
        self.show_sort(self.order.column, descending=self.order.descending)
        now, query = self._clock(), self.filter_query
        ranks = self._ranks.update(self._forwards.values(), now)
        self._grouped = everything = self._group_rows(ranks, parse_query(""))
        if query:
            self._grouped = self._group_rows(ranks, query)
        self.rule.show(
            self._title_text(), (self.order_text or "problems first",),
            total=len(self._forwards) if query else None,
            problems=self._problem_keys(self._grouped),
        )  # fmt: skip
        self.empty = _NO_MATCH if query and self._forwards else self._empty_text()

        labels = forward_labels(self._forwards.values(), self.context, self.naming)
        self.columns = columns.forward_columns(labels.contexts.least_width)

        def row(key: str) -> rows.Row:
            heading = self._grouped.headings.get(key)
            if heading is not None:
                return heading_row(heading, self._group_title(heading))
            width = columns.SPARKLINE
            traffic = traffic_cells(
                self._histories.series(key, width), self._histories.ready(key, width), width
            )
            marked = key in self.selection.marked
            return forward_row(self._forwards[key], now, labels, traffic=traffic, marked=marked)

        second_lines = self._second_lines(self._grouped, now)
        tall = second_lines if self.has_second_lines else frozenset()
        self.show(self._grouped.keys, row, longest=labels.longest, tall=tall)
        # A filter may also show rows of groups that are folded without it.
        self.wanted_rows = max(len(everything.keys), len(self._grouped.keys))
        self.wanted_second_lines = max(len(self._second_lines(everything, now)), len(second_lines))

    def _group_rows(self, ranks: Mapping[str, int], query: FilterQuery) -> GroupedForwards:
        """Return the rows that match a query, in order."""
        return group_forwards(
            self._forwards.values(), order=self.order, ranks=ranks,
            group=self.group, folded=self._folded,
            matches=lambda forward: query.score(FilterableForward(forward)) is not None,
            proxies=self._proxies, is_filtered=bool(query),
        )  # fmt: skip

    def _problem_keys(self, grouped: GroupedForwards) -> frozenset[str]:
        """Return the keys of rows that are neither ready nor paused."""
        forwards = self._forwards
        return frozenset(
            key for key in grouped.keys if key in forwards and has_problem(forwards[key])
        )

    def _second_lines(self, grouped: GroupedForwards, now: float) -> frozenset[str]:
        """Return the keys of rows that have a second line where it fits."""
        return frozenset(
            key
            for key in self._problem_keys(grouped)
            if self._ranks.is_settled(self._forwards[key], now)
        )

    def _empty_text(self) -> str:
        others = map(describe_other_engine, self._other_engines)
        return "\n".join([_EMPTY, *map(sanitize_terminal_text, others)])

    def _title_text(self) -> str:
        parts = ["forwards"]
        if self.filter_query:
            parts.append(f"/{self.filter_query.text.strip()}")
        if self.group is not ForwardGroup.NONE:
            parts.append(f"grouped by {self.group.value}")
        if self.selection.marked:
            parts.append(self.selection.text)
        return " · ".join(parts)

    def filter(self, text: str) -> None:
        """Show only forwards that match a filter."""
        self.filter_query = parse_query(text)
        self.draw()

    def clear_filter(self) -> None:
        """Show all forwards."""
        self.filter("")

    def next_group(self) -> None:
        """Group by namespace, profile, label, context, or not at all, in turn."""
        groups = list(ForwardGroup)
        self.group = groups[(groups.index(self.group) + 1) % len(groups)]
        self.draw()

    @staticmethod
    def is_heading(key: str) -> bool:
        """Whether a row is the heading of a group."""
        return key.startswith(HEADING)

    def toggle_fold(self) -> None:
        """Fold or unfold the group whose heading is under the cursor."""
        if self.cursor is not None and self.is_heading(self.cursor):
            self._folded ^= {self.cursor}
            self.draw()

    def fold(self, on: bool) -> None:
        """Fold or unfold the group whose heading is under the cursor."""
        key = self.cursor
        if key is not None and self.is_heading(key) and (key in self._folded) is not on:
            self.toggle_fold()
