"""Scrolling view of log lines, which are untrusted text: plain segments, never markup."""

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
    LogLevel.DEBUG: "debug", LogLevel.WARNING: "warning", LogLevel.ERROR: "error",
    LogLevel.CRITICAL: "error",
}  # fmt: skip


class LogView(ScrollView, can_focus=True):
    """Log lines; follows the end while it is visible, else keeps its position."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log-view--debug", "log-view--warning", "log-view--error", "log-view--match",
        "log-view--found", "log-view--empty",
    }  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "Up", show=False, id="log.up", tooltip="One line up"),
        Binding("down,j", "scroll_down", "Down", show=False, id="log.down",
                tooltip="One line down"),
        Binding("left", "scroll_left", "Left", show=False, id="log.left",
                tooltip="Scroll left (unwrapped lines)"),
        Binding("right", "scroll_right", "Right", show=False, id="log.right",
                tooltip="Scroll right (unwrapped lines)"),
        Binding("pageup", "page_up", "Page up", show=False, id="log.page-up",
                tooltip="One page up"),
        Binding("pagedown,space", "page_down", "Page down", show=False, id="log.page-down",
                tooltip="One page down"),
        Binding("home,g", "scroll_home", "Start", show=False, id="log.start",
                tooltip="Oldest line"),
    ]  # fmt: skip

    wrap = reactive(True, repaint=False)
    empty = reactive("")

    class Scrolled(Message):
        """The view started or stopped following the end."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: tuple[LogLine, ...] = ()
        self._rows: list[int] = [0]  # first row of each line, then the total number
        self._width = 0
        self._needle = ""
        self._matches: list[int] = []  # positions in `_lines`
        self._found: int | None = None  # number of the current match
        self.following = True

    @property
    def found(self) -> tuple[int, int]:
        """Number of the current match, from 1 (0: none), and number of matches."""
        numbers = [self._lines[position].number for position in self._matches]
        if self._found is None:
            return (0, len(numbers))
        return (bisect_right(numbers, self._found), len(numbers))

    def show(self, lines: Sequence[LogLine]) -> None:
        """Replace all lines."""
        anchor = self._top_line()
        self._lines = tuple(lines)
        self._find_matches()
        self._lay_out(anchor)

    # Layout.

    def _top_line(self) -> tuple[int, int]:
        """Return the number of the top line, and how many of its rows are above the view."""
        if not self._lines:
            return (0, 0)
        row = min(round(self.scroll_y), self._rows[-1] - 1)
        position = bisect_right(self._rows, row) - 1
        return (self._lines[position].number, row - self._rows[position])

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
            self._scroll_to_end()
        else:
            number, above = anchor
            position = bisect_left(self._lines, number, key=lambda line: line.number)
            if position < len(self._lines) and self._lines[position].number != number:
                above = 0
            row = rows[min(position, len(rows) - 1)] + above
            # Forced: the scroll bar appears only with the next layout.
            self.scroll_to(y=row, animate=False, immediate=True, force=True)
        self.refresh()

    def _scroll_to_end(self) -> None:
        if self.following:
            self.scroll_end(animate=False, immediate=True, force=True, x_axis=False)

    def on_resize(self) -> None:
        """Wrap lines for the new width."""
        if self._width != self.scrollable_content_region.width or self.following:
            self._lay_out(self._top_line())

    def watch_wrap(self) -> None:
        """Wrap lines or not."""
        self.set_class(not self.wrap, "-long")
        if self.is_mounted:
            anchor = self._top_line()
            self.scroll_to(x=0, animate=False, immediate=True, force=True)
            self._lay_out(anchor)
            # The horizontal scroll bar, which takes a row, appears or disappears.
            self.call_after_refresh(self._scroll_to_end)

    def watch_scroll_y(self, old: float, new: float) -> None:
        """Follow the end if it is visible."""
        super().watch_scroll_y(old, new)
        following = round(new) >= self.max_scroll_y
        if following is not self.following:
            self.following = following
            self.post_message(self.Scrolled())

    # Search.

    def search(self, text: str) -> None:
        """Highlight a text in any case and go to its last match; an empty text ends the search."""
        self._needle = text.lower()
        self._find_matches()
        self._found = None
        if self._matches:
            self.find(-1)
        self.refresh()

    def _find_matches(self) -> None:
        needle = self._needle
        found = enumerate(self._lines if needle else ())
        self._matches = [position for position, line in found if needle in line.text.lower()]

    def find(self, by: int) -> None:
        """Go to the next match for 1, to the previous one for -1; wrap around."""
        if not self._matches:
            return
        if self._found is None:
            index = 0 if by > 0 else len(self._matches) - 1
        else:
            numbers = [self._lines[position].number for position in self._matches]
            here = bisect_left(numbers, self._found)
            at = here < len(numbers) and numbers[here] == self._found
            step = by if at or by < 0 else 0  # the current line may be gone
            index = (here + step) % len(numbers)
        position = self._matches[index]
        self._found = self._lines[position].number
        row = self._rows[position]
        height = self.scrollable_content_region.height
        if not self.scroll_offset.y <= row < self.scroll_offset.y + height:
            self.scroll_to(y=max(0, row - height // 2), animate=False, immediate=True)
        self.refresh()

    def current_text(self) -> str:
        """Return the line of the current match, else the last visible one; "" without lines."""
        if not self._lines:
            return ""
        if self._found is not None:
            numbers = [line.number for line in self._lines]
            position = min(bisect_left(numbers, self._found), len(self._lines) - 1)
            return self._lines[position].text
        height = max(1, self.scrollable_content_region.height)
        row = min(self.scroll_offset.y + height, self._rows[-1]) - 1
        return self._lines[bisect_right(self._rows, row) - 1].text

    # Drawing.

    def render_line(self, y: int) -> Strip:
        """Draw a row of the viewport."""
        width = self.scrollable_content_region.width
        base = self.rich_style
        if not self._lines:
            rows = _chopped(self.empty, max(1, width)) if self.empty else []
            if y < len(rows):
                style = base + self._style("empty")
                return Strip([Segment(rows[y], style)]).adjust_cell_length(width, base)
            return Strip.blank(width, base)
        row = y + self.scroll_offset.y
        if row >= self._rows[-1]:
            return Strip.blank(width, base)
        position = bisect_right(self._rows, row) - 1
        line = self._lines[position]
        text, start = line.text, 0
        if self.wrap:
            parts = _chopped(text, self._width)
            part = row - self._rows[position]
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
    if len(low) != len(text):  # lower case changed the positions: no highlight
        return
    at = low.find(needle)
    while at >= 0:
        yield at, at + len(needle)
        at = low.find(needle, at + len(needle))


def _cells(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def _chopped(text: str, width: int) -> list[str]:
    """Return a text in rows of at most `width` cells; at least one row."""
    if text.isascii():
        return [text[at : at + width] for at in range(0, len(text), width)] or [""]
    return chop_cells(text, width) or [""]
