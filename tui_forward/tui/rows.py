"""What each table of the dashboard shows, as plain data. Pure: no widget, no clock of its own.

A cell's style is a meaning ("ok", "warn", "bad", "dim", "strong"), never a colour; symbols
say the same without colour.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tui_forward.model import (
    ApiHealth,
    Connection,
    ConnectionState,
    DeclaredPort,
    Forward,
    ForwardState,
    Namespace,
    Pod,
    PortProtocol,
    Snapshot,
    TargetKind,
)
from tui_forward.tui.figures import age, amount, milliseconds, plural, rate, short_age
from tui_forward.tui.picture import port_word

ALL_NAMESPACES = "(all)"


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of text and what it means."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Attributes:
        cells: One for each column; the last one takes the rest of the line if there are
            fewer cells than columns.
    """

    cells: tuple[Cell, ...]


EMPTY = Cell("")

STATE_MARKS: dict[ForwardState, tuple[str, str]] = {
    ForwardState.STARTING: ("◌", "dim"),
    ForwardState.WAITING: ("◔", "warn"),
    ForwardState.CONNECTING: ("◐", "warn"),
    ForwardState.READY: ("●", "ok"),
    ForwardState.RECONNECTING: ("◐", "warn"),
    ForwardState.BLOCKED: ("■", "bad"),
    ForwardState.STOPPED: ("○", "dim"),
}


def state_cell(forward: Forward) -> Cell:
    """Mark and word of a forward's state."""
    if forward.paused:
        return Cell("‖ paused", "dim")
    mark, style = STATE_MARKS[forward.state]
    return Cell(f"{mark} {forward.state.value}", style)


def namespace_row(name: str, namespace: Namespace | None, shown: str) -> Row:
    """One namespace; the one on show is marked."""
    mark = "▸" if name == shown else " "
    style = "warn" if namespace is not None and namespace.status != "Active" else ""
    return Row((Cell(f"{mark} {name or ALL_NAMESPACES}", "strong" if name == shown else style),))


def pod_row(pod: Pod, forwards_on: int, now: float, *, with_namespace: bool) -> Row:
    """One pod, with the columns of `kubectl get pods`."""
    name = f"{pod.namespace}/{pod.name}" if with_namespace else pod.name
    if pod.deleting:
        style = "dim"
    elif pod.ready:
        style = "ok"
    else:
        style = "warn" if pod.phase in ("Pending", "Running") else "dim"
    return Row(
        (
            Cell("●" if forwards_on else " ", "ok"),
            Cell(name),
            Cell(f"{pod.containers_ready}/{pod.containers_total}", style),
            Cell(pod.status or pod.phase, style),
            Cell(str(pod.restarts), "warn" if pod.restarts else "dim"),
            Cell(short_age(now - pod.created_at) if pod.created_at else "", "dim"),
        )
    )


def port_row(index: int, port: DeclaredPort, forward: Forward | None) -> Row:
    """One declared port: the key that toggles it, and where it is now."""
    key = str(index + 1) if index < 9 else " "
    if port.protocol is not PortProtocol.TCP:
        return Row(
            (Cell(" "), Cell("–", "dim"), Cell(port.name or port.container, "dim"),
             Cell(str(port.number), "dim"), Cell(port.protocol.value, "dim"))
        )  # fmt: skip
    if forward is None:
        mark, local = Cell("○", "dim"), EMPTY
    else:
        symbol, style = STATE_MARKS[forward.state]
        mark = Cell(symbol, style)
        local = Cell(f"→ {forward.listening[0].port}" if forward.listening else "→ …", style)
    return Row(
        (Cell(key, "dim"), mark, Cell(port.name or port.container), Cell(str(port.number)), local)
    )


def forward_row(forward: Forward, now: float) -> Row:
    """One forward: figures while it works, the reason in words while it does not."""
    local = local_text(forward)
    head = (
        state_cell(forward),
        Cell(_target_text(forward)),
        Cell(local or "–", "strong" if local else "dim"),
    )
    if forward.state is not ForwardState.READY:
        style = "bad" if forward.state is ForwardState.BLOCKED else "dim"
        return Row((*head, Cell(waiting_text(forward, now), style)))
    counters = forward.counters
    return Row(
        (
            *head,
            Cell(str(counters.connections_open) if counters.connections_open else "", "strong"),
            Cell(rate(counters.rate_from_pod), "ok"),
            Cell(rate(counters.rate_to_pod), "ok"),
            Cell(amount(counters.bytes_from_pod)),
            Cell(amount(counters.bytes_to_pod)),
            Cell(forward.pod.name if forward.pod else "", "dim"),
            Cell(short_age(now - forward.since) if forward.since else "", "dim"),
        )
    )


