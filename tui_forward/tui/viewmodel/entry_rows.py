"""Rows of the entry list and of the port list. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tui_forward.common.formatting import short_age
from tui_forward.model import DeclaredPort, Forward, Pod, TargetKind
from tui_forward.tui.viewmodel.entries import Entry
from tui_forward.tui.viewmodel.entry_targets import is_forwardable
from tui_forward.tui.viewmodel.filter_query import Span
from tui_forward.tui.viewmodel.rows import EMPTY, STATE_MARKS, Cell, Row, mark_cell

_INDENT = "  "
_USUAL_HOSTS = ("127.0.0.1", "::1", "0.0.0.0", "::")
DIGITS = 9
# Container states in kubectl output that are failures: CrashLoopBackOff, ErrImagePull, OOMKilled, …
_FAILING = re.compile(r"BackOff|Err|OOM|Invalid|Cannot|Failed|Evicted")


def entry_row(
    entry: Entry, forwards: Sequence[Forward], now: float, *, depth: int = 0, fold: str = "",
    favorite: bool = False, marked: bool = False, with_namespace: bool = False,
    spans: Sequence[Span] = (),
) -> Row:  # fmt: skip
    """Return the row of an entry; `fold` is "▸" or "▾" if it can be folded, otherwise empty."""
    style = _style(entry)
    name = entry.name if entry.kind is TargetKind.POD else f"{entry.kind.value}/{entry.name}"
    if with_namespace and not depth:
        name = f"{entry.namespace}/{name}"
    shown = _INDENT * depth + (f"{fold} " if fold else "") + ("★ " if favorite else "") + name
    ready = "" if entry.ready is None else f"{entry.ready}/{entry.total}"
    restarts = "" if entry.ready is None else str(entry.restarts)
    return Row((
        mark_cell(marked) if marked else _forward_mark(forwards),
        _name_cell(shown, "" if entry.kind is TargetKind.POD else "strong", entry, spans),
        Cell(ready, style), Cell(entry.status_text, style),
        Cell(restarts, "warn" if entry.restarts else "dim"),
        Cell(short_age(now - entry.created_at) if entry.created_at else "", "dim"),
        Cell(entry.node, "dim"),
    ))  # fmt: skip


def _forward_mark(forwards: Sequence[Forward]) -> Cell:
    """Return the mark of the forward with the worst state."""
    if not forwards:
        return EMPTY
    marks = [STATE_MARKS[forward.state] for forward in forwards]
    mark, style = max(marks, key=lambda one: ("dim", "ok", "warn", "bad").index(one[1]))
    return Cell(mark, style)


def _name_cell(text: str, style: str, entry: Entry, spans: Sequence[Span]) -> Cell:
    lead = len(text) - len(entry.name)
    return Cell(text, style, tuple((start + lead, end + lead) for start, end in spans))


def _style(entry: Entry) -> str:
    item = entry.item
    if isinstance(item, Pod):
        if item.deleting:
            return "dim"
        if item.ready:
            return "ok"
        if item.phase == "Failed" or _FAILING.search(item.status):
            return "bad"
        return "warn" if item.phase in ("Pending", "Running") else "dim"
    if not entry.ready and not entry.total:
        return "dim"
    return "warn" if entry.in_trouble else "ok"


def port_row(place: int, port: DeclaredPort, forward: Forward | None) -> Row:
    """Return the row of a port at a place from 0; the first nine have a digit key."""
    key = Cell(str(place + 1) if place < DIGITS else " ", "dim")
    name = port.name or port.container
    if not is_forwardable(port):
        note = f"{port.protocol.value}, not forwardable"
        return Row((EMPTY, Cell("–", "dim"), Cell(name, "dim"), _number(port), Cell(note, "dim")))
    if forward is None:
        mark, local = Cell("○", "dim"), Cell(_destination(port), "dim")
    else:
        symbol, style = STATE_MARKS[forward.state]
        mark = Cell("‖", "dim") if forward.paused else Cell(symbol, style)
        local = Cell(f"→ {_local_end(forward)}", style)
    return Row((key, mark, Cell(name), _number(port), local))


def _local_end(forward: Forward) -> str:
    """Return the local port, with the address unless that is the usual one."""
    if not forward.listening:
        return "…"
    first = min(forward.listening, key=lambda address: ":" in address.host)
    return str(first.port) if first.host in _USUAL_HOSTS else str(first)


def _destination(port: DeclaredPort) -> str:
    """Return the target port of a service port, or the container of a port."""
    if port.target and port.target != str(port.number):
        return f"to {port.target}"
    return port.container if port.name else ""


def _number(port: DeclaredPort) -> Cell:
    return Cell(str(port.number), "dim")
