"""Rows of the dashboard's tables as plain data. Pure: no widget, no clock.

A cell's style is a meaning ("ok", "warn", "bad", "dim", "strong"), never a color; symbols
show the same without color.
"""

from __future__ import annotations

from dataclasses import dataclass

from tui_forward.common.access_options import describe_access_options
from tui_forward.common.formatting import (
    format_age,
    format_bytes,
    format_rate,
    format_warning,
    milliseconds,
    pluralize,
    short_age,
)
from tui_forward.errors import TuiForwardError
from tui_forward.model import (
    ApiHealth,
    Connection,
    ConnectionState,
    Forward,
    ForwardState,
    ReasonCode,
    Snapshot,
    TargetKind,
)
from tui_forward.reasons import is_login
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.forward_list import Heading


@dataclass(frozen=True, slots=True)
class Cell:
    """Text with a style."""

    text: str
    style: str = ""  # a meaning, see the module's docstring
    # Parts of the text that match the filter: disjoint, in order.
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    cells: tuple[Cell, ...]  # the last one may take the rest of the line


EMPTY = Cell("")

STATE_MARKS: dict[ForwardState, tuple[str, str]] = {
    ForwardState.STARTING: ("◌", "dim"), ForwardState.WAITING: ("◔", "warn"),
    ForwardState.CONNECTING: ("◐", "warn"), ForwardState.READY: ("●", "ok"),
    ForwardState.RECONNECTING: ("◐", "warn"), ForwardState.BLOCKED: ("■", "bad"),
    ForwardState.STOPPED: ("○", "dim"),
}  # fmt: skip


def state_cell(forward: Forward) -> Cell:
    """Return symbol and name of a forward's state."""
    if forward.paused:
        return Cell("‖ paused", "dim")
    mark, style = STATE_MARKS[forward.state]
    if forward.state is ForwardState.READY and forward.warnings:
        style = "warn"
    return Cell(f"{mark} {forward.state.value}", style)


def mark_cell(marked: bool) -> Cell:
    """Return the selection mark of a row."""
    return Cell("✓", "strong") if marked else EMPTY


def heading_row(heading: Heading) -> Row:
    """Return the heading of a group: count, ready forwards, traffic."""
    members = heading.members
    ready = sum(forward.state is ForwardState.READY for forward in members)
    title = f"{'▸' if heading.folded else '▾'} {heading.title}"
    parts = [pluralize(len(members), "forward")]
    if ready < len(members):
        parts.append(f"{ready} ready")
    traffic = [
        f"{arrow} {format_rate(total)}"
        for arrow, total in (
            ("↓", sum(forward.counters.rate_from_pod for forward in members)),
            ("↑", sum(forward.counters.rate_to_pod for forward in members)),
        )
        if format_rate(total)
    ]
    return Row((EMPTY, Cell(" · ".join([title, *parts, *traffic]), "strong")))


def forward_row(forward: Forward, now: float, *, sparkline: str = "", marked: bool = False) -> Row:
    """Return the row of a forward: traffic while ready, otherwise the reason."""
    local = local_text(forward)
    head = (
        mark_cell(marked), state_cell(forward), Cell(target_text(forward)),
        Cell(local or "–", "strong" if local else "dim"),
    )  # fmt: skip
    if forward.state is not ForwardState.READY:
        style = "bad" if forward.state is ForwardState.BLOCKED else "dim"
        return Row((*head, Cell(waiting_text(forward, now), style)))
    counters = forward.counters
    return Row((
        *head, Cell(str(counters.connections_open) if counters.connections_open else "", "strong"),
        Cell(format_rate(counters.rate_from_pod), "ok"),
        Cell(format_rate(counters.rate_to_pod), "ok"), Cell(sparkline, "ok"),
        Cell(format_bytes(counters.bytes_from_pod) if counters.bytes_from_pod else "", "dim"),
        Cell(format_bytes(counters.bytes_to_pod) if counters.bytes_to_pod else "", "dim"),
        Cell(forward.pod.name if forward.pod else "", "dim"),
        Cell(short_age(now - forward.since) if forward.since else "", "dim"),
        _event_cell(forward, now),
    ))  # fmt: skip


def _event_cell(forward: Forward, now: float) -> Cell:
    """Return the worst warning, else the last event."""
    if forward.warnings:
        return Cell(format_warning(forward.warnings[0], now), "warn")
    return Cell(forward.last_event, "dim")


def local_text(forward: Forward) -> str:
    """Return the address to connect to, IPv4 if there is one."""
    return str(min(forward.listening, key=lambda a: ":" in a.host)) if forward.listening else ""


def target_text(forward: Forward) -> str:
    """Return the short form of the target."""
    target = forward.spec.target
    if target.kind is TargetKind.SELECTOR:
        return f"{target.namespace}/-l {target.name}:{target.port}"
    kind = "" if target.kind is TargetKind.POD else f"{target.kind.value}/"
    return f"{target.namespace}/{kind}{target.name}:{target.port}"


