"""Engine log: follows the file, filters by level, searches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Input

from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.viewmodel.header import HeaderContent
from tui_forward.tui.viewmodel.log_tail import LogLevel, LogTail, sanitize_terminal_text
from tui_forward.tui.viewmodel.rows import Cell
from tui_forward.tui.widgets.header_bar import HeaderBar
from tui_forward.tui.widgets.key_bar import KeyBar
from tui_forward.tui.widgets.log_view import LogView
from tui_forward.tui.widgets.status_line import StatusLine

POLL_S = 0.5
_LEVELS: Final = (LogLevel.DEBUG, LogLevel.INFO, LogLevel.WARNING, LogLevel.ERROR)


class LogScreen(Screen[None]):
    """End of a log file, which may be missing, with lines that are appended to it."""

    CSS_PATH = stylesheet("log_screen.tcss")
    AUTO_FOCUS = "LogView"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back", key_display="esc", id="log.back",
                tooltip="Clear the search, then close the log"),
        Binding("slash", "search", "Search", id="log.search", tooltip="Search the log"),
        Binding("n", "find(1)", "Next", id="log.next", tooltip="Next match"),
        Binding("N", "find(-1)", "Previous", id="log.previous", tooltip="Previous match"),
        Binding("l", "level", "Level", id="log.level", tooltip="Change the minimum level"),
        Binding("w", "wrap", "Wrap", id="log.wrap", tooltip="Wrap long lines, or scroll them"),
        Binding("end,G", "follow", "Follow", key_display="end", id="log.end",
                tooltip="Go to the end and follow new lines"),
    ]  # fmt: skip

    search_text = reactive("", bindings=True)

    def __init__(self, path: Path, *, header: Callable[[int], HeaderContent] | None = None) -> None:
        super().__init__()
        self._tail = LogTail(path)
        self._header = header
        self._level = LogLevel.DEBUG
        self._header_line = HeaderBar()
        self._state = StatusLine(id="log-state")
        self._view = LogView()
        self._input = Input(
            placeholder="text to find", compact=True, select_on_focus=False, id="log-search"
        )

    def compose(self) -> ComposeResult:
        """Show header, state, log, search line and keys."""
        if self._header is not None:
            yield self._header_line
        yield self._state
        yield self._view
        yield self._input
        yield KeyBar()

    def on_mount(self) -> None:
        """Start to follow the file."""
        self._input.display = False
        self._follow_file()

    @work(group="log", exclusive=True)
    async def _follow_file(self) -> None:
        while True:
            if await asyncio.to_thread(self._tail.read):
                self._show()
            self._draw_state()
            await asyncio.sleep(POLL_S)

    def _show(self) -> None:
        lines = tuple(line for line in self._tail.lines if line.level >= self._level)
        self._view.show(lines)
        self._view.empty = self._empty_text()

    def _empty_text(self) -> str:
        if self._tail.problem:
            return f"{sanitize_terminal_text(self._tail.problem)}. {self._tail.hint}."
        if not self._tail.lines:
            return "Log is empty"
        level = self._level.name.lower()
        return f"No lines at level {level} or above. Press l to change the level."

    def _draw_state(self) -> None:
        if self._header is not None:
            self._header_line.show(self._header)
        cells = [Cell("log", "strong")]
        if self._tail.problem:
            cells.append(Cell("✗ not readable", "warn"))
        if self._level > LogLevel.DEBUG:
            cells.append(Cell(f"≥ {self._level.name.lower()}", "warn"))
        if self.search_text:
            position, count = self._view.found
            what = f"{position} of {count}" if count else "no match"
            text = f"“{sanitize_terminal_text(self.search_text)}” {what}"
            cells.append(Cell(text, "" if count else "warn"))
        following = self._view.following
        cells.append(Cell("▼ following" if following else "‖ paused", "ok" if following else "dim"))
        # Last, as a long path is cut off.
        cells.append(Cell(sanitize_terminal_text(str(self._tail.path)), "dim"))
        self._state.show(cells)

    def action_back(self) -> None:
        """Clear the search if there is one, else close the screen."""
        if self._input.display or self.search_text:
            self._search_for("")
            self._close_search()
        else:
            self.dismiss()

    def action_search(self) -> None:
        """Open the search line."""
        self._input.display = True
        self._input.value = self.search_text
        self._input.cursor_position = len(self.search_text)
        self.set_focus(self._input)  # now, so that the next key goes to it

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search while the user types."""
        event.stop()
        if self._input.display:
            self._search_for(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Close the search line; n and N go on with the search."""
        event.stop()
        self._close_search()

    def _search_for(self, text: str) -> None:
        self.search_text = text
        self._view.search(text)
        self._draw_state()

    def _close_search(self) -> None:
        self.set_focus(self._view)
        self._input.display = False

    def action_find(self, by: int) -> None:
        """Go to the next match (1) or to the previous one (-1)."""
        self._view.find(by)
        self._draw_state()

    def action_level(self) -> None:
        """Raise the minimum level; after the highest one, show everything."""
        self._level = _LEVELS[(_LEVELS.index(self._level) + 1) % len(_LEVELS)]
        self._show()
        self._draw_state()

    def action_wrap(self) -> None:
        """Wrap long lines or not."""
        self._view.wrap = not self._view.wrap

    def action_follow(self) -> None:
        """Go to the end and follow it."""
        self._view.action_scroll_end()
        self._draw_state()

    def on_log_view_scrolled(self) -> None:
        """Show whether the view follows the end."""
        self._draw_state()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Return whether a key does something now."""
        return bool(self.search_text) if action == "find" else True
