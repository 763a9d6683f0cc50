"""Layout of cells in a line: column widths and truncation of text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from tui_forward.common.printable import blank_unprintable
from tui_forward.tui.viewmodel.rows import Cell

# Characters of a text; more fit into no line, and measuring them takes time.
_MAX_LENGTH = 1000


@dataclass(frozen=True, slots=True)
class Column:
    """Width rules of a column."""

    title: str
    width: int  # cells; the minimum for a flexible column
    flexible: bool = False  # takes the remaining width; long names are truncated in the middle
    prose: bool = False  # sentences, which are truncated at the end instead
    right: bool = False
    drop: int = 0  # columns with the highest number are dropped first if space is short; 0 never


def column_widths(columns: Sequence[Column], width: int) -> list[int]:
    """Return the width of each column, 0 if dropped; one cell is between columns.

    If nothing is left to drop, the flexible column is narrower than its minimum.
    """
    shown = list(columns)

    def needed() -> int:
        return sum(column.width + 1 for column in shown) - 1

    while needed() > width and (last := max(shown, key=lambda c: c.drop)).drop:
        shown.remove(last)
    spare = width - needed()
    widths = []
    for column in columns:
        if column not in shown:
            widths.append(0)
        elif column.flexible:
            widths.append(max(1, column.width + spare))
            spare = 0
        else:
            widths.append(column.width)
    return widths


def truncate(text: str, width: int, *, right: bool = False, middle: bool = False) -> str:
    """Return the text in exactly `width` cells, truncated with an ellipsis.

    Control characters become spaces. Generated names differ at their ends; `middle` keeps those.
    """
    if len(text) > _MAX_LENGTH:
        text = text[: _MAX_LENGTH // 2] + text[-_MAX_LENGTH // 2 :]
    clean = blank_unprintable(text)
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
    """Return the spans of a cell of one-cell characters after `truncate` in the middle."""
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
