"""Places of a row's cells in a line, and the styled parts of their texts. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from tui_forward.tui.viewmodel.cell_layout import Column, Layout, fit_text, longest_cell
from tui_forward.tui.viewmodel.rows import RULE, Cell, Row

_MIN_NOTE = 4  # cells of a text after a name
_NOTED = frozenset({"bad", "warn"})  # styles of cells that follow the name where they are dropped


class Part(msgspec.Struct, frozen=True):
    """Text in one style."""

    text: str
    style: str  # of its cell; "dim" for what surrounds a name
    is_match: bool = False  # of the filter


class PlacedCell(msgspec.Struct, frozen=True):
    """A cell in a line."""

    cell: Cell
    x: int
    width: int
    right: bool = False
    middle: bool = False  # whether its middle is cut
    note: Cell | None = None  # follows its text where there is room

    def parts(self) -> Iterator[Part]:
        """Yield the text in exactly its width, in parts that are not empty."""
        width, note = self.width, self.note
        if note is not None:
            length = longest_cell((self.cell.text,))
            if width - length - 1 >= min(_MIN_NOTE, longest_cell((note.text,))):
                yield from _parts(self.cell, length, right=False, middle=False)
                yield Part(" ", "")
                yield Part(fit_text(note.text, width - length - 1).text, note.style)
                return
        yield from _parts(self.cell, width, right=self.right, middle=self.middle)


def place_cells(
    row: Row, columns: Sequence[Column], layout: Layout, width: int
) -> list[PlacedCell]:
    """Return the visible cells of a row from left to right, at least one cell apart.

    The last cell of a row that has fewer than there are columns takes the rest of the line, or
    is replaced by the row's word if there is only one column for it.
    """
    widths, gap = layout.widths, layout.gap
    placed: list[PlacedCell] = []
    x = position = 0
    for number, cell in enumerate(row.cells, 1):
        first, position = position, position + cell.columns
        if takes_rest := number == len(row.cells) and position < len(columns):
            position = len(columns)
        shown = [one for one in range(first, position) if widths[one]]
        if not shown:
            if columns[first].follows and cell.style in _NOTED:
                _add_note(placed, cell)
            continue
        column = columns[shown[0]]
        room = sum(widths[one] for one in shown) + gap * (len(shown) - 1)
        if takes_rest and len(shown) == 1 and row.word is not None:
            placed.append(PlacedCell(row.word, x, room, right=column.right))
        elif takes_rest:
            placed.append(PlacedCell(cell, x, width - x))
        else:
            single = cell.columns == 1
            if column.keeps_end and len(cell.text) > room:
                cell = Cell(cell.text[-room:], cell.style)
            placed.append(
                PlacedCell(
                    cell, x, room, right=column.right and single,
                    middle=column.cuts_middle and single,
                )
            )  # fmt: skip
        x += room + gap
    return placed


def place_second_line(
    row: Row, columns: Sequence[Column], layout: Layout, width: int
) -> list[PlacedCell]:
    """Return the second line of a row: a rule, or a text that begins under its first name."""
    second = row.second
    if second is None:
        return []
    if second.style == RULE.style:
        return [PlacedCell(Cell("─" * width, second.style), 0, width)]
    x = next(
        (
            layout.place(position)
            for position, column in enumerate(columns)
            if column.is_name and layout.widths[position]
        ),
        0,
    )
    return [PlacedCell(second, x, max(0, width - x))]


def _add_note(placed: list[PlacedCell], note: Cell) -> None:
    """Add a text to the latest name."""
    for at in reversed(range(len(placed))):
        if placed[at].middle:
            placed[at] = replace(placed[at], note=note)
            return


def _parts(cell: Cell, width: int, *, right: bool, middle: bool) -> Iterator[Part]:
    fitted = fit_text(
        cell.text, width, right=right, middle=middle, lead=cell.lead, trail=cell.trail
    )
    text, length = fitted.text, len(cell.text)
    if not (cell.lead or cell.trail or cell.spans):
        if text:
            yield Part(text, cell.style)
        return
    is_whole = fitted.head >= length
    lead = min(cell.lead, fitted.head)
    end = length if is_whole else fitted.head + 1 + fitted.tail
    trail = max(lead, end - min(cell.trail, fitted.tail))
    spans = fitted.spans(length, cell.spans)
    edges = {0, lead, trail, end, len(text), *(edge for span in spans for edge in span)}
    places = sorted(edges)
    for start, stop in itertools.pairwise(places):
        is_name = lead <= start < trail
        is_match = any(first <= start < last for first, last in spans)
        style = cell.style if is_name else "dim" if start < lead else cell.trail_style
        yield Part(text[start:stop], style, is_match)
