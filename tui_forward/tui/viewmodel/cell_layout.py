"""How cells share a line: which columns find a place, and what is left of a text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from tui_forward.tui.viewmodel.rows import Cell


@dataclass(frozen=True, slots=True)
class Column:
    """How wide a column is.

    Attributes:
        width: Cells, or the least of them for the one that takes what is left.
        flexible: Takes what is left; names that are too long lose their middle.
        prose: Sentences, which lose their end instead.
        right: Figures stand to the right.
        drop: Columns with the highest number go first when the table is too narrow; 0 stays.
    """

    title: str
    width: int
    flexible: bool = False
    prose: bool = False
    right: bool = False
    drop: int = 0


def column_widths(columns: Sequence[Column], width: int) -> list[int]:
    """The width of each column, 0 for one that finds no place; one cell between columns."""
    shown = list(columns)

    def needed() -> int:
        return sum(column.width + 1 for column in shown) - 1

    while needed() > width and (last := max(shown, key=lambda c: c.drop)).drop:
        shown.remove(last)
    spare = max(0, width - needed())
    widths = []
    for column in columns:
        if column not in shown:
            widths.append(0)
        elif column.flexible:
            widths.append(column.width + spare)
            spare = 0
        else:
            widths.append(column.width)
    return widths


def printable(text: str) -> str:
    """The text with a blank for each character that is none to look at."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def truncate(text: str, width: int, *, right: bool = False, middle: bool = False) -> str:
    """Text in exactly `width` cells; an ellipsis says that something was left out.

    Args:
        text: Anything; control characters become blanks.
        width: Cells.
        right: Stands to the right.
        middle: Leaves out the middle, because generated names differ at their ends.
    """
    clean = printable(text)
    narrow = clean.isascii()  # as nearly all of it is, and that is known at once
    length = len(clean) if narrow else cell_len(clean)
    if length > width:
        if middle and width >= 5 and (narrow or all(cell_len(one) == 1 for one in clean)):
            tail = (width - 1) // 2
            return f"{clean[: width - 1 - tail]}…{clean[-tail:]}"
        return set_cell_size(clean, width - 1) + "…" if width > 1 else "…"[:width]
    blank = " " * (width - length)
    return blank + clean if right else clean + blank


def fitted_spans(cell: Cell, width: int) -> tuple[tuple[int, int], ...]:
    """Where the matching parts are in what `fit` leaves of a text, its middle left out.

    Args:
        cell: Its characters are one cell wide each.
        width: Cells there is room for.
    """
    spans, length = cell.spans, len(cell.text)
    if length <= width:
        return spans
    tail = (width - 1) // 2 if width >= 5 else 0
    head, cut = width - 1 - tail, length - tail
    found: list[tuple[int, int]] = []
    for start, end in spans:
        if start < head:
            found.append((start, min(end, head)))
        if tail and end > cut:
            found.append((max(start, cut) - length + width, end - length + width))
    return tuple(found)
