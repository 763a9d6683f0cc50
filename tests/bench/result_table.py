"""The table at the end: medians, their spread, and ratios to the rivals."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Samples = Mapping[str, Mapping[str, Sequence[float]]]  # row -> forwarder -> a figure per round


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: What is measured.
        unit: Of the figures; "yes/no" for a claim.
        more_is_better: Otherwise less is.
        target: Ratio of the first forwarder to the first rival that is to be reached.
        digits: Decimals shown.
    """

    name: str
    unit: str
    more_is_better: bool = False
    target: float | None = None
    digits: int = 0


@dataclass(frozen=True)
class Ratio:
    """A column of ratios: the figures of one forwarder ÷ those of another."""

    ours: str
    rival: str
    is_judged: bool = False  # against the targets of the rows

    def __str__(self) -> str:
        return f"{self.ours} ÷ {self.rival}" if not self.is_judged else f"÷ {self.rival}"


def say(text: str) -> None:
    """Progress, on stderr."""
    sys.stderr.write(f"bench: {text}\n")


def median(samples: Samples, row: str, name: str) -> float | None:
    """Return the median of a cell; None without a figure."""
    figures = samples.get(row, {}).get(name, ())
    return statistics.median(figures) if figures else None


def ratio_of(samples: Samples, row: str, ratio: Ratio) -> float | None:
    """Return the ratio of two medians; None if one of them is missing or there is none."""
    ours, theirs = median(samples, row, ratio.ours), median(samples, row, ratio.rival)
    if ours is None or not theirs or not math.isfinite(ours / theirs):
        return None
    return ours / theirs


def table(
    rows: Sequence[Row], names: Sequence[str], samples: Samples, ratios: Sequence[Ratio],
    failures: Mapping[str, Sequence[str]],
) -> str:  # fmt: skip
    """Return all rows that were measured, a column per forwarder, then the ratios.

    A cell is the median and in parentheses the lowest and the highest figure. A ratio that reaches
    its target is marked `ok`, one that does not `MISS`. `failures` are sentences by forwarder.
    """
    ratios = [one for one in ratios if one.ours in names and one.rival in names]
    lines = [["", *names, *map(str, ratios)]]
    for row in rows:
        measured = samples.get(row.name)
        if not measured:
            continue
        cells = [f"{row.name} {row.unit}".strip()]
        cells += [_cell(row, measured.get(name, ())) for name in names]
        cells += [_ratio_cell(row, samples, ratio) for ratio in ratios]
        lines.append(cells)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = ""
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        text += "  ".join(cells).rstrip() + "\n"
    sentences = [f"{name}: {one}" for name in names for one in failures.get(name, ())]
    return text + ("\n" + "\n".join(sentences) + "\n" if sentences else "")


def as_json(
    rows: Sequence[Row], names: Sequence[str], samples: Samples, ratios: Sequence[Ratio],
    failures: Mapping[str, Sequence[str]],
) -> dict[str, object]:  # fmt: skip
    """Return what `table` shows, with all figures, as a JSON object."""
    return {
        "forwarders": list(names),
        "failures": {name: list(failures[name]) for name in names if failures.get(name)},
        "rows": [
            {
                "name": row.name,
                "unit": row.unit,
                "more_is_better": row.more_is_better,
                "target": row.target,
                "figures": {name: list(found) for name, found in samples[row.name].items()},
                "ratios": {
                    f"{one.ours} / {one.rival}": ratio_of(samples, row.name, one) for one in ratios
                },
            }
            for row in rows
            if samples.get(row.name)
        ],
    }


def _cell(row: Row, figures: Sequence[float]) -> str:
    if not figures:
        return "–"
    middle = statistics.median(figures)
    if row.unit == "yes/no":
        return "yes" if middle == 1 else "no"
    text = f"{middle:,.{row.digits}f}"
    lowest, highest = (f"{one:,.{row.digits}f}" for one in (min(figures), max(figures)))
    return text if lowest == highest else f"{text} ({lowest}–{highest})"


def _ratio_cell(row: Row, samples: Samples, ratio: Ratio) -> str:
    found = ratio_of(samples, row.name, ratio)
    if found is None or row.unit == "yes/no":
        return "–"
    if row.target is None or not ratio.is_judged:
        return f"{found:.2f}"
    reached = found >= row.target if row.more_is_better else found <= row.target
    return f"{found:.2f} {'ok' if reached else 'MISS'}"
