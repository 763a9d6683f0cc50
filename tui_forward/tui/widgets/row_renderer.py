"""Draws the lines of a row table: rule with title, header, rows, and the text of an empty table.

Lines are cached by row key, so that scrolling moves lines instead of drawing them again.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip
from textual.widget import Widget

from tui_forward.common.printable import blank_unprintable
from tui_forward.tui.themes import MIN_CONTRAST, contrast
from tui_forward.tui.viewmodel.cell_layout import (
    Column,
    column_widths,
    fitted_spans,
    truncate,
)
from tui_forward.tui.viewmodel.rows import Cell, Row

NO_ROW = Row(())
_MAX_CACHED_LINES = 500
_MIN_TITLE_WIDTH = 4  # cells
# Cache keys of lines without a row; row keys contain no line end.
_HEADER, _BLANK, _MESSAGE = "header\n", "blank\n", "message\n"


@dataclass(frozen=True, slots=True)
class DrawnLine:
    """A line of the viewport, and what it was drawn from."""

    key: str | None  # None for other lines
    row: Row
    look: object  # widths and styles the line depends on
    strip: Strip  # the line with the widget's padding


class RowRenderer:
    """Draws single lines for a row table, which provides sizes, focus and component styles."""

    def __init__(self, table: Widget, columns: Sequence[Column]) -> None:
        self._table = table
        self._columns = tuple(columns)
        self._widths: tuple[int, list[int]] = (-1, [])  # of the columns, at a table width
        self._styles: dict[str, Style] = {}  # until the theme or the focus changes
        self._cache: dict[str, DrawnLine] = {}

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns in order."""
        return self._columns

    @columns.setter
    def columns(self, columns: tuple[Column, ...]) -> None:
        self._columns = columns
        self._widths = (-1, [])
        self._cache.clear()

    def clear_styles(self) -> None:
        """Read component styles again, after a change of theme or focus."""
        self._styles.clear()

    def rule(self, title: str) -> Strip:
        """Return the line above the table, with the title in it."""
        focus, width = self._table.has_focus, self._table.outer_size.width
        edge, suffix = ("━", "-focus") if focus else ("─", "")
        rule = self._style(f"rule{suffix}")
        parts = [Segment(edge, rule)]
        if title and width > _MIN_TITLE_WIDTH:
            text = blank_unprintable(f" {title} ")
            room = min(cell_len(text), width - 2)
            parts.append(Segment(truncate(text, room), self._style(f"title{suffix}")))
        parts.append(Segment(edge * max(0, width - sum(part.cell_length for part in parts)), rule))
        return Strip(parts).adjust_cell_length(width)

    def header(self) -> DrawnLine:
        """Return the line with the column titles."""
        titles = Row(tuple(Cell(column.title) for column in self._columns))
        return self._cached(_HEADER, None, titles, line_style="header")

    def row(self, key: str, row: Row, *, is_cursor: bool) -> DrawnLine:
        """Return the line of a row."""
        if not is_cursor:
            return self._cached(key, key, row)
        focus = self._table.has_focus
        line_style = "cursor" if focus else "cursor-away"
        return self._cached(key, key, row, line_style=line_style, plain=focus)

    def message(self, text: str) -> DrawnLine:
        """Return a line of the text of an empty table."""
        return self._cached(_MESSAGE, None, Row((Cell(text, "dim"),)))

    def blank(self) -> DrawnLine:
        """Return an empty line."""
        return self._cached(_BLANK, None, NO_ROW)

    def _cached(
        self, name: str, key: str | None, row: Row, *, line_style: str = "", plain: bool = False
    ) -> DrawnLine:
        table = self._table
        width = table.scrollable_content_region.width
        look = (width, table.outer_size.width, self._style(""), line_style, plain)
        drawn = self._cache.get(name)
        if drawn is None or drawn.row != row or drawn.look != look:
            if len(self._cache) > _MAX_CACHED_LINES:
                self._cache.clear()
            if self._widths[0] != width:
                self._widths = (width, column_widths(self._columns, width))
            if name == _MESSAGE:
                text = set_cell_size(row.cells[0].text, width)
                content = Strip([Segment(text, self._style("dim"))], width)
            else:
                content = self._cells(row, line_style, width, plain=plain)
            drawn = self._cache[name] = DrawnLine(key, row, look, self._pad(content))
        return drawn

    def _pad(self, strip: Strip) -> Strip:
        padding, base = self._table.styles.padding, self._style("")
        line = Strip([Segment(" " * padding.left, base), *strip])
        return line.adjust_cell_length(self._table.outer_size.width, base)

    def _style(self, name: str, line_style: str = "") -> Style:
        """Return the style of a kind of cell on a kind of line."""
        cache_key = f"{name} {line_style}"
        style = self._styles.get(cache_key)
        if style is None:
            style = self._style(line_style) if line_style else self._table.rich_style
            if name:
                style += self._table.get_component_rich_style(f"rowtable--{name}", partial=True)
            self._styles[cache_key] = style
        return style

    def _cells(self, row: Row, line_style: str, width: int, *, plain: bool) -> Strip:
        """Return cells side by side; the last cell of a short row takes the rest of the line."""
        segments: list[Segment] = []
        base = self._style(line_style)
        used = 0
        last = len(row.cells) - 1
        for position, cell in enumerate(row.cells):
            column = self._columns[position]
            room = self._widths[1][position]
            takes_rest = position == last and last < len(self._columns) - 1
            if takes_rest:
                room = width - used
            if room <= 0:
                continue
            style = self._style(cell.style, line_style) if cell.style else base
            if plain:
                style = readable_style(style, base)
            text = truncate(
                cell.text, room, right=column.right and not takes_rest,
                middle=column.flexible and not column.prose,
            )  # fmt: skip
            if cell.spans:
                match = self._style("match", line_style)
                segments += _highlight(text, style, style + match, fitted_spans(cell, room))
            else:
                segments.append(Segment(text, style))
            used += room
            if used < width:
                segments.append(Segment(" ", base))
                used += 1
        if used < width:
            segments.append(Segment(" " * (width - used), base))
        return Strip(segments).adjust_cell_length(width, base)


@functools.lru_cache(256)
def readable_style(style: Style, base: Style) -> Style:
    """Return a style on the ground of `base` if its color can be read there, else `base`."""
    color, ground = style.color, base.bgcolor
    if color is None or ground is None or style.bgcolor != ground:
        return base
    if color.triplet is None or ground.triplet is None:  # what the terminal makes of it
        return base
    over, under = Color.from_rich_color(color), Color.from_rich_color(ground)
    return style if contrast(over, under) >= MIN_CONTRAST else base


def _highlight(
    text: str, style: Style, match: Style, spans: Sequence[tuple[int, int]]
) -> list[Segment]:
    segments: list[Segment] = []
    at = 0
    for start, end in spans:
        segments += [Segment(text[at:start], style), Segment(text[start:end], match)]
        at = end
    return [segment for segment in (*segments, Segment(text[at:], style)) if segment.text]
