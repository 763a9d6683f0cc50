"""Lines of a log in a scrolling view: only what is visible is drawn, and it keeps its place.

Log lines are strangers' text: they are drawn as plain segments, never as markup.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import ClassVar

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui_forward.tui.viewmodel.log_tail import LogLevel, LogLine

_STYLES = {
    LogLevel.DEBUG: "debug",
    LogLevel.WARNING: "warning",
    LogLevel.ERROR: "error",
    LogLevel.CRITICAL: "error",
}


class LogView(ScrollView, can_focus=True):
    """Shows lines; stays at the end while it is there, else keeps what is on the screen."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log-view--debug",
        "log-view--warning",
        "log-view--error",
        "log-view--match",
        "log-view--found",
        "log-view--empty",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "Up", show=False, id="log.up", tooltip="A line up"),
        Binding("down,j", "scroll_down", "Down", show=False, id="log.down", tooltip="A line down"),
        Binding("left", "scroll_left", "Left", show=False, id="log.left",
                tooltip="To the left, where lines are not broken"),
        Binding("right", "scroll_right", "Right", show=False, id="log.right",
                tooltip="To the right, where lines are not broken"),
        Binding("pageup", "page_up", "Page up", show=False, id="log.page-up",
                tooltip="A page up"),
        Binding("pagedown,space", "page_down", "Page down", show=False, id="log.page-down",
                tooltip="A page down"),
        Binding("home,g", "scroll_home", "Start", show=False, id="log.start",
                tooltip="The oldest line that is kept"),
    ]  # fmt: skip

    wrap = reactive(True, repaint=False)
    empty = reactive("")

    class Scrolled(Message):
        """The view has begun or ceased to follow the end."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: tuple[LogLine, ...] = ()
        # Of each line, the number of its first row; and one more, the number of all rows.
        self._rows: list[int] = [0]
        self._width = 0
        self._needle = ""
        self._matches: list[int] = []  # places in `_lines`
        self._found: int | None = None  # number of the line one has jumped to
        self.following = True

    @property
    def found(self) -> tuple[int, int]:
        """Which match one is at, counted from 1, and how many there are."""
        numbers = [self._lines[place].number for place in self._matches]
        if self._found is None:
            return (0, len(numbers))
        return (bisect_right(numbers, self._found), len(numbers))

    def show(self, lines: Sequence[LogLine]) -> None:
        """Take over the present lines."""
        anchor = self._anchor()
        self._lines = tuple(lines)
        self._match()
        self._lay_out(anchor)

    # Laying out.

    def _anchor(self) -> tuple[int, int]:
        """The line on top of the view, by its number, and how many of its rows are above."""
        if not self._lines:
            return (0, 0)
        row = min(round(self.scroll_y), self._rows[-1] - 1)
        place = bisect_right(self._rows, row) - 1
        return (self._lines[place].number, row - self._rows[place])

    def _lay_out(self, anchor: tuple[int, int]) -> None:
        width = max(1, self.scrollable_content_region.width)
        self._width = width
        rows = [0]
        widest = 0
        for line in self._lines:
            length = _cells(line.text)
            widest = max(widest, length)
            rows.append(rows[-1] + (len(_chopped(line.text, width)) if self.wrap else 1))
        self._rows = rows
        self.virtual_size = Size(0 if self.wrap else widest, rows[-1])
        if self.following:
            self._stay()
        else:
            number, above = anchor
            place = bisect_left(self._lines, number, key=lambda line: line.number)
            if place < len(self._lines) and self._lines[place].number != number:
                above = 0
            row = rows[min(place, len(rows) - 1)] + above
            # Forced: whether there is a scroll bar is known only after the layout.
            self.scroll_to(y=row, animate=False, immediate=True, force=True)
        self.refresh()

    def _stay(self) -> None:
        if self.following:
            self.scroll_end(animate=False, immediate=True, force=True, x_axis=False)

    def on_resize(self) -> None:
        """Lines are broken elsewhere."""
        if self._width != self.scrollable_content_region.width or self.following:
            self._lay_out(self._anchor())

    def watch_wrap(self) -> None:
        """Break lines, or not any more."""
        self.set_class(not self.wrap, "-long")
        if self.is_mounted:
            anchor = self._anchor()
            self.scroll_to(x=0, animate=False, immediate=True, force=True)
            self._lay_out(anchor)
            # A scroll bar comes or goes below, and takes a row of the view.
            self.call_after_refresh(self._stay)

    def watch_scroll_y(self, old: float, new: float) -> None:
        """At the end one follows, elsewhere one reads."""
        super().watch_scroll_y(old, new)
        following = round(new) >= self.max_scroll_y
        if following is not self.following:
            self.following = following
            self.post_message(self.Scrolled())

    # Searching.

    def search(self, text: str) -> None:
        """Mark a text wherever it stands, and go to where it stands last.

        Args:
            text: Case does not matter; nothing ends the search.
        """
        self._needle = text.lower()
        self._match()
        self._found = None
        if self._matches:
            self.find(-1)
        self.refresh()

    def _match(self) -> None:
        needle = self._needle
        self._matches = (
            [place for place, line in enumerate(self._lines) if needle in line.text.lower()]
            if needle
            else []
        )

    def find(self, by: int) -> None:
        """Go to another match.

        Args:
            by: 1 is the next one, -1 the one before; at either end it goes on at the other.
        """
        if not self._matches:
            return
        if self._found is None:
            index = 0 if by > 0 else len(self._matches) - 1
        else:
            numbers = [self._lines[place].number for place in self._matches]
            here = bisect_left(numbers, self._found)
            at = here < len(numbers) and numbers[here] == self._found
            step = by if at or by < 0 else 0  # the one it stood at may be gone
            index = (here + step) % len(numbers)
        place = self._matches[index]
        self._found = self._lines[place].number
        row = self._rows[place]
        height = self.scrollable_content_region.height
        if not self.scroll_offset.y <= row < self.scroll_offset.y + height:
            self.scroll_to(y=max(0, row - height // 2), animate=False, immediate=True)
        self.refresh()

    # Drawing.

    def render_line(self, y: int) -> Strip:
        """One row of the viewport."""
        width = self.scrollable_content_region.width
        base = self.rich_style
        if not self._lines:
            said = _chopped(self.empty, max(1, width)) if self.empty else []
            if y < len(said):
                style = base + self._style("empty")
                return Strip([Segment(said[y], style)]).adjust_cell_length(width, base)
            return Strip.blank(width, base)
        row = y + self.scroll_offset.y
        if row >= self._rows[-1]:
            return Strip.blank(width, base)
        place = bisect_right(self._rows, row) - 1
        line = self._lines[place]
        text, start = line.text, 0
        if self.wrap:
            parts = _chopped(text, self._width)
            part = row - self._rows[place]
            start = sum(map(len, parts[:part]))
            text = parts[part]
        strip = Strip(list(self._segments(line, start, start + len(text), base)))
        left = self.scroll_offset.x
        return strip.crop(left, left + width).adjust_cell_length(width, base)

    def _segments(self, line: LogLine, start: int, end: int, base: Style) -> Iterator[Segment]:
        name = _STYLES.get(line.level)
        style = base + self._style(name) if name else base
        at = start
        if self._needle:
            marked = style + self._style("found" if line.number == self._found else "match")
            for first, last in _spans(line.text, self._needle):
                first, last = max(first, at), min(last, end)
                if first < last:
                    yield Segment(line.text[at:first], style)
                    yield Segment(line.text[first:last], marked)
                    at = last
        yield Segment(line.text[at:end], style)

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"log-view--{name}", partial=True)


def _spans(text: str, needle: str) -> Iterator[tuple[int, int]]:
    low = text.lower()
    if len(low) != len(text):  # a letter that is two in lower case: better no mark than a wrong one
        return
    at = low.find(needle)
    while at >= 0:
        yield at, at + len(needle)
        at = low.find(needle, at + len(needle))


def _cells(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def _chopped(text: str, width: int) -> list[str]:
    """A text in rows of at most `width` cells; nothing is one empty row."""
    if text.isascii():
        return [text[at : at + width] for at in range(0, len(text), width)] or [""]
    return chop_cells(text, width) or [""]
