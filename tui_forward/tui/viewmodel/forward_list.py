"""Sorting, grouping and filtering of the forwards table. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum
from pathlib import PurePath
from typing import Any, Final

import msgspec

from tui_forward.model import Forward, ForwardState, ProxyInfo
from tui_forward.tui.viewmodel.proxy_text import proxy_address
from tui_forward.tui.viewmodel.rows import pod_text
from tui_forward.tui.viewmodel.sorting import DEFAULT_ORDER, Descending, SortColumn, SortOrder

HEADING = "#"  # starts the key of a heading row; forward ids never start with it


class ForwardGroup(StrEnum):
    """Attribute to group forwards by."""

    NONE = "none"
    NAMESPACE = "namespace"
    PROFILE = "profile"
    LABEL = "label"
    CONTEXT = "context"


PAUSED_RANK: Final = 6
# States that need the user first, then those that need time.
_SEVERITY_ORDER: dict[ForwardState, int] = {
    ForwardState.BLOCKED: 0, ForwardState.RECONNECTING: 1, ForwardState.WAITING: 2,
    ForwardState.CONNECTING: 3, ForwardState.STARTING: 4, ForwardState.READY: 5,
    ForwardState.STOPPED: 6,
}  # fmt: skip


class Heading(msgspec.Struct, frozen=True):
    """One group."""

    key: str
    title: str  # the namespace, profile, label or context, or "no …"
    members: tuple[Forward, ...]  # its forwards, also hidden ones
    folded: bool
    proxy: ProxyInfo | None = None  # the cluster proxy whose targets the members are


class GroupedForwards(msgspec.Struct, frozen=True):
    """Row keys in order, and headings by key."""

    keys: tuple[str, ...]
    headings: dict[str, Heading]


def state_rank(forward: Forward) -> int:
    """Return the place of a forward's state: problems first, paused last."""
    return PAUSED_RANK if forward.paused else _SEVERITY_ORDER[forward.state]


SETTLE_S: Final = (
    3.0  # a forward moves up after so long without, and down after so long with, a pod
)
_OF_A_START: Final = frozenset({ForwardState.STARTING, ForwardState.CONNECTING})
_DELAYED: Final = frozenset({ForwardState.RECONNECTING, ForwardState.READY})


class ShownRanks:
    """Ranks of forwards as the table shows them, so that a short reconnect moves no row.

    A ready forward that reconnects moves up after `SETTLE_S`, and one that is ready again moves
    down after `SETTLE_S`; all other changes move it at once.
    """

    def __init__(self) -> None:
        self._shown: dict[str, int] = {}
        self._pending: dict[str, tuple[int, float]] = {}  # the next rank, and since when

    def update(self, forwards: Iterable[Forward], now: float) -> Mapping[str, int]:
        """Return the ranks by id at a time in epoch seconds."""
        before, self._shown = self._shown, {}
        pending, self._pending = self._pending, {}
        for forward in forwards:
            rank, shown = state_rank(forward), before.get(forward.id)
            self._shown[forward.id] = rank
            if shown is None or shown == rank or forward.state not in _DELAYED or forward.paused:
                continue
            if forward.state is ForwardState.RECONNECTING and shown != _READY_RANK:
                continue
            waited_for, since = pending.get(forward.id, (rank, min(forward.since, now)))
            if waited_for != rank:
                since = now
            if now - since < SETTLE_S:
                self._shown[forward.id] = shown
                self._pending[forward.id] = (rank, since)
        return self._shown

    def is_settled(self, forward: Forward, now: float) -> bool:
        """Return whether a state has lasted so long that the row may get a second line.

        Like the order, the lines of rows stay during a short reconnect and during a start.
        """
        if forward.state in _OF_A_START:
            return now - forward.started_at >= SETTLE_S
        return forward.id not in self._pending


_READY_RANK: Final = _SEVERITY_ORDER[ForwardState.READY]


