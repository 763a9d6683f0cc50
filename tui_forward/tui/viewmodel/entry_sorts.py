"""Sort orders of the entry list, by its columns. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tui_forward.model import Service
from tui_forward.tui.viewmodel.entries import Entry, EntryKind
from tui_forward.tui.viewmodel.entry_rows import cluster_ip, status_style
from tui_forward.tui.viewmodel.sorting import Descending, SortColumn, SortOrder

_SEVERITY: Final[Mapping[str, int]] = {"bad": 0, "warn": 1, "ok": 2, "dim": 3}

ENDPOINTS: Final = "endpoints"
_NAME: Final = SortColumn("name", "n", "name")
_AGE: Final = SortColumn("age", "a", "age", descending=True)
_OBJECT_SORTS: Final = (
    _NAME, SortColumn("ready", "r", "ready"), SortColumn("status", "s", "status"),
    SortColumn("restarts", "e", "restarts", descending=True), _AGE, SortColumn("node", "d", "node"),
)  # fmt: skip
ENTRY_SORTS: Final[Mapping[EntryKind, tuple[SortColumn, ...]]] = {
    EntryKind.WORKLOADS: _OBJECT_SORTS,
    EntryKind.PODS: _OBJECT_SORTS,
    EntryKind.SERVICES: (
        _NAME, SortColumn(ENDPOINTS, "e", "endpoints"), SortColumn("ports", "p", "ports"),
        SortColumn("type", "t", "type"),
        SortColumn("ip", "i", "cluster IP"), _AGE,
    ),
}  # fmt: skip


def sort_value(entry: Entry, order: SortOrder, endpoints: int | None = None) -> Any:
    """Return what entries are sorted by before their names; `endpoints` are those of a service."""
    if order.column == ENDPOINTS:
        value: Any = -1 if endpoints is None else endpoints
    else:
        value = _VALUES[order.column](entry)
    return Descending(value) if order.descending else value


def is_sorted(kind: EntryKind, order: SortOrder) -> bool:
    """Return whether entries of a kind have the column of an order."""
    return any(one.key == order.column for one in ENTRY_SORTS[kind])


def _ready_share(entry: Entry) -> float:
    """Return which part is ready; all of none."""
    return (entry.ready or 0) / entry.total if entry.total else 1.0


def _ports(entry: Entry) -> tuple[int, ...]:
    return tuple(port.number for port in entry.ports)


_VALUES: Final[Mapping[str, Callable[[Entry], Any]]] = {
    "name": lambda entry: entry.name,
    "ready": _ready_share,
    # The problems first.
    "status": lambda entry: (_SEVERITY[status_style(entry)], entry.status_text),
    "restarts": lambda entry: entry.restarts,
    # The oldest have the greatest age.
    "age": lambda entry: -entry.created_at,
    "node": lambda entry: entry.node,
    "ports": _ports,
    "type": lambda entry: entry.status_text,
    "ip": lambda entry: cluster_ip(entry.item) if isinstance(entry.item, Service) else "",
}
