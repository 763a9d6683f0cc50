"""Lines of styled text, as the strip below the forwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from tui_forward.common.printable import blank_unprintable
from tui_forward.tui.viewmodel.lines import Line
from tui_forward.tui.viewmodel.pane_layout import INSPECTOR_LINES
from tui_forward.tui.viewmodel.strip import fit_line
from tui_forward.tui.widgets.component_style import component_style

# Returns lines for a width and a height in cells.
BuildLines = Callable[[int, int], Sequence[Line]]


class LinesView(Widget):
    """Lines of cells, built for its size; redrawn only when they change."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "line--ok", "line--warn", "line--bad", "line--broken", "line--dim", "line--strong",
        "line--protected", "line--rule", "line--title", "line--down",
        "line--up",
    }  # fmt: skip

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id, classes=classes)
        self._build: BuildLines = lambda _width, _height: ()
        self._lines: tuple[Line, ...] = ()

    def show(self, build: BuildLines) -> None:
        """Show lines, given as a function of the width and the height in cells."""
        self._build = build
        width, height = self.size
        lines = tuple(fit_line(line, width) for line in build(width, height)) if width else ()
        if lines != self._lines:
            self._lines = lines
            self.refresh()

    def on_resize(self) -> None:
        """Build the lines for the new size."""
        self.show(self._build)

    @property
    def base_style(self) -> Style:
        """Style of what has no other."""
        return self.rich_style

    def render_line(self, y: int) -> Strip:
        """Draw a line."""
        width, base = self.size.width, self.base_style
        segments: list[Segment] = []
        for cell in self._lines[y] if y < len(self._lines) else ():
            style = base
            if cell.style:
                style += component_style(self, f"line--{cell.style}", base)
            if segments and cell.gap:
                segments.append(Segment(cell.gap, base))
            segments.append(Segment(blank_unprintable(cell.text), style))
        return Strip(segments).adjust_cell_length(width, base)


class StripBar(LinesView):
    """The strip below the forwards; on the ground of the panes where it is an inspector."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"strip--inspector"}

    @property
    def base_style(self) -> Style:
        """Style of what has no other."""
        if self.size.height < INSPECTOR_LINES:
            return self.rich_style
        return self.get_component_rich_style("strip--inspector")
