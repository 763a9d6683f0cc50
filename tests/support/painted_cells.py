"""Count of the cells that the dashboard writes to its terminal."""

from __future__ import annotations

from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.pilot import Pilot
from textual.screen import Screen

from tui_forward.tui.app import TuiForwardApp


class PaintedCells:
    """Counts the cells that an app writes to its terminal from now on."""

    def __init__(self, app: TuiForwardApp) -> None:
        self._app = app
        self.count = 0
        self.lines: set[int] = set()
        display = app._display

        def count(screen: Screen[object], renderable: object) -> None:
            if isinstance(renderable, LayoutUpdate):
                self.count += renderable.region.area
                self.lines |= set(renderable.region.line_range)
            elif isinstance(renderable, ChopsUpdate):
                self.count += sum(end - start for _, start, end in renderable.spans)
                self.lines |= {y for y, _, _ in renderable.spans}
            display(screen, renderable)

        app._display = count  # type: ignore[method-assign]

    def take(self) -> int:
        """Return the cells since the last call."""
        count, self.count = self.count, 0
        self.lines.clear()
        return count

    async def sample(self, pilot: Pilot[None]) -> int:
        """Take a sample; return the cells that it painted."""
        self.take()
        await self._app.sample()
        for _ in range(3):
            await pilot.pause()
        return self.count
