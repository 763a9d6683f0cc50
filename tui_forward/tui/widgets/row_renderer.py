"""Draws the lines of a row table: rule with title, header, rows, and the text of an empty table.

Lines are cached by row key, so that scrolling moves lines instead of drawing them again.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip
from textual.widget import Widget

from tui_forward.common.printable import blank_unprintable
from tui_forward.tui.themes import MIN_CONTRAST, contrast
from tui_forward.tui.viewmodel.cell_layout import Column, Layout, fit, truncate
from tui_forward.tui.viewmodel.row_layout import PlacedCell, place_cells, place_second_line
from tui_forward.tui.viewmodel.rows import Cell, Row
from tui_forward.tui.widgets.component_style import component_style

NO_ROW = Row(())
_MAX_CACHED_LINES = 200
_MIN_TITLE_WIDTH = 4  # cells
# Cache keys of lines without a row; row keys contain no line end.
_HEADER, _BLANK, _MESSAGE, _SECOND = "header\n", "blank\n", "message\n", "second\n"


class DrawnLine(msgspec.Struct, frozen=True):
    """A line of the viewport, and what it was drawn from."""

    key: str | None  # None for other lines
    row: Row
    look: object  # widths and styles the line depends on
    strip: Strip  # the line with the widget's padding
    is_second: bool = False  # whether it is the second line of its row


class RowRenderer:
    """Draws single lines for a row table, which provides sizes, focus and component styles."""

    def __init__(self, table: Widget, columns: Sequence[Column]) -> None:
        self._table = table
        self._columns = tuple(columns)
        self._longest: tuple[int, ...] = ()
        self._layout: tuple[int, Layout] = (-1, Layout(()))  # of the columns, at a table width
        self._styles: dict[str, Style] = {}  # until the theme or the focus changes
        self._cache: dict[str, DrawnLine] = {}

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns in order."""
        return self._columns

    @property
    def longest(self) -> tuple[int, ...]:
        """Lengths of the longest cells of the columns."""
        return self._longest

    @property
    def layout(self) -> Layout:
        """The widths of the columns at the present width of the table."""
        return self._layout_at(self._table.scrollable_content_region.width)

    def _layout_at(self, width: int) -> Layout:
        if self._layout[0] != width:
            self._layout = (width, fit(self._columns, width, self._longest))
        return self._layout[1]

    def set_columns(self, columns: tuple[Column, ...], longest: tuple[int, ...]) -> bool:
        """Set the columns and the lengths of their longest cells; return whether that moves any.

        Titles may change without a move.
        """
        before, self._columns, self._longest = self.layout, columns, longest
        self._layout = (-1, before)
        return self.layout != before

    def clear_styles(self) -> None:
        """Read component styles again, after a change of theme or focus."""
        self._styles.clear()

    def rule(self, title: str, notes: Sequence[str] = ()) -> Strip:
        """Return the line above the table: the title at the left, notes at the right.

        The first notes are left out where space is short, then the title is cut.
        """
        focus, width = self._table.has_focus, self._table.outer_size.width
        edge, suffix = ("━", "-focus") if focus else ("─", "")
        rule = self._style(f"rule{suffix}")
        parts = [Segment(edge, rule)]
        shown = list(notes)
        text = blank_unprintable(f" {title} ") if title and width > _MIN_TITLE_WIDTH else ""
        needed = cell_len(text) + 3

        def right_text() -> str:
            return blank_unprintable(f" {' · '.join(shown)} ") if shown else ""

        while shown and needed + cell_len(right_text()) > width:
            if len(shown) == 1:
                needed = min(needed, max(_MIN_TITLE_WIDTH, width - cell_len(right_text())))
                break
            del shown[0]
        right = right_text() if cell_len(right_text()) + 2 <= width else ""
        if text:
            room = min(cell_len(text), width - 2 - cell_len(right))
            if room > 0:
                parts.append(Segment(truncate(text, room), self._style(f"title{suffix}")))
        used = sum(part.cell_length for part in parts) + cell_len(right) + int(bool(right))
        parts.append(Segment(edge * max(0, width - used), rule))
        if right:
            parts += [Segment(right, self._style(f"title{suffix}")), Segment(edge, rule)]
        return Strip(parts).adjust_cell_length(width)

    def header(self) -> DrawnLine:
        """Return the line with the column titles."""
        titles = Row(tuple(Cell(column.title) for column in self._columns))
        return self._cached(_HEADER, None, titles, line_style="header")

    def row(self, key: str, row: Row, *, is_cursor: bool, second: bool = False) -> DrawnLine:
        """Return the line of a row, or its second line."""
        name = f"{_SECOND}{key}" if second else key
        is_rule = second and row.second is not None and row.second.style == "rule"
        if not is_cursor or is_rule:
            return self._cached(name, key, row)
        focus = self._table.has_focus
        line_style = "cursor" if focus else "cursor-away"
        return self._cached(name, key, row, line_style=line_style, plain=focus)

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
        width, outer = table.scrollable_content_region.width, table.outer_size.width
        layout = self._layout_at(width)
        look = (width, outer, self._style(""), line_style, plain, layout, self._columns)
        drawn = self._cache.get(name)
        if drawn is None or drawn.row != row or drawn.look != look:
            if len(self._cache) > _MAX_CACHED_LINES:
                self._cache.clear()
            is_second = name.startswith(_SECOND)
            if name == _MESSAGE:
                text = set_cell_size(row.cells[0].text, width)
                content = Strip([Segment(text, self._style("dim"))], width)
            else:
                place = place_second_line if is_second else place_cells
                placed = place(row, self._columns, layout, width)
                content = self._strip(placed, line_style, width, plain=plain)
            mark = "strong" if row.marked else ""
            line = self._pad(content, mark, line_style)
            drawn = self._cache[name] = DrawnLine(key, row, look, line, is_second)
        return drawn

    def _pad(self, strip: Strip, mark: str, line_style: str) -> Strip:
        """Add the cell before the columns, which is that of the selection mark."""
        padding = self._table.styles.padding.left
        text = ("✓" if mark else "").ljust(padding)[:padding]
        line = Strip([Segment(text, self._style(mark, line_style)), *strip])
        return line.adjust_cell_length(self._table.outer_size.width, self._style(""))

    def _style(self, name: str, line_style: str = "") -> Style:
        """Return the style of a kind of cell on a kind of line."""
        cache_key = f"{name} {line_style}"
        style = self._styles.get(cache_key)
        if style is None:
            style = self._style(line_style) if line_style else self._table.rich_style
            if name:
                style += component_style(self._table, f"rowtable--{name}", style)
            self._styles[cache_key] = style
        return style

    def _strip(
        self, placed: Sequence[PlacedCell], line_style: str, width: int, *, plain: bool
    ) -> Strip:
        """Return placed cells as a line of exactly `width` cells."""
        segments: list[Segment] = []
        base = self._style(line_style)
        used = 0
        for one in placed:
            if one.x > used:
                segments.append(Segment(" " * (one.x - used), base))
            for part in one.parts():
                style = self._style(part.style, line_style) if part.style else base
                if plain:
                    style = readable_style(style, base)
                if part.is_match:
                    style += self._style("match", line_style)
                segments.append(Segment(part.text, style))
            used = one.x + one.width
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