def group_forwards(
    forwards: Iterable[Forward], *, order: SortOrder = DEFAULT_ORDER,
    ranks: Mapping[str, int] | None = None,
    group: ForwardGroup = ForwardGroup.NONE, folded: Collection[str] = (),
    matches: Callable[[Forward], bool] = lambda _forward: True,
    proxies: Collection[ProxyInfo] = (), is_filtered: bool = False,
) -> GroupedForwards:  # fmt: skip
    """Filter, sort and group forwards, given oldest first; fold groups by heading key.

    `ranks` are those of `ShownRanks`; without them, states are sorted as they are. The targets of
    each of the `proxies` are a group of their own, after the others; one without any is left out
    if the rows are filtered.
    """
    included = sorted(filter(matches, forwards), key=_number)
    value = _SORT_VALUES.get(order.column)
    if value is None:
        included.sort(key=lambda one: (ranks or {}).get(one.id, state_rank(one)))
    elif order.descending:
        included.sort(key=lambda one: Descending(value(one)))
    else:
        included.sort(key=value)
    targets: dict[str, list[Forward]] = {proxy.id: [] for proxy in proxies}
    own = [forward for forward in included if forward.spec.proxy not in targets]
    for forward in included:
        if forward.spec.proxy in targets:
            targets[forward.spec.proxy].append(forward)
    headings = [] if group is ForwardGroup.NONE else _attribute_headings(own, group, folded)
    keys = [forward.id for forward in own] if group is ForwardGroup.NONE else []
    for proxy in proxies:
        if targets[proxy.id] or not is_filtered:
            key, title = f"{HEADING}proxy:{proxy.id}", f"proxy {proxy_address(proxy)}"
            members = tuple(targets[proxy.id])
            headings.append(Heading(key, title, members, key in folded, proxy))
    for heading in headings:
        keys.append(heading.key)
        if not heading.folded:
            keys += [forward.id for forward in heading.members]
    return GroupedForwards(tuple(keys), {heading.key: heading for heading in headings})


def _attribute_headings(
    forwards: Iterable[Forward], group: ForwardGroup, folded: Collection[str]
) -> list[Heading]:
    """Return a heading for each value of an attribute; forwards without it come last."""
    groups: dict[str, list[Forward]] = {}
    for forward in forwards:
        groups.setdefault(_group_of(forward, group), []).append(forward)
    headings = []
    for name in sorted(groups, key=lambda name: (not name, name)):
        key = f"{HEADING}{group.value}:{name}"
        title = name or f"no {group.value}"
        headings.append(Heading(key, title, tuple(groups[name]), key in folded))
    return headings


def _group_of(forward: Forward, group: ForwardGroup) -> str:
    target = forward.spec.target
    if group is ForwardGroup.NAMESPACE:
        return target.namespace
    if group is ForwardGroup.PROFILE:
        # A team profile has its path as id; show the folder name.
        name = PurePath(forward.spec.profile)
        return name.parent.name if name.is_absolute() else forward.spec.profile
    return forward.spec.label if group is ForwardGroup.LABEL else target.context


def _number(forward: Forward) -> tuple[float, int]:
    digits = forward.id.lstrip("f")
    return (forward.started_at, int(digits) if digits.isdecimal() else 0)


def _magnitude(rate: float) -> int:
    """Return the bit length of a rate, so that equal ranks are within a factor of two."""
    return int(rate).bit_length()


def _uptime_order(forward: Forward) -> float:
    return -forward.since


def _local_port(forward: Forward) -> int:
    ports = [address.port for address in forward.listening]
    return min(ports, default=forward.spec.local_port or 0)


_SORT_VALUES: Final[Mapping[str, Callable[[Forward], Any]]] = {
    "state": state_rank,
    "context": lambda one: one.spec.target.context,
    "namespace": lambda one: one.spec.target.namespace,
    "target": lambda one: (one.spec.target.name, one.spec.target.kind, one.spec.target.port),
    "local": _local_port,
    "connections": lambda one: one.counters.connections_open,
    # Rounded, so that rows do not swap at every sample.
    "down_rate": lambda one: _magnitude(one.counters.rate_from_pod),
    "up_rate": lambda one: _magnitude(one.counters.rate_to_pod),
    "uptime": _uptime_order,
    "down_total": lambda one: one.counters.bytes_from_pod,
    "up_total": lambda one: one.counters.bytes_to_pod,
    "pod": pod_text,
}

FORWARD_SORTS: Final = (
    SortColumn("state", "s", "state"), SortColumn("context", "c", "context"),
    SortColumn("namespace", "n", "ns"), SortColumn("target", "t", "target"),
    SortColumn("local", "l", "local"), SortColumn("connections", "o", "conns", descending=True),
    SortColumn("down_rate", "d", "↓ rate", descending=True),
    SortColumn("up_rate", "u", "↑ rate", descending=True),
    SortColumn("uptime", "i", "uptime", descending=True),
    SortColumn("down_total", "w", "↓ total", descending=True),
    SortColumn("up_total", "p", "↑ total", descending=True), SortColumn("pod", "e", "pod"),
)  # fmt: skip
