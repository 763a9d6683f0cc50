"""Engine log: follows the file, filters by level, searches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from textual import work
from textual.binding import Binding, BindingType

from tui_forward.tui.screens.text_screen import TextScreen
from tui_forward.tui.viewmodel.log_tail import LogLevel, LogTail, sanitize_terminal_text
from tui_forward.tui.viewmodel.rows import Cell

POLL_S = 0.5
_LEVELS: Final = (LogLevel.DEBUG, LogLevel.INFO, LogLevel.WARNING, LogLevel.ERROR)


class LogScreen(TextScreen):
    """End of a log file, which may be missing, with lines that are appended to it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "level", "Level", id="log.level", tooltip="Change the minimum level"),
        Binding("end,G", "follow", "Follow", key_display="end", id="log.end",
                tooltip="Go to the end and follow new lines"),
    ]  # fmt: skip

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._tail = LogTail(path)
        self._level = LogLevel.DEBUG

    def on_mount(self) -> None:
        """Start to follow the file."""
        super().on_mount()
        self._follow_file()

    @work(group="log", exclusive=True)
    async def _follow_file(self) -> None:
        while True:
            if await asyncio.to_thread(self._tail.read):
                self._show()
            self.draw_headline()
            await asyncio.sleep(POLL_S)

    def _show(self) -> None:
        lines = tuple(line for line in self._tail.lines if line.level >= self._level)
        self.text_view.show(lines)
        self.text_view.empty = self._empty_text()

    def _empty_text(self) -> str:
        if self._tail.problem:
            return f"{sanitize_terminal_text(self._tail.problem)}. {self._tail.hint}."
        if not self._tail.lines:
            return "Log is empty"
        level = self._level.name.lower()
        return f"No lines at level {level} or above. Press l to change the level."

    def headline_cells(self) -> Sequence[Cell]:
        """See `TextScreen`."""
        cells = [Cell("log", "strong")]
        if self._tail.problem:
            cells.append(Cell("✗ not readable", "warn"))
        if self._level > LogLevel.DEBUG:
            cells.append(Cell(f"≥ {self._level.name.lower()}", "warn"))
        following = self.text_view.following
        cells.append(Cell("▼ following" if following else "‖ paused", "ok" if following else "dim"))
        return cells

    def last_headline_cells(self) -> Sequence[Cell]:
        """See `TextScreen`."""
        return [Cell(sanitize_terminal_text(str(self._tail.path)), "dim")]

    def action_level(self) -> None:
        """Raise the minimum level; after the highest one, show everything."""
        self._level = _LEVELS[(_LEVELS.index(self._level) + 1) % len(_LEVELS)]
        self._show()
        self.draw_headline()

    def action_follow(self) -> None:
        """Go to the end and follow it."""
        self.text_view.action_scroll_end()
        self.draw_headline()
