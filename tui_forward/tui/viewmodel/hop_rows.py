"""Rows of the hops of a forward: facts of each hop, and which one is broken. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tui_forward.common.formatting import milliseconds
from tui_forward.model import Hop, HopKind, HopState
from tui_forward.tui.viewmodel.cell_layout import Column
from tui_forward.tui.viewmodel.rows import Cell, Row

COLUMNS = (
    Column("", 1), Column("", 12), Column("", 18), Column("", 8, right=True, drop=1),
    Column("", 20, flexible=True, prose=True),
)  # fmt: skip
_NAMES = {
    HopKind.LOCAL: "this machine", HopKind.API: "API server", HopKind.KUBELET: "kubelet",
    HopKind.RUNTIME: "runtime", HopKind.POD: "pod", HopKind.PORT: "port",
}  # fmt: skip
_MARKS = {HopState.OK: ("●", "ok"), HopState.BROKEN: ("✗", "bad"), HopState.UNKNOWN: ("○", "dim")}


def hop_row(hop: Hop) -> Row:
    """Return the row of a hop; a broken one shows the error instead of its facts."""
    mark, style = _MARKS[hop.state]
    facts = Cell(" · ".join(hop.facts), "dim")
    if hop.state is HopState.BROKEN and hop.error:
        facts = Cell(hop.error, "bad")
    return Row((
        Cell(mark, style),
        Cell(_NAMES[hop.kind], "dim" if hop.state is HopState.UNKNOWN else "strong"),
        Cell(hop.name or "–", "bad" if hop.state is HopState.BROKEN else ""),
        Cell(milliseconds(hop.latency_s) if hop.latency_s is not None else "", "dim"), facts,
    ))  # fmt: skip


def hop_error_text(hops: Iterable[Hop]) -> str:
    """Return the error of the broken hop with its hint; empty if none is broken."""
    for hop in hops:
        if hop.state is HopState.BROKEN:
            hint = f"  → {hop.hint}" if hop.hint else ""
            return f"✗ {_NAMES[hop.kind]}: {hop.error}{hint}"
    for hop in hops:
        if hop.error:
            return f"{_NAMES[hop.kind]}, last: {hop.error}"
    return ""
