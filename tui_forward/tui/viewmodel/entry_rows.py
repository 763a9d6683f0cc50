"""Rows of the entry list and of the port list. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from tui_forward.common.formatting import short_age
from tui_forward.model import DeclaredPort, Forward, PodSummary, Service, TargetKind
from tui_forward.tui.viewmodel.columns import OBJECTS, SERVICES
from tui_forward.tui.viewmodel.entries import Entry, EntryKind
from tui_forward.tui.viewmodel.entry_targets import is_forwardable
from tui_forward.tui.viewmodel.filter_query import Span
from tui_forward.tui.viewmodel.forward_rows import is_loopback, state_mark
from tui_forward.tui.viewmodel.rows import EMPTY, RULE, Cell, Row
from tui_forward.tui.viewmodel.thresholds import Figure, figure_style

DIGITS: Final = 9
NAME_COLUMN: Final = 1  # position
LENGTH_COLUMNS: Final = max(len(OBJECTS), len(SERVICES))
_INDENT: Final = "    "  # of a pod below its workload
_CUT: Final = "…"  # in place of the name of its workload
STAR: Final = "★ "
_FIRST_UNPRIVILEGED: Final = 1024
_UNPRIVILEGED_OFFSET: Final = 8000  # 80 → 8080, 443 → 8443
_LAST_PORT: Final = 65535
_LOCALHOST: Final = ("127.0.0.1", "::1")
# Container states in kubectl output that are failures: CrashLoopBackOff, ErrImagePull, OOMKilled, …
_FAILING = re.compile(r"BackOff|Err|OOM|Invalid|Cannot|Failed|Evicted")
_SEVERITY: Final = ("dim", "ok", "warn", "bad")


def entry_row(
    entry: Entry, forwards: Sequence[Forward], now: float, *, owner: str = "", fold: str = "",
    favorite: bool = False, marked: bool = False, with_namespace: bool = False,
    spans: Sequence[Span] = (), endpoints: int | None = None, rule_below: bool = False,
) -> Row:  # fmt: skip
    """Return the row of an entry.

    Args:
        entry: A workload, a pod or a service.
        forwards: The forwards that lead to it.
        now: Epoch seconds.
        owner: Name of the workload above a pod, which its own name is shown without.
        fold: "▸" or "▾" if it can be folded, a blank in a list where others can; else empty.
        favorite: Whether it is a favorite.
        marked: Whether it is selected.
        with_namespace: Whether entries of several namespaces are listed.
        spans: Parts of its name that match the filter.
        endpoints: Number of Ready pods of a service; None if unknown.
        rule_below: Whether a rule separates it from the next row.
    """
    symbol = _forward_symbol(forwards)
    lead = _lead(entry, owner=owner, fold=fold, favorite=favorite, with_namespace=with_namespace)
    name = _name_cell(entry, lead, owner, spans)
    age = Cell(short_age(now - entry.created_at) if entry.created_at else "", "dim")
    second = RULE if rule_below else None
    item, style = entry.item, status_style(entry)
    if isinstance(item, Service):
        return Row((
            symbol, name, _endpoints_cell(item, endpoints), Cell(_ports_text(item), "dim"),
            Cell(entry.status_text, "dim"), Cell(cluster_ip(item), "dim"), age,
        ), second=second, marked=marked)  # fmt: skip
    return Row((
        symbol, name, Cell(f"{entry.ready}/{entry.total}", style), Cell(entry.status_text, style),
        Cell(str(entry.restarts), _restarts_style(entry, now)), age,
        Cell(entry.node, "dim"),
    ), second=second, marked=marked)  # fmt: skip


def entry_lengths(entry: Entry, kind: EntryKind, with_namespace: bool) -> tuple[int, ...]:
    """Return the lengths of the cells of a workload or service whose columns fit their content."""
    fold = " " if kind is EntryKind.WORKLOADS else ""
    lead = _lead(entry, owner="", fold=fold, favorite=False, with_namespace=with_namespace)
    name, item = len(lead) + len(entry.name), entry.item
    if isinstance(item, Service):
        ports, ip = len(_ports_text(item)), len(cluster_ip(item))
        return (0, name, 0, ports, len(entry.status_text), ip, 0)
    return (0, name, 0, len(entry.status_text), 0, 0, 0)


def pod_lengths(
    pod: PodSummary, kind: EntryKind, owner: str, with_namespace: bool
) -> tuple[int, ...]:
    """Return the lengths of the cells of a pod, below the workload of a name if it is not empty."""
    name = len(pod.name)
    if owner:
        name += len(_INDENT)
        if pod.name.startswith(f"{owner}-"):
            name -= len(owner) + 1 - len(_CUT)
    else:
        if kind is EntryKind.WORKLOADS:
            name += 2
        if with_namespace:
            name += len(pod.namespace) + 1
    return (0, name, 0, len(pod.status or pod.phase), 0, 0, len(pod.node))


def _lead(entry: Entry, *, owner: str, fold: str, favorite: bool, with_namespace: bool) -> str:
    """Return what is shown before the name of an entry."""
    star = STAR if favorite else ""
    if owner:
        return f"{_INDENT}{star}{_CUT if _own_name(entry, owner) != entry.name else ''}"
    namespace = f"{entry.namespace}/" if with_namespace else ""
    kind = "" if entry.kind is TargetKind.POD else f"{entry.kind.value}/"
    return f"{f'{fold} ' if fold else ''}{star}{namespace}{kind}"


def _own_name(entry: Entry, owner: str) -> str:
    """Return what follows the name of the owner, or the whole name."""
    name = entry.name
    return name[len(owner) + 1 :] if owner and name.startswith(f"{owner}-") else name


def _name_cell(entry: Entry, lead: str, owner: str, spans: Sequence[Span]) -> Cell:
    name = _own_name(entry, owner)
    moved, start = len(lead) - len(entry.name) + len(name), len(lead)
    end = start + len(name)
    shown = tuple(
        (max(first + moved, start), min(last + moved, end))
        for first, last in spans
        if last + moved > start
    )
    style = "" if entry.kind is TargetKind.POD else "strong"
    return Cell(lead + name, style, shown, lead=len(lead))


def _forward_symbol(forwards: Sequence[Forward]) -> Cell:
    """Return the symbol of the forward with the worst state."""
    if not forwards:
        return EMPTY
    marks = [state_mark(forward) for forward in forwards]
    return Cell(*max(marks, key=lambda one: _SEVERITY.index(one[1])))


def status_style(entry: Entry) -> str:
    """Return the style of a status: red for a failure, amber for what is not ready."""
    item = entry.item
    if isinstance(item, PodSummary):
        if item.deleting:
            return "dim"
        if item.ready:
            return "ok"
        if item.phase == "Failed" or _FAILING.search(item.status):
            return "bad"
        return "warn" if item.phase in ("Pending", "Running") else "dim"
    if not entry.ready and not entry.total:
        return "dim"
    if not entry.in_trouble:
        return "dim" if entry.kind is TargetKind.JOB and not entry.ready else "ok"
    return "warn"


def _restarts_style(entry: Entry, now: float) -> str:
    """Return the style of a number of restarts: amber while the latest is not long ago."""
    ago = now - entry.restarted_at if entry.restarts and entry.restarted_at else None
    return figure_style(Figure.RESTARTED_AGO, ago)


def _endpoints_cell(service: Service, endpoints: int | None) -> Cell:
    """Return the number of Ready pods; none is a problem, unknown is `-`."""
    if endpoints is None or not service.selector:
        return Cell("-", "dim")
    return Cell(str(endpoints), "dim") if endpoints else Cell("none", "warn")


def _ports_text(service: Service) -> str:
    """Return the numbers of the ports, with the protocol unless it is TCP."""
    return ", ".join(
        str(port.number) if is_forwardable(port) else f"{port.number}/{port.protocol.value}"
        for port in service.ports
    )


def cluster_ip(service: Service) -> str:
    """Return the address of a service, or the name that it stands for."""
    return service.external_name or service.cluster_ip


# Ports ----------------------------------------------------------------------------------------


def port_row(
    place: int, port: DeclaredPort, forward: Forward | None, local_port: int = 0, *,
    marked: bool = False, aligned: bool = False, is_forbidden: bool = False,
) -> Row:  # fmt: skip
    """Return the row of a port at a place from 0; the first nine have a digit key.

    Args:
        place: Position in the list.
        port: The declared port.
        forward: The forward that leads to it.
        local_port: What a start would take.
        marked: Whether it is selected.
        aligned: Whether another port has a forward, whose arrow takes two cells.
        is_forbidden: Whether the user lacks permissions for a forward, as far as is known.
    """
    key = Cell(str(place + 1) if place < DIGITS else " ", "key")
    name = port.name or port.container
    number = Cell(str(port.number), "dim")
    blank = "  " if aligned else ""
    if not is_forwardable(port):
        note = Cell(f"{blank}{port.protocol.value}", "dim")
        return Row((Cell("–", "dim"), EMPTY, Cell(name, "dim"), number, note), marked=marked)
    if forward is None and is_forbidden:
        note = Cell(f"{blank}no role", "dim")
        return Row((key, Cell("○", "dim"), Cell(name, "dim"), number, note), marked=marked)
    if forward is None:
        local = Cell(f"{blank}:{local_port}" if local_port else "", "dim")
        return Row((key, Cell("○", "dim"), Cell(name), number, local), marked=marked)
    symbol, style = state_mark(forward)
    text = _local_end(forward)
    local = Cell(f"→ {text}", "strong", lead=2)
    return Row((key, Cell(symbol, style), Cell(name), number, local), marked=marked)


def predicted_local_port(number: int, used: Collection[int]) -> int:
    """Return the local port that a start would take, as far as the forwards tell.

    The same number unless it is privileged or used, else the next free one; 0 if there is none.
    """
    start = number + (_UNPRIVILEGED_OFFSET if number < _FIRST_UNPRIVILEGED else 0)
    free = (one for one in range(start, _LAST_PORT + 1) if one not in used)
    return next(free, 0)


def _local_end(forward: Forward) -> str:
    """Return the local port, with the address unless that is localhost."""
    if not forward.listening:
        return f":{forward.spec.local_port}" if forward.spec.local_port else "…"
    first = min(forward.listening, key=lambda one: (is_loopback(one), ":" in one.host))
    return f":{first.port}" if first.host in _LOCALHOST else str(first)
