"""The strip below the forwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from tui_forward.common.printable import blank_unprintable
from tui_forward.tui.viewmodel.strip import Line, fit_line


class StripBar(Widget):
    """Lines of cells, built for the width; redrawn only when they change."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "line--ok", "line--warn", "line--bad", "line--dim", "line--strong",
    }  # fmt: skip

    def __init__(self) -> None:
        super().__init__(id="strip")
        self._build: Callable[[int], Sequence[Line]] = lambda _width: ()
        self._lines: tuple[Line, ...] = ()

    def show(self, build: Callable[[int], Sequence[Line]]) -> None:
        """Show lines, given as a function of the width in cells."""
        self._build = build
        width = self.size.width
        lines = tuple(fit_line(line, width) for line in build(width)) if width else ()
        if lines != self._lines:
            self._lines = lines
            self.refresh()

    def on_resize(self) -> None:
        """Build the lines for the new width."""
        self.show(self._build)

    def render_line(self, y: int) -> Strip:
        """Draw a line."""
        width, base = self.size.width, self.rich_style
        segments: list[Segment] = []
        for cell in self._lines[y] if y < len(self._lines) else ():
            style = base
            if cell.style:
                style += self.get_component_rich_style(f"line--{cell.style}", partial=True)
            if segments and cell.gap:
                segments.append(Segment(cell.gap, base))
            segments.append(Segment(blank_unprintable(cell.text), style))
        return Strip(segments).adjust_cell_length(width, base)