def local_text(forward: Forward) -> str:
    """The address to connect to: IPv4 if there is one, since everything takes that."""
    return str(min(forward.listening, key=lambda a: ":" in a.host)) if forward.listening else ""


def _target_text(forward: Forward) -> str:
    target = forward.spec.target
    if target.kind is TargetKind.SELECTOR:
        return f"{target.namespace}/-l {target.name}:{target.port}"
    kind = "" if target.kind is TargetKind.POD else f"{target.kind.value}/"
    return f"{target.namespace}/{kind}{target.name}:{target.port}"


def waiting_text(forward: Forward, now: float) -> str:
    """The reason, the countdown and who is waiting with it."""
    parts = [forward.reason]
    if forward.retry_at is not None and forward.retry_at > now:
        parts.append(f"next try in {forward.retry_at - now:.0f} s")
    if forward.parked:
        parts.append(f"{forward.parked} parked")
    return " · ".join(part for part in parts if part)


def detail_text(forward: Forward | None, now: float) -> tuple[Cell, ...]:
    """More about the chosen forward, as far as one line goes."""
    if forward is None:
        return (Cell("Choose a pod, then switch a port on with its number", "dim"),)
    parts = [state_cell(forward), Cell(waiting_text(forward, now))]
    if forward.hint:
        parts.append(Cell(f"→ {forward.hint}", "strong"))
    if forward.state is ForwardState.READY:
        if forward.transport is not None:
            parts.append(Cell(f"{forward.transport.value} ×{forward.tunnels}", "dim"))
        if forward.round_trip_s is not None:
            parts.append(Cell(milliseconds(forward.round_trip_s), "dim"))
        counters = forward.counters
        parts.append(Cell(plural(counters.connections_total, "connection"), "dim"))
        if counters.connections_failed:
            parts.append(Cell(f"{counters.connections_failed} failed", "warn"))
        if forward.last_incident:
            parts.append(Cell(forward.last_incident, "warn"))
    return tuple(parts)


def connection_row(connection: Connection, now: float) -> Row:
    """One connection: who, how long, how much, and why it ended."""
    end = connection.closed_at if connection.closed_at is not None else now
    if connection.state is ConnectionState.CLOSED:
        text = connection.close_reason or "closed"
        last = Cell(text, "bad" if connection.failed else "dim")
    else:
        style = "warn" if connection.state is ConnectionState.PARKED else "ok"
        last = Cell(connection.state.value, style)
    return Row(
        (
            Cell(connection.client),
            Cell(connection.process, "dim"),
            Cell(age(end - connection.opened_at), "dim"),
            Cell(amount(connection.bytes_from_pod)),
            Cell(amount(connection.bytes_to_pod)),
            Cell(rate(connection.rate_from_pod), "ok"),
            Cell(rate(connection.rate_to_pod), "ok"),
            last,
        )
    )


def header_cells(
    context: str, namespace: str, health: ApiHealth | None, snapshot: Snapshot
) -> tuple[Cell, ...]:
    """The line on top: where one is, how the API server does, and the totals."""
    totals = snapshot.totals
    return (
        Cell("tui-forward", "strong"),
        Cell(context or "–"),
        Cell(f"ns: {namespace or 'all'}"),
        health_cell(health),
        Cell(f"{len(snapshot.forwards)} on, {plural(totals.connections_open, 'conn')}"),
        Cell(f"↓ {amount(totals.rate_from_pod)}/s ↑ {amount(totals.rate_to_pod)}/s"),
    )


def health_cell(health: ApiHealth | None) -> Cell:
    """The API server in a few characters."""
    if health is None or health.ok is None:
        return Cell("API …", "dim")
    if not health.ok:
        return Cell("API ✗", "bad")
    latency = f" {milliseconds(health.latency_s)}" if health.latency_s is not None else ""
    return Cell(f"API ●{latency}", "ok")


def forward_of_port(
    forwards: Iterable[Forward], context: str, pod: Pod, port: DeclaredPort
) -> Forward | None:
    """The forward that leads to this port of this pod, by where it is or by what was asked."""
    words = {str(port.number), port_word(pod, port)}
    for forward in forwards:
        target = forward.spec.target
        if target.context != context or target.namespace != pod.namespace:
            continue
        if forward.pod is not None and forward.remote_port is not None:
            if forward.pod.name == pod.name and forward.remote_port == port.number:
                return forward
        elif target.kind is TargetKind.POD and target.name == pod.name and target.port in words:
            return forward
    return None
