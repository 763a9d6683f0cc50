"""Scroll view that keeps the lines it has drawn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Self

from textual.color import Color
from textual.geometry import Region
from textual.strip import Strip

from tui_forward.tui.textual_internals.widgets import SelfDrawingScrollView
from tui_forward.tui.widgets.row_renderer import DrawnLine

RULE_LINE = -1  # line of the viewport above the first one


class LineCacheView(SelfDrawingScrollView):
    """Scroll view with a rule above, whose visible lines are drawn once until refreshed."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id)
        self._drawn: dict[int, DrawnLine] = {}  # by line of the viewport
        self._width = 0  # of the lines
        self._background: Color | None = None  # until the theme or the focus changes

    @abstractmethod
    def draw_line(self, y: int) -> DrawnLine:
        """Draw a line of the viewport."""

    @abstractmethod
    def draw_rule(self) -> Strip:
        """Draw the line above the viewport."""

    def drawn_lines(self) -> list[tuple[int, DrawnLine]]:
        """Return the visible lines as drawn last."""
        return list(self._drawn.items())

    def redraw_lines(self, lines: Iterable[int]) -> None:
        """Draw visible lines now; paint those that look different."""
        drawn = {line: self.draw_line(line) for line in lines}
        different = [
            line for line, one in drawn.items()
            if line not in self._drawn or self._drawn[line].strip != one.strip
        ]  # fmt: skip
        if different:
            width = self.size.width - self.scrollbar_size_vertical
            self.refresh(*(Region(0, line, width, 1) for line in different))
        self._drawn.update(drawn)

    def keep_lines_of_size(self) -> bool:
        """Forget lines below the viewport; draw all again and return True for another width."""
        width, height = self.outer_size.width, self.size.height
        if is_wider_or_narrower := width != self._width:
            self._width = width
            self.refresh()
        self._drawn = {y: drawn for y, drawn in self._drawn.items() if y < height}
        return is_wider_or_narrower

    def refresh_line(self, line: int) -> None:
        """Draw a line again, `RULE_LINE` for the rule."""
        scrollbar = 0 if line == RULE_LINE else self.scrollbar_size_vertical
        self.refresh(Region(0, line, self.size.width - scrollbar, 1))

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        """Draw these regions again, or everything."""
        if regions:
            for region in regions:
                for y in region.line_range:
                    self._drawn.pop(y, None)
        else:
            self._drawn.clear()
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def notify_style_update(self) -> None:
        """Draw everything again after a change of theme."""
        self._drawn.clear()
        self._background = None
        super().notify_style_update()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw a part of the widget from lines drawn before, with the rule as its only border."""
        top, width = self.styles.gutter.top, self.outer_size.width
        filters = self.get_line_filters()
        background = self._background = self._background or self.background_colors[1]
        strips: list[Strip] = []
        for y in crop.line_range:
            strip = self._line(y - top).strip if y >= top else self.draw_rule()
            for line_filter in filters:
                strip = strip.apply_filter(line_filter, background)
            strips.append(strip if crop.width == width else strip.crop(crop.x, crop.right))
        return strips

    def _line(self, y: int) -> DrawnLine:
        drawn = self._drawn.get(y)
        if drawn is None:
            drawn = self._drawn[y] = self.draw_line(y)
        return drawn
