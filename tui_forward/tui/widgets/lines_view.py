"""Lines of styled text, as the strip below the forwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import ClassVar, Self

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip

from tui_forward.common.printable import blank_unprintable
from tui_forward.tui.textual_internals.widgets import SelfDrawingWidget
from tui_forward.tui.viewmodel.lines import Line
from tui_forward.tui.viewmodel.pane_layout import INSPECTOR_LINES
from tui_forward.tui.viewmodel.strip import fit_line
from tui_forward.tui.widgets.component_style import component_style

# Returns lines for a width and a height in cells.
BuildLines = Callable[[int, int], Sequence[Line]]


class LinesView(SelfDrawingWidget):
    """Lines of cells, built for its size; those that change are drawn again.

    Has neither border nor padding.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "line--ok", "line--warn", "line--bad", "line--broken", "line--dim", "line--strong",
        "line--protected", "line--rule", "line--title", "line--down",
        "line--up",
    }  # fmt: skip

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id, classes=classes)
        self._build: BuildLines = lambda _width, _height: ()
        self._lines: tuple[Line, ...] = ()
        self._drawn: dict[int, Strip] = {}
        self._styles: dict[str, Style] = {}  # by kind of cell, until the theme or the size changes

    def show(self, build: BuildLines) -> None:
        """Show lines, given as a function of the width and the height in cells."""
        self._build = build
        width, height = self.size
        lines = tuple(fit_line(line, width) for line in build(width, height)) if width else ()
        if lines == self._lines:
            return
        pairs = enumerate(zip_longest(self._lines, lines))
        self._lines = lines
        self.refresh(*(Region(0, y, width, 1) for y, (old, new) in pairs if old != new))

    def on_resize(self) -> None:
        """Build the lines for the new size."""
        self._styles.clear()
        self._drawn.clear()
        self.show(self._build)

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        """Draw these regions again, or everything."""
        for y in (
            [y for region in regions for y in region.line_range] if regions else [*self._drawn]
        ):
            self._drawn.pop(y, None)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def notify_style_update(self) -> None:
        """Read styles again after a change of theme."""
        self._styles.clear()
        self._drawn.clear()
        super().notify_style_update()

    @property
    def base_style(self) -> Style:
        """Style of what has no other."""
        return self.rich_style

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw a part of the widget from lines drawn before."""
        strips = [self._drawn.get(y) or self._draw(y) for y in crop.line_range]
        if crop.width == self.size.width:
            return strips
        return [strip.crop(crop.x, crop.right) for strip in strips]

    def _draw(self, y: int) -> Strip:
        strip = self.render_line(y)
        for line_filter in self.get_line_filters():
            strip = strip.apply_filter(line_filter, self.background_colors[1])
        self._drawn[y] = strip
        return strip

    def render_line(self, y: int) -> Strip:
        """Draw a line."""
        base = self._style("")
        segments: list[Segment] = []
        for cell in self._lines[y] if y < len(self._lines) else ():
            if segments and cell.gap:
                segments.append(Segment(cell.gap, base))
            segments.append(Segment(blank_unprintable(cell.text), self._style(cell.style)))
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def _style(self, name: str) -> Style:
        """Return the style of a kind of cell."""
        style = self._styles.get(name)
        if style is None:
            style = self._style("") if name else self.base_style
            if name:
                style += component_style(self, f"line--{name}", style)
            self._styles[name] = style
        return style


class StripBar(LinesView):
    """The strip below the forwards; on the ground of the panes where it is an inspector."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"strip--inspector"}

    @property
    def base_style(self) -> Style:
        """Style of what has no other."""
        if self.size.height < INSPECTOR_LINES:
            return self.rich_style
        return self.get_component_rich_style("strip--inspector")
