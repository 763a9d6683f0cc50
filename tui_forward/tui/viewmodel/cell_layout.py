"""Layout of cells in a line: column widths and truncation of text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from tui_forward.tui.viewmodel.rows import Cell


@dataclass(frozen=True, slots=True)
class Column:
    """Width rules of a column.

    Attributes:
        width: Cells; the minimum for a flexible column.
        flexible: Takes the remaining width; long names are truncated in the middle.
        prose: Sentences, which are truncated at the end instead.
        right: Aligned to the right.
        drop: Columns with the highest number are dropped first if space is short; 0 never.
    """

    title: str
    width: int
    flexible: bool = False
    prose: bool = False
    right: bool = False
    drop: int = 0


def column_widths(columns: Sequence[Column], width: int) -> list[int]:
    """Return the width of each column, 0 if dropped; one cell is between columns."""
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
    """Replace each unprintable character with a space."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def truncate(text: str, width: int, *, right: bool = False, middle: bool = False) -> str:
    """Return the text in exactly `width` cells, truncated with an ellipsis.

    Args:
        text: Any text; control characters become spaces.
        width: Cells.
        right: Align to the right.
        middle: Truncate in the middle, because generated names differ at their ends.
    """
    clean = printable(text)
    narrow = clean.isascii()  # fast path: nearly all text is ASCII
    length = len(clean) if narrow else cell_len(clean)
    if length > width:
        if middle and width >= 5 and (narrow or all(cell_len(one) == 1 for one in clean)):
            tail = (width - 1) // 2
            return f"{clean[: width - 1 - tail]}…{clean[-tail:]}"
        return set_cell_size(clean, width - 1) + "…" if width > 1 else "…"[:width]
    blank = " " * (width - length)
    return blank + clean if right else clean + blank


def fitted_spans(cell: Cell, width: int) -> tuple[tuple[int, int], ...]:
    """Return the spans of a cell after `truncate` in the middle.

    Args:
        cell: A cell whose characters are one cell wide each.
        width: Available cells.
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
