"""Lines of the palette: headings, and commands with their keys at the right."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui_forward.common.printable import blank_unprintable
from tui_forward.tui.keys.palette import PaletteCommand, PaletteLines, match_spans
from tui_forward.tui.viewmodel.cell_layout import truncate
from tui_forward.tui.widgets.component_style import ComponentStyles

_INDENT = "  "
_MIN_TITLE = 10  # cells of a title before its keys are left out


class PaletteBody(ScrollView, can_focus=False):
    """One widget that draws all lines; the cursor is on a command."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "palette--heading", "palette--keys", "palette--cursor", "palette--match", "palette--none",
    }  # fmt: skip

    class Chosen(Message):
        """A command was clicked."""

        def __init__(self, command: PaletteCommand) -> None:
            super().__init__()
            self.command = command

    def __init__(self) -> None:
        super().__init__()
        self._styles = ComponentStyles(self, "palette")
        self._shown = PaletteLines(())
        self._query = ""
        self._cursor = -1

    @property
    def current(self) -> PaletteCommand | None:
        """The command under the cursor."""
        lines = self._shown.lines
        line = lines[self._cursor] if 0 <= self._cursor < len(lines) else None
        return line if isinstance(line, PaletteCommand) else None

    def show(self, found: PaletteLines, query: str) -> None:
        """Show lines, with the cursor on the best match."""
        self._shown, self._query = found, query
        self.virtual_size = Size(0, len(found.lines))
        self.scroll_to(y=0, animate=False)
        self._move_to(found.best)

    def move(self, by: int) -> None:
        """Move the cursor by commands, at most to the first or the last one."""
        commands = [
            at for at, line in enumerate(self._shown.lines) if isinstance(line, PaletteCommand)
        ]
        if commands and self._cursor in commands:
            position = commands.index(self._cursor) + by
            self._move_to(commands[min(max(0, position), len(commands) - 1)])

    def _move_to(self, line: int) -> None:
        self._cursor = line
        # With the heading above the first command.
        first = max(0, line - 1) if line <= 1 else line
        self.scroll_to_region(Region(0, first, 1, line - first + 1), animate=False)
        self.refresh()

    def on_resize(self) -> None:
        """Read styles again: the ground may be another one."""
        self._styles.clear()

    def notify_style_update(self) -> None:
        """Read styles again after a change of theme."""
        self._styles.clear()
        super().notify_style_update()

    def on_click(self, event: events.Click) -> None:
        """Post the clicked command."""
        offset = event.get_content_offset(self)
        at = offset.y + self.scroll_offset.y if offset is not None else -1
        if 0 <= at < len(self._shown.lines):
            line = self._shown.lines[at]
            if isinstance(line, PaletteCommand):
                self.post_message(self.Chosen(line))

    def render_line(self, y: int) -> Strip:
        """Draw a line of the viewport."""
        width = self.scrollable_content_region.width
        base, lines = self._styles.get(), self._shown.lines
        at = y + self.scroll_offset.y
        if not lines and y == 0:
            text = f"No match for “{blank_unprintable(self._query.strip())}”"
            return self._strip([Segment(text, self._styles.get("none"))], width, base)
        line = lines[at] if at < len(lines) else ""
        if isinstance(line, PaletteCommand):
            return self._command(line, width, self._styles.get("cursor" * (at == self._cursor)))
        text = truncate(line, width, middle=True) if line else ""
        return self._strip([Segment(text, self._styles.get("heading"))], width, base)

    def _command(self, command: PaletteCommand, width: int, base: Style) -> Strip:
        keys = command.keys
        room = width - len(_INDENT) - (cell_len(keys) + 1 if keys else 0)
        if room < _MIN_TITLE:
            keys, room = "", width - len(_INDENT)
        title = truncate(command.title, max(0, room))
        segments = [Segment(_INDENT, base)]
        end = 0
        for start, stop in sorted(match_spans(self._query, title)):
            if start >= end:
                segments += [
                    Segment(title[end:start], base),
                    Segment(title[start:stop], self._styles.get("match", base)),
                ]
                end = stop
        segments.append(Segment(title[end:], base))
        if keys:
            segments += [Segment(" ", base), Segment(keys, self._styles.get("keys", base))]
        return self._strip(segments, width, base)

    @staticmethod
    def _strip(segments: list[Segment], width: int, base: Style) -> Strip:
        return Strip(segments).adjust_cell_length(width, base)
