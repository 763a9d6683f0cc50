"""Text of the help: groups of lines in one or two columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui_forward.tui.viewmodel.rows import Cell
from tui_forward.tui.widgets.component_style import ComponentStyles

_TWO_COLUMNS = 88
_GAP = 4
_MAX_KEYS_WIDTH = 22

_Groups = Sequence[tuple[str, Sequence[tuple[str, str]]]]
_Line = tuple[Cell, ...]


def layout_lines(groups: _Groups, width: int, first_band: int = 0) -> list[_Line]:
    """Return lines of cells with the styles "title", "keys" and "".

    From 88 cells there are two columns of about the same height. The first groups, if
    `first_band` says how many, are side by side above all others.
    """
    if width < _TWO_COLUMNS:
        return _joined([_lines(title, pairs, width) for title, pairs in groups])
    bands = (groups[:first_band], groups[first_band:])
    return _joined([_columns(band, width) for band in bands if band])


def _columns(groups: _Groups, width: int) -> list[_Line]:
    left_width = (width - _GAP) // 2
    blocks = [_lines(title, pairs, left_width) for title, pairs in groups]
    split = min(
        range(len(blocks) + 1),
        key=lambda position: max(len(_joined(blocks[:position])), len(_joined(blocks[position:]))),
    )
    left, right = _joined(blocks[:split]), _joined(blocks[split:])
    return [
        (*one, Cell(" " * (left_width + _GAP - _width(one))), *other)
        for one, other in zip_longest(left, right, fillvalue=())
    ]


def _joined(blocks: Sequence[list[_Line]]) -> list[_Line]:
    """Return blocks below each other, with an empty line between."""
    lines: list[_Line] = []
    for block in blocks:
        if lines:
            lines.append(())
        lines += block
    return lines


def _lines(title: str, pairs: Sequence[tuple[str, str]], width: int) -> list[_Line]:
    widest = max((cell_len(keys) for keys, _ in pairs), default=0)
    room = max(1, min(widest, _MAX_KEYS_WIDTH, width // 2 - 4))
    lines: list[_Line] = [(Cell(title, "title"),)]
    for keys, words in pairs:
        wrapped = textwrap.wrap(words, max(8, width - room - 4)) or [""]
        if cell_len(keys) > room:  # too long for their column: on a line of their own
            lines.append((Cell("  "), Cell(keys, "keys")))
            keys = ""
        for number, part in enumerate(wrapped):
            first = set_cell_size("" if number else keys, room)
            lines.append((Cell("  "), Cell(first, "keys"), Cell("  "), Cell(part)))
    return lines


def _width(line: _Line) -> int:
    return sum(cell_len(cell.text) for cell in line)


class HelpBody(ScrollView, can_focus=False):
    """Groups of lines, laid out for the width of the widget."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"help--title", "help--keys", "help--none"}

    def __init__(self) -> None:
        super().__init__()
        self._styles = ComponentStyles(self, "help")
        self._groups: _Groups = ()
        self._empty = ""
        self._first_band = 0
        self._lines: list[_Line] = []
        self._laid_out: tuple[_Groups, int, int] = ((), 0, 0)  # groups, first band, width

    def show(self, groups: _Groups, *, empty: str, first_band: int = 0) -> None:
        """Show groups, or a text if there are none; see `layout_lines`."""
        self._groups, self._empty, self._first_band = groups, empty, first_band
        self.scroll_to(y=0, animate=False)
        self._lay_out()

    def _lay_out(self) -> None:
        laid_out = (self._groups, self._first_band, self.scrollable_content_region.width)
        if laid_out[-1] and laid_out != self._laid_out:
            self._laid_out = laid_out
            self._lines = layout_lines(self._groups, laid_out[-1], self._first_band)
            self.virtual_size = Size(0, len(self._lines))
        self.refresh()

    def on_resize(self) -> None:
        """Lay out the lines for the new width."""
        self._styles.clear()
        self._lay_out()

    def notify_style_update(self) -> None:
        """Read styles again after a change of theme."""
        self._styles.clear()
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        """Draw a line of the viewport."""
        width = self.scrollable_content_region.width
        base = self._styles.get()
        position = y + self.scroll_offset.y
        if not self._groups and y == 0:
            cells: _Line = (Cell(self._empty, "none"),)
        else:
            cells = self._lines[position] if position < len(self._lines) else ()
        segments = [Segment(cell.text, self._styles.get(cell.style)) for cell in cells]
        return Strip(segments).adjust_cell_length(width, base)
