"""The widget around `chart`: what flowed through one forward over the last minutes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from tui_forward.common.formatting import format_rate
from tui_forward.tui.viewmodel.chart import axis_maximum, downsample, render_area

_AXIS = 11  # letters of the scale


class RateChart(Widget):
    """Two curves one above the other: from the pod, to the pod. Redrawn only when they change."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"chart--down", "chart--up", "chart--axis"}

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id)
        self._series: tuple[tuple[int, int], ...] = ()
        self._lines: list[Strip] = []

    def show(self, series: Sequence[tuple[int, int]]) -> None:
        """Take over bytes from and to the pod for each second, oldest first."""
        if tuple(series) != self._series:
            self._series = tuple(series)
            self._lines = []
            self.refresh()

    def on_resize(self) -> None:
        """Everything is laid out anew."""
        self._lines = []

    def render_line(self, y: int) -> Strip:
        """One line of both curves."""
        if not self._lines:
            self._lines = self._rendered()
        width = self.size.width
        line = self._lines[y] if y < len(self._lines) else Strip([])
        return line.adjust_cell_length(width, self.rich_style)

    def _rendered(self) -> list[Strip]:
        width, height = self.size
        half = height // 2
        room = width - _AXIS - 1
        if half < 1 or room < 4:
            return []
        lines = self._curve("↓", [down for down, _ in self._series], room, half, "chart--down")
        return lines + self._curve("↑", [up for _, up in self._series], room, half, "chart--up")

    def _curve(
        self, arrow: str, values: Sequence[int], room: int, height: int, name: str
    ) -> list[Strip]:
        base = self.rich_style
        axis = base + self.get_component_rich_style("chart--axis", partial=True)
        style = base + self.get_component_rich_style(name, partial=True)
        shown = downsample(values, 2 * room)
        top = axis_maximum(shown)
        scale = f"{arrow} {format_rate(top)}" if any(shown) else f"{arrow} nothing"
        strips = []
        for place, line in enumerate(render_area(shown, room, height, top)):
            label = scale if place == 0 else ""
            strips.append(
                Strip([Segment(label.rjust(_AXIS)[:_AXIS] + " ", axis), Segment(line, style)])
            )
        return strips
