"""Chart of the throughput of one forward; `viewmodel.chart` computes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from tui_forward.common.formatting import format_rate
from tui_forward.tui.viewmodel.chart import axis_maximum, downsample, render_area

_AXIS_WIDTH = 11  # cells


class RateChart(Widget):
    """Two curves, from the pod and to the pod, redrawn only when they change."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"chart--down", "chart--up", "chart--axis"}

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id)
        self._series: tuple[tuple[int, int], ...] = ()
        self._ready: tuple[bool, ...] = ()
        self._lines: list[Strip] = []

    def show(self, series: Sequence[tuple[int, int]], ready: Sequence[bool] = ()) -> None:
        """Show bytes from and to the pod in each second, and whether a tunnel was up then.

        Oldest first; both of the same length, or nothing is known about tunnels.
        """
        if (tuple(series), tuple(ready)) != (self._series, self._ready):
            self._series, self._ready = tuple(series), tuple(ready)
            self._lines = []
            self.refresh()

    def on_resize(self) -> None:
        """Draw the curves for the new size."""
        self._lines = []

    def render_line(self, y: int) -> Strip:
        """Draw a line of the chart."""
        if not self._lines:
            self._lines = self._render_curves()
        width = self.size.width
        line = self._lines[y] if y < len(self._lines) else Strip([])
        return line.adjust_cell_length(width, self.rich_style)

    def _render_curves(self) -> list[Strip]:
        width, height = self.size
        half = height // 2
        width_left = width - _AXIS_WIDTH - 1
        if half < 1 or width_left < 4:
            return []
        down, up = [down for down, _ in self._series], [up for _, up in self._series]
        lines = self._curve("↓", down, width_left, half, "chart--down")
        return lines + self._curve("↑", up, width_left, half, "chart--up")

    def _curve(
        self, arrow: str, values: Sequence[int], width: int, height: int, name: str
    ) -> list[Strip]:
        base = self.rich_style
        axis = base + self.get_component_rich_style("chart--axis", partial=True)
        style = base + self.get_component_rich_style(name, partial=True)
        shown = downsample(values, width)
        # A run of seconds that have become one column has no tunnel if none of them had one.
        ready = list(map(bool, downsample(list(map(int, self._ready)), width)))
        top = axis_maximum(shown)
        scale = f"{arrow} {format_rate(top)}" if any(shown) else f"{arrow} idle"
        strips = []
        for position, line in enumerate(render_area(shown, width, height, top, ready=ready)):
            label = scale if position == 0 else "0" if position == height - 1 else ""
            label = label.rjust(_AXIS_WIDTH)[:_AXIS_WIDTH] + " "
            strips.append(Strip([Segment(label, axis), Segment(line, style)]))
        return strips
