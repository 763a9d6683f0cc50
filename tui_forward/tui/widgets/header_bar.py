"""The header of every screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol, runtime_checkable

from rich.segment import Segment
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from tui_forward.common.printable import blank_unprintable
from tui_forward.tui.viewmodel.header import HeaderCell, HeaderContent


@runtime_checkable
class HasHeader(Protocol):
    """A screen that shows the header, besides the dashboard."""

    def draw_header(self, build: Callable[[int], HeaderContent]) -> None:
        """Show the header of every screen, given as a function of the width in cells."""


class HeaderBar(Widget):
    """One line that is built for its width, and redrawn only when it changes."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "line--ok", "line--warn", "line--bad", "line--dim", "line--strong",
        "line--protected", "line--down", "line--up",
    }  # fmt: skip

    def __init__(self) -> None:
        super().__init__(classes="header")
        self._build: Callable[[int], HeaderContent] = lambda _width: HeaderContent(())
        self._header = HeaderContent(())

    def show(self, build: Callable[[int], HeaderContent]) -> None:
        """Show a header, given as a function of the width in cells."""
        self._build = build
        header = build(self.outer_size.width)
        if header != self._header:
            self._header = header
            self.refresh()

    def on_resize(self) -> None:
        """Build the header for the new width."""
        self.show(self._build)

    def _placed(self) -> list[tuple[int, HeaderCell]]:
        """Return the cells with their columns."""
        placed: list[tuple[int, HeaderCell]] = []
        x = 0
        for cell in self._header.left:
            x += len(cell.gap) if placed else 0
            placed.append((x, cell))
            x += cell.width - len(cell.gap)
        right = sum(cell.width for cell in self._header.right)
        x = max(x, self.size.width - right)
        for cell in self._header.right:
            x += len(cell.gap)
            placed.append((x, cell))
            x += cell.width - len(cell.gap)
        return placed

    def render_line(self, y: int) -> Strip:
        """Draw the cells."""
        width, base = self.size.width, self.rich_style
        if y:
            return Strip.blank(width, base)
        segments: list[Segment] = []
        used = 0
        for x, cell in self._placed():
            style = base
            if cell.style:
                style += self.get_component_rich_style(f"line--{cell.style}", partial=True)
            segments += [
                Segment(" " * (x - used), base), Segment(blank_unprintable(cell.text), style),
            ]  # fmt: skip
            used = x + cell.width - len(cell.gap)
        return Strip(segments).adjust_cell_length(width, base)

    def on_click(self, event: events.Click) -> None:
        """Run the action of the clicked cell."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        for x, cell in self._placed():
            if x <= offset.x < x + cell.width - len(cell.gap) and cell.action:
                self.app.call_later(self.app.run_action, cell.action)
                return
