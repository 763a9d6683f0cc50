"""Facts, conditions and events of a pod, a service or a workload."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Final

from textual import work
from textual.binding import Binding, BindingType

from tui_forward.errors import TuiForwardError
from tui_forward.model import Description, Target, TargetKind
from tui_forward.tui.messages import LogRequested
from tui_forward.tui.screens.text_screen import TextScreen
from tui_forward.tui.viewmodel.description_lines import description_lines
from tui_forward.tui.viewmodel.hints import error_hint
from tui_forward.tui.viewmodel.log_tail import sanitize_terminal_text
from tui_forward.tui.viewmodel.rows import Cell

REFRESH_S: Final = 5.0  # each is two requests

Describe = Callable[[Target], Awaitable[Description]]


class DescribeScreen(TextScreen):
    """An object, which is read again while it is shown."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "log", "Logs", id="describe.log", tooltip="Show the log of its pod"),
    ]

    def __init__(
        self, target: Target, describe: Describe, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self._target = target
        self._describe = describe
        self._clock = clock
        self._error: TuiForwardError | None = None
        self.text_view.empty = "Loading…"

    def on_mount(self) -> None:
        """Read the object."""
        super().on_mount()
        self.text_view.following = False
        self.draw_headline()
        self._follow()

    @work(group="describe", exclusive=True)
    async def _follow(self) -> None:
        while True:
            try:
                description = await self._describe(self._target)
            except TuiForwardError as error:
                self._error = error
                hint = f" → {error_hint(error)}" if error.hint else ""
                self.text_view.empty = sanitize_terminal_text(f"{error.message}{hint}")
            else:
                self._error = None
                self.text_view.show(description_lines(description, self._clock()))
            self.draw_headline()
            await asyncio.sleep(REFRESH_S)

    def headline_cells(self) -> Sequence[Cell]:
        """Return what is described."""
        target = self._target
        kind = "" if target.kind is TargetKind.POD else f"{target.kind.value}/"
        title = f"{target.namespace}/{kind}{target.name}"
        cells = [Cell(sanitize_terminal_text(title), "strong")]
        if self._error is not None:
            cells.append(Cell(f"✗ {sanitize_terminal_text(self._error.message)}", "bad"))
        return cells

    def action_log(self) -> None:
        """Show the log of its pod."""
        self.app.post_message(LogRequested(self._target))
