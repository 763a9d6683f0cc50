"""The table at the end, with ratios to the other forwarders."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Figures = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: What is measured.
        unit: Of the figures; "yes/no" for a claim.
        more_is_better: Otherwise less is.
        target: Ratio of the first forwarder to a rival that is to be reached.
        digits: Decimals shown.
    """

    name: str
    unit: str
    more_is_better: bool = False
    target: float | None = None
    digits: int = 0


def say(text: str) -> None:
    """Progress, on stderr."""
    sys.stderr.write(f"bench: {text}\n")


def table(
    rows: Sequence[Row], names: Sequence[str], figures: Figures, rivals: Sequence[str]
) -> str:
    """All rows that were measured, a column per forwarder, then ours ÷ each other.

    A ratio that reaches its target is marked `ok`, one that does not `MISS`.
    """
    rivals = [rival for rival in rivals if rival in names]
    head = ["", *names, *(f"÷ {rival}" for rival in rivals)]
    lines = [head]
    for row in rows:
        measured = figures.get(row.name)
        if not measured:
            continue
        cells = [f"{row.name} {row.unit}".strip()]
        cells += [_cell(row, measured.get(name), name in measured) for name in names]
        cells += [_ratio(row, measured.get(names[0]), measured.get(rival)) for rival in rivals]
        lines.append(cells)
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = ""
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        text += "  ".join(cells).rstrip() + "\n"
    return text


def _cell(row: Row, figure: float | None, measured: bool) -> str:
    if figure is None:
        return "time-out" if measured else "–"
    if row.unit == "yes/no":
        return "yes" if figure else "no"
    return f"{figure:,.{row.digits}f}"


def _ratio(row: Row, ours: float | None, theirs: float | None) -> str:
    if ours is None or theirs is None or row.unit == "yes/no" or not theirs:
        return "–"
    ratio = ours / theirs
    if row.target is None:
        return f"{ratio:.2f}"
    reached = ratio >= row.target if row.more_is_better else ratio <= row.target
    return f"{ratio:.2f} {'ok' if reached else 'MISS'}"
