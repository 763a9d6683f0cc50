"""Rows of the hops of a forward: facts of each hop, and which one is broken. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tui_forward.common.formatting import milliseconds
from tui_forward.model import Hop, HopKind, HopState
from tui_forward.tui.viewmodel.cell_layout import Column
from tui_forward.tui.viewmodel.rows import Cell, Row
from tui_forward.tui.viewmodel.thresholds import API, ROUND_TRIP, time_style

COLUMNS = (
    Column("", 1), Column("", 12), Column("", 18), Column("", 8, right=True, drop=1),
    Column("", 20, flexible=True, prose=True),
)  # fmt: skip
_NAMES = {
    HopKind.LOCAL: "this machine", HopKind.API: "API server", HopKind.KUBELET: "kubelet",
    HopKind.RUNTIME: "runtime", HopKind.POD: "pod", HopKind.PORT: "port",
}  # fmt: skip
_MARKS = {
    HopState.OK: ("●", "ok"), HopState.DEGRADED: ("●", "warn"), HopState.BROKEN: ("✗", "broken"),
    HopState.UNKNOWN: ("○", "dim"),
}  # fmt: skip
_FAULTS = (HopState.BROKEN, HopState.DEGRADED)


def hop_row(hop: Hop) -> Row:
    """Return the row of a hop; a broken or degraded one shows the error instead of its facts.

    All of a broken one stands out.
    """
    mark, style = _MARKS[hop.state]
    latency = milliseconds(hop.latency_s) if hop.latency_s is not None else ""
    latency_style = time_style(hop.latency_s, API if hop.kind is HopKind.API else ROUND_TRIP)
    facts = Cell(" · ".join(hop.facts), "dim")
    if hop.state in _FAULTS and hop.error:
        facts = Cell(hop.error, style)
    return Row((
        Cell(mark, style),
        Cell(_NAMES[hop.kind], _name_style(hop.state)),
        Cell(hop.name or "–", style if hop.state in _FAULTS else ""),
        Cell(latency, latency_style), facts,
    ))  # fmt: skip


def _name_style(state: HopState) -> str:
    if state is HopState.BROKEN:
        return "broken"
    return "dim" if state is HopState.UNKNOWN else "strong"


def hop_error_text(hops: Iterable[Hop]) -> str:
    """Return the error of the broken or degraded hop with its hint; empty if there is none."""
    for hop in hops:
        if hop.state in _FAULTS:
            hint = f"  → {hop.hint}" if hop.hint else ""
            return f"{_MARKS[hop.state][0]} {_NAMES[hop.kind]}: {hop.error}{hint}"
    for hop in hops:
        if hop.error:
            return f"{_NAMES[hop.kind]}, last: {hop.error}"
    return ""
