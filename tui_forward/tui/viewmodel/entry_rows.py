"""The rows of the list of entries, and of the ports of one. Pure."""

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
DIGITS = 9
# What kubectl prints for containers that fail: CrashLoopBackOff, ErrImagePull, OOMKilled, …
_FAILING = re.compile(r"BackOff|Err|OOM|Invalid|Cannot|Failed|Evicted")


def entry_row(
    entry: Entry,
    forwards: Sequence[Forward],
    now: float,
    *,
    depth: int = 0,
    fold: str = "",
    favourite: bool = False,
    marked: bool = False,
    with_namespace: bool = False,
    spans: Sequence[Span] = (),
) -> Row:
    """One object.

    Args:
        entry: Which.
        forwards: Those that lead to it.
        now: Seconds since the epoch.
        depth: How far it is indented.
        fold: "▸" or "▾" where there is something to fold away, else nothing.
        favourite: Whether it has a star.
        marked: Whether it is one of several that are chosen.
        with_namespace: Whether the list is of more than one namespace.
        spans: What to highlight in the entry's name, as `Query.spans` tells.
    """
    style = _style(entry)
    name = entry.name if entry.kind is TargetKind.POD else f"{entry.kind.value}/{entry.name}"
    if with_namespace and not depth:
        name = f"{entry.namespace}/{name}"
    shown = _INDENT * depth + (f"{fold} " if fold else "") + ("★ " if favourite else "") + name
    ready = "" if entry.ready is None else f"{entry.ready}/{entry.total}"
    return Row(
        (
            mark_cell(marked) if marked else _forward_mark(forwards),
            _name_cell(shown, "" if entry.kind is TargetKind.POD else "strong", entry, spans),
            Cell(ready, style),
            Cell(entry.status_text, style),
            Cell(
                str(entry.restarts) if entry.ready is not None else "",
                "warn" if entry.restarts else "dim",
            ),
            Cell(short_age(now - entry.created_at) if entry.created_at else "", "dim"),
            Cell(entry.node, "dim"),
        )
    )


def _forward_mark(forwards: Sequence[Forward]) -> Cell:
    """The state of the forward that is worst off."""
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
    """One port: the key that switches it, where it leads, and where it is now.

    Args:
        place: From 0; the first nine have a digit.
        port: Of a container or a service.
        forward: The one that leads there, if any.
    """
    key = Cell(str(place + 1) if place < DIGITS else " ", "dim")
    name = port.name or port.container
    if not is_forwardable(port):
        words = f"{port.protocol.value}, not forwardable"
        return Row((EMPTY, Cell("–", "dim"), Cell(name, "dim"), _number(port), Cell(words, "dim")))
    if forward is None:
        mark, local = Cell("○", "dim"), Cell(_where(port), "dim")
    else:
        symbol, style = STATE_MARKS[forward.state]
        mark = Cell("‖", "dim") if forward.paused else Cell(symbol, style)
        local = Cell(f"→ {forward.listening[0].port}" if forward.listening else "→ …", style)
    return Row((key, mark, Cell(name), _number(port), local))


def _where(port: DeclaredPort) -> str:
    """What stands behind a port: of a service, another port; else a container."""
    if port.target and port.target != str(port.number):
        return f"to {port.target}"
    return port.container if port.name else ""


def _number(port: DeclaredPort) -> Cell:
    return Cell(str(port.number), "dim")
