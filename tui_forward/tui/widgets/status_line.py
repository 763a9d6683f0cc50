"""One line of cells, redrawn only when they change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui_forward.common.printable import blank_unprintable
from tui_forward.tui.viewmodel.rows import Cell

_GAP = "  "


class StatusLine(Widget):
    """Cells side by side; the end is cut off if they do not fit."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "line--ok", "line--warn", "line--bad", "line--dim", "line--strong",
        "line--protected",
    }  # fmt: skip

    class Clicked(Message):
        """A cell was clicked."""

        def __init__(self, line: StatusLine, position: int) -> None:
            super().__init__()
            self.line = line
            self.position = position

        @property
        def control(self) -> StatusLine:
            """The line, which `on` can select."""
            return self.line

    def __init__(
        self,
        *,
        can_drop_title: bool = False,
        id: str | None = None,  # noqa: A002 - Textual's name for it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        # Whether to leave out the first cell if the line is too narrow.
        self._can_drop_title = can_drop_title
        self._cells: tuple[Cell, ...] = ()

    def show(self, cells: Sequence[Cell]) -> None:
        """Show cells."""
        if tuple(cells) != self._cells:
            self._cells = tuple(cells)
            self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Post the position of the clicked cell among all cells."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        x = offset.x
        cells = self._cells
        skipped = int(self._can_drop_title and _width(cells) > self.size.width)
        for position, cell in enumerate(cells[skipped:], skipped):
            width = cell_len(cell.text)
            if 0 <= x < width:
                self.post_message(self.Clicked(self, position))
                return
            x -= width + len(_GAP)

    def render_line(self, y: int) -> Strip:
        """Draw the cells."""
        width = self.size.width
        base = self.rich_style
        if y:
            return Strip.blank(width, base)
        segments: list[Segment] = []
        cells = self._cells
        if self._can_drop_title and _width(cells) > width:
            cells = cells[1:]
        for cell in cells:
            if segments:
                segments.append(Segment(_GAP, base))
            style = base
            if cell.style:
                style += self.get_component_rich_style(f"line--{cell.style}", partial=True)
            segments.append(Segment(blank_unprintable(cell.text), style))
        strip = Strip(segments)
        if strip.cell_length > width:
            cut = strip.crop(0, max(0, width - cell_len("…")))
            return Strip.join([cut, Strip([Segment("…", base)])])
        return strip.adjust_cell_length(width, base)


def _width(cells: Sequence[Cell]) -> int:
    return sum(cell_len(cell.text) for cell in cells) + len(_GAP) * (len(cells) - 1)
