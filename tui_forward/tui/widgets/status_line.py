"""One line of text made of cells, redrawn only when it says something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui_forward.tui.viewmodel.cell_layout import printable
from tui_forward.tui.viewmodel.rows import Cell

_GAP = "  "


class StatusLine(Widget):
    """Cells side by side; what does not fit is cut off.

    Args:
        title_may_go: The first cell is left out if the others then fit better.
        id: Widget id.
        classes: Style classes.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "line--ok",
        "line--warn",
        "line--bad",
        "line--dim",
        "line--strong",
    }

    class Clicked(Message):
        """A cell was clicked."""

        def __init__(self, line: StatusLine, place: int) -> None:
            super().__init__()
            self.line = line
            self.place = place

        @property
        def control(self) -> StatusLine:
            """The line, for selectors in `on`."""
            return self.line

    def __init__(
        self,
        *,
        title_may_go: bool = False,
        id: str | None = None,  # noqa: A002 - Textual's name for it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._title_may_go = title_may_go
        self._cells: tuple[Cell, ...] = ()

    def show(self, cells: Sequence[Cell]) -> None:
        """Take over what the line says."""
        if tuple(cells) != self._cells:
            self._cells = tuple(cells)
            self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Tell which cell it was, as counted in what was shown."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        x = offset.x
        cells = self._cells
        skipped = int(self._title_may_go and _width(cells) > self.size.width)
        for place, cell in enumerate(cells[skipped:], skipped):
            width = cell_len(cell.text)
            if 0 <= x < width:
                self.post_message(self.Clicked(self, place))
                return
            x -= width + len(_GAP)

    def render_line(self, y: int) -> Strip:
        """The cells, then blank."""
        width = self.size.width
        base = self.rich_style
        if y:
            return Strip.blank(width, base)
        segments: list[Segment] = []
        cells = self._cells
        if self._title_may_go and _width(cells) > width:
            cells = cells[1:]
        for cell in cells:
            if segments:
                segments.append(Segment(_GAP, base))
            style = base
            if cell.style:
                style += self.get_component_rich_style(f"line--{cell.style}", partial=True)
            segments.append(Segment(printable(cell.text), style))
        strip = Strip(segments)
        if strip.cell_length > width:
            cut = strip.crop(0, max(0, width - cell_len("…")))
            return Strip.join([cut, Strip([Segment("…", base)])])
        return strip.adjust_cell_length(width, base)


def _width(cells: Sequence[Cell]) -> int:
    return sum(cell_len(cell.text) for cell in cells) + len(_GAP) * (len(cells) - 1)