def waiting_text(forward: Forward, now: float) -> str:
    """Return queued connections, countdown and reason."""
    parts = [f"{forward.queued} queued"] if forward.queued else []
    if forward.retry_at is not None and forward.retry_at > now:
        parts.append(f"next try in {forward.retry_at - now:.0f} s")
    parts.append(forward.reason)
    return " · ".join(part for part in parts if part)


def detail_text(forward: Forward | None, now: float) -> tuple[Cell, ...]:
    """Return the status line of the selected forward."""
    if forward is None:
        return (Cell("Select a row, then press the number of a port to forward it", "dim"),)
    parts = [state_cell(forward)]
    if forward.state is not ForwardState.READY or not forward.warnings:
        parts.append(Cell(waiting_text(forward, now)))
    parts += (Cell(format_warning(warning, now), "warn") for warning in forward.warnings)
    if forward.hint:
        parts.append(Cell(f"→ {forward.hint}", "strong"))
    if forward.state is ForwardState.READY:
        if forward.transport is not None:
            parts.append(Cell(f"{forward.transport.value} ×{forward.tunnels}", "dim"))
        if forward.round_trip_s is not None:
            parts.append(Cell(milliseconds(forward.round_trip_s), "dim"))
        counters = forward.counters
        parts.append(Cell(pluralize(counters.connections_total, "connection"), "dim"))
        if counters.connections_failed:
            parts.append(Cell(f"{counters.connections_failed} failed", "warn"))
        if forward.last_event:
            parts.append(Cell(forward.last_event, "warn"))
    return tuple(parts)


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


def connection_state_cell(connection: Connection) -> Cell:
    """Return the state of an open connection, or why it was closed."""
    if connection.state is ConnectionState.CLOSED:
        style = "warn" if connection.close_code in _ENDED_BY_CLUSTER else "dim"
        return Cell(connection.close_reason or "closed", "bad" if connection.failed else style)
    if connection.code is not None:
        word = "draining" if connection.code in _GOING else connection.state.value
        return Cell(f"{word}: {connection.reason}", "warn")
    style = "warn" if connection.state is ConnectionState.QUEUED else "ok"
    return Cell(connection.state.value, style)


def connection_row(connection: Connection, now: float, *, target: str | None = None) -> Row:
    """Return the row of a connection, with its forward's target for tables with that column."""
    end = connection.closed_at if connection.closed_at is not None else now
    last = connection_state_cell(connection)
    first_byte_s = connection.first_byte_s
    return Row((
        Cell(connection.client), *((Cell(target),) if target is not None else ()),
        Cell(connection.process, "dim"), Cell(format_age(end - connection.opened_at), "dim"),
        Cell("" if first_byte_s is None else milliseconds(first_byte_s), "dim"),
        Cell(format_bytes(connection.bytes_from_pod)), Cell(format_bytes(connection.bytes_to_pod)),
        Cell(format_rate(connection.rate_from_pod), "ok"),
        Cell(format_rate(connection.rate_to_pod), "ok"), last,
    ))  # fmt: skip


INSECURE = " (TLS not verified)"  # mark of a cluster whose certificate is not verified


def status_cells(
    cluster: ClusterState, snapshot: Snapshot, error: TuiForwardError | None = None
) -> tuple[Cell, ...]:
    """Return the header line: context, namespace, API server and totals, or only the error."""
    title = Cell("tui-forward", "strong")
    if error is not None:
        return (title, Cell(f"■ {error.message}", "bad"))
    scope, health, totals = cluster.scope, cluster.health, snapshot.totals
    insecure = health is not None and health.insecure
    context = Cell(
        f"{scope.context or '–'} ▾{INSECURE if insecure else ''}", "warn" if insecure else ""
    )
    access = describe_access_options(scope.options)
    place = (
        title,
        context,
        Cell(f"ns: {scope.namespace or 'all'} ▾"),
        *([Cell(access, "warn")] if access else []),
    )
    if health is not None and health.ok is False:
        hint = f" → {health.hint}" if health.hint else ""
        if is_login(health.code):
            return (*place, Cell(f"login: {health.error}", "warn"))
        return (*place, Cell(f"API ✗ {health.error}{hint}", "bad"))
    forwards = pluralize(len(snapshot.forwards), "forward")
    return (
        *place,
        health_cell(health),
        Cell(f"{forwards} · {pluralize(totals.connections_open, 'conn')}"),
        Cell(f"↓ {format_bytes(totals.rate_from_pod)}/s ↑ {format_bytes(totals.rate_to_pod)}/s"),
    )


def health_cell(health: ApiHealth | None) -> Cell:
    """Return the short status of the API server."""
    if health is None or health.ok is None:
        return Cell("API …", "dim")
    if not health.ok:
        return Cell("API ✗", "bad")
    latency = f" {milliseconds(health.latency_s)}" if health.latency_s is not None else ""
    return Cell(f"API ●{latency}", "ok")
