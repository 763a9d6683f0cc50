"""Rows of the connections table, and which connections it shows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tui_forward.common.formatting import format_age, format_rate, milliseconds, short_age
from tui_forward.model import Connection, ConnectionState, Forward, ReasonCode
from tui_forward.tui.viewmodel import columns
from tui_forward.tui.viewmodel.cell_layout import HIDDEN, longest_cell
from tui_forward.tui.viewmodel.context_names import (
    PLAIN_NAMING,
    ContextNames,
    ContextNaming,
    UsedContext,
    context_of,
)
from tui_forward.tui.viewmodel.forward_rows import rate_cell, target_cell, total_cell
from tui_forward.tui.viewmodel.rows import EMPTY, Cell, Row
from tui_forward.tui.viewmodel.sorting import Descending, SortColumn, SortOrder
from tui_forward.tui.viewmodel.thresholds import Figure, figure_style

_LONG_S = 99.5  # of waiting, from which minutes are shown
_QUEUED, _DRAINING, _FLOWING, _CLOSED = range(4)
MAX_CLOSED = 20  # latest closed connections that are shown of one forward
_POSITIONS = {column.key: at for at, column in enumerate(columns.CONNECTIONS)}
_UNMEASURED = (0,) * len(columns.CONNECTIONS)

_GOING = frozenset({ReasonCode.POD_TERMINATING, ReasonCode.POD_DELETED})
_ENDED_BY_CLUSTER = frozenset(
    {
        ReasonCode.CONNECTION_POD_DELETED,
        ReasonCode.CONNECTION_POD_EVICTED,
        ReasonCode.CONNECTION_POD_ENDED,
        ReasonCode.CONNECTION_CONTAINER_ENDED,
        ReasonCode.CONNECTION_CONTAINER_RESTARTED,
        ReasonCode.CONNECTION_SANDBOX_RECREATED,
    }
)


def is_draining(connection: Connection) -> bool:
    """Return whether the pod of an open connection terminates."""
    return connection.state is not ConnectionState.CLOSED and connection.code in _GOING


def shown_connections(
    connections: Iterable[Connection], *, with_closed: bool = True
) -> tuple[Connection, ...]:
    """Return those that are not closed, and the latest closed ones."""
    listed = list(connections)
    active = [one for one in listed if one.state is not ConnectionState.CLOSED]
    if not with_closed:
        return tuple(active)
    closed = [one for one in listed if one.state is ConnectionState.CLOSED]
    closed.sort(key=lambda one: (one.closed_at or 0.0, one.id), reverse=True)
    return (*active, *closed[:MAX_CLOSED])


def sort_connections(
    connections: Iterable[Connection], order: SortOrder, labels: ConnectionLabels
) -> list[Connection]:
    """Return connections in an order, closed ones last; by default queued, draining, ↓ rate."""
    found = sorted(connections, key=lambda one: (one.opened_at, one.id))
    value = _SORT_VALUES.get(order.column)
    if value is not None:
        by = value
        if order.descending:
            found.sort(key=lambda one: Descending(by(one, labels)))
        else:
            found.sort(key=lambda one: by(one, labels))
    else:
        found.sort(key=lambda one: -_magnitude(one.rate_from_pod))
        found.sort(key=_state_rank)
    found.sort(key=lambda one: one.state is ConnectionState.CLOSED)
    if value is None:
        active = [one for one in found if one.state is not ConnectionState.CLOSED]
        closed = found[len(active) :]
        closed.sort(key=lambda one: one.closed_at or 0.0, reverse=True)
        return active + closed
    return found


def _state_rank(connection: Connection) -> int:
    if connection.state is ConnectionState.CLOSED:
        return _CLOSED
    if connection.state is ConnectionState.QUEUED:
        return _QUEUED
    return _DRAINING if is_draining(connection) else _FLOWING


def _magnitude(rate: float) -> int:
    """Return the bit length of a rate, so that rows do not swap at every sample."""
    return int(rate).bit_length()


class ConnectionLabels(msgspec.Struct, frozen=True):
    """What connections of one table are called: forward and context only for several forwards."""

    contexts: ContextNames
    forwards: dict[str, Cell]  # targets by id
    context_by_forward: dict[str, UsedContext]
    longest: tuple[int, ...]  # see `cell_layout.fit`


def connection_labels(
    connections: Sequence[Connection], forwards: Iterable[Forward], context: str, now: float, *,
    of_all: bool = False, naming: ContextNaming = PLAIN_NAMING,
) -> ConnectionLabels:  # fmt: skip
    """Return the labels of connections, of all forwards or of one."""
    used = {one.forward_id for one in connections}
    owners = [one for one in forwards if one.id in used]
    used_contexts = {one.id: context_of(one) for one in owners}
    contexts = naming.names(used_contexts.values())
    targets = {one.id: target_cell(one) for one in owners}
    with_context = of_all and (
        contexts.has_protected or any(one.context != context for one in used_contexts.values())
    )
    longest = list(_UNMEASURED)
    measured: dict[str, Collection[str]] = {
        "process": {one.process for one in connections},
        "client": {one.client for one in connections},
        "pod": {one.pod for one in connections},
        "context": contexts.texts,
        "forward": [cell.text for cell in targets.values()],
        "state": {state_cell(one, now).text for one in connections},
    }
    for key, texts in measured.items():
        longest[_POSITIONS[key]] = longest_cell(texts)
    if not of_all:
        longest[_POSITIONS["forward"]] = HIDDEN
    if not with_context:
        longest[_POSITIONS["context"]] = HIDDEN
    return ConnectionLabels(contexts, targets, used_contexts, tuple(longest))


def connection_row(
    connection: Connection, now: float, labels: ConnectionLabels, *, marked: bool = False
) -> Row:
    """Return the row of a connection; a reason takes the place of its rates."""
    is_closed = connection.state is ConnectionState.CLOSED
    end = connection.closed_at if connection.closed_at is not None else now
    first_byte_s = connection.first_byte_s
    context = labels.context_by_forward.get(connection.forward_id)
    return Row((
        Cell(connection.process, "dim" if is_closed else ""), Cell(connection.client, "dim"),
        labels.contexts.cell(context) if context is not None else EMPTY,
        labels.forwards.get(connection.forward_id, EMPTY), Cell(connection.pod, "dim"),
        Cell(format_age(end - connection.opened_at), "dim"),
        Cell(
            "" if first_byte_s is None else milliseconds(first_byte_s),
            figure_style(Figure.FIRST_BYTE, first_byte_s),
        ),
        *_rates(connection),
        total_cell(connection.bytes_from_pod), total_cell(connection.bytes_to_pod),
        state_cell(connection, now),
    ), marked=marked)  # fmt: skip


def _rates(connection: Connection) -> tuple[Cell, ...]:
    """Return both rates, or what is to say where nothing moves."""
    if connection.state is ConnectionState.CLOSED:
        return (Cell(connection.close_reason, _close_style(connection), columns=2),)
    down, up = connection.rate_from_pod, connection.rate_to_pod
    is_silent = not format_rate(down) and not format_rate(up)
    if is_silent and connection.reason and not is_draining(connection):
        return (Cell(connection.reason, "warn", columns=2),)
    return (rate_cell(down, "down"), rate_cell(up, "up"))


def state_cell(connection: Connection, now: float) -> Cell:
    """Return the state: `open`, `queued 8 s`, `draining`, `half-closed`, `failed`, `closed`."""
    if connection.state is ConnectionState.CLOSED:
        return Cell("failed" if connection.failed else "closed", _close_style(connection))
    if is_draining(connection):
        return Cell("draining", "warn")
    if connection.state is ConnectionState.QUEUED:
        waits_s = max(0.0, now - connection.opened_at)
        return Cell(f"queued {_queue_time(waits_s)}", "warn")
    if connection.state is ConnectionState.CLOSING:
        return Cell("half-closed", "warn")
    return Cell(connection.state.value, "warn" if connection.code is not None else "ok")


def _queue_time(seconds: float) -> str:
    """`8 s`, `30 s`, `4m`: at most 4 cells below 1000 days."""
    return f"{seconds:.0f} s" if seconds < _LONG_S else short_age(seconds)


def _close_style(connection: Connection) -> str:
    if connection.failed:
        return "bad"
    return "warn" if connection.close_code in _ENDED_BY_CLUSTER else "dim"


def _context_name(connection: Connection, labels: ConnectionLabels) -> str:
    used = labels.context_by_forward.get(connection.forward_id)
    return used.context if used is not None else ""


_SORT_VALUES: Final[Mapping[str, Callable[[Connection, ConnectionLabels], Any]]] = {
    "process": lambda one, _labels: one.process,
    "client": lambda one, _labels: one.client,
    "context": lambda one, labels: _context_name(one, labels),
    "forward": lambda one, labels: labels.forwards.get(one.forward_id, EMPTY).text,
    "pod": lambda one, _labels: one.pod,
    "age": lambda one, _labels: -one.opened_at,
    "first_byte": lambda one, _labels: one.first_byte_s or 0.0,
    "down_rate": lambda one, _labels: _magnitude(one.rate_from_pod),
    "up_rate": lambda one, _labels: _magnitude(one.rate_to_pod),
    "down_total": lambda one, _labels: one.bytes_from_pod,
    "up_total": lambda one, _labels: one.bytes_to_pod,
    "state": lambda one, _labels: _state_rank(one),
}

CONNECTION_SORTS: Final = (
    SortColumn("process", "r", "process"), SortColumn("client", "k", "client"),
    SortColumn("context", "c", "context"), SortColumn("forward", "f", "forward"),
    SortColumn("pod", "e", "pod"), SortColumn("age", "a", "age", descending=True),
    SortColumn("first_byte", "b", "TTFB", descending=True),
    SortColumn("down_rate", "d", "↓ rate", descending=True),
    SortColumn("up_rate", "u", "↑ rate", descending=True),
    SortColumn("down_total", "w", "↓ total", descending=True),
    SortColumn("up_total", "p", "↑ total", descending=True), SortColumn("state", "s", "state"),
)  # fmt: skip
