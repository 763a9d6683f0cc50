"""The engine's log, followed while one looks: by level, with a search, wrapped or not."""

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
from tui_forward.tui.viewmodel.log_tail import LogLevel, LogTail, sanitize_terminal_text
from tui_forward.tui.viewmodel.rows import Cell
from tui_forward.tui.widgets.key_bar import KeyBar
from tui_forward.tui.widgets.log_view import LogView
from tui_forward.tui.widgets.status_line import StatusLine

POLL_S = 0.5
_LEVELS: Final = (LogLevel.DEBUG, LogLevel.INFO, LogLevel.WARNING, LogLevel.ERROR)

Headline = Callable[[], tuple[Cell, ...]]


class LogScreen(Screen[None]):
    """Shows the end of a log file and whatever is written to it.

    Args:
        path: The file; it need not be there.
        headline: What the top line says, asked at every look: forwards and their states are
            to be seen on every screen.
    """

    CSS_PATH = stylesheet("log_screen.tcss")
    AUTO_FOCUS = "LogView"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back", key_display="esc", id="log.back",
                tooltip="Leave the search, then the log"),
        Binding("slash", "search", "Search", id="log.search", tooltip="Find a text in the log"),
        Binding("n", "find(1)", "Next", id="log.next", tooltip="The next place with the text"),
        Binding("N", "find(-1)", "Previous", id="log.previous",
                tooltip="The place with the text before this one"),
        Binding("l", "level", "Level", id="log.level",
                tooltip="Show everything, or only what is at least so grave"),
        Binding("w", "wrap", "Wrap", id="log.wrap",
                tooltip="Break long lines, or let them run out to the right"),
        Binding("end,G", "follow", "End", key_display="end", id="log.end",
                tooltip="Go to the end, and stay there as lines come"),
    ]  # fmt: skip

    searched = reactive("", bindings=True)

    def __init__(self, path: Path, *, headline: Headline | None = None) -> None:
        super().__init__()
        self._tail = LogTail(path)
        self._headline = headline
        self._level = LogLevel.DEBUG
        self._top = StatusLine(title_may_go=True, id="log-headline")
        self._state = StatusLine(id="log-state")
        self._view = LogView()
        self._input = Input(
            placeholder="text to find", compact=True, select_on_focus=False, id="log-search"
        )

    def compose(self) -> ComposeResult:
        """The log between what one looks at and the keys."""
        if self._headline is not None:
            yield self._top
        yield self._state
        yield self._view
        yield self._input
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin to look."""
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
        self._view.empty = self._nothing()

    def _nothing(self) -> str:
        """What an empty view says."""
        if self._tail.trouble:
            return f"{sanitize_terminal_text(self._tail.trouble)}. {self._tail.hint}."
        if not self._tail.lines:
            return "The log is empty. What the engine writes appears here."
        return f"Nothing in the log is as grave as {self._level.name.lower()}. l shows less grave."

    def _draw_state(self) -> None:
        if self._headline is not None:
            self._top.show(self._headline())
        cells = [Cell("log", "strong")]
        if self._tail.trouble:
            cells.append(Cell("✗ not readable now", "warn"))
        if self._level > LogLevel.DEBUG:
            cells.append(Cell(f"≥ {self._level.name.lower()}", "warn"))
        if self.searched:
            place, count = self._view.found
            what = f"{place} of {count}" if count else "nowhere"
            cells.append(
                Cell(f"“{sanitize_terminal_text(self.searched)}” {what}", "" if count else "warn")
            )
        following = self._view.following
        cells.append(Cell("▼ follows" if following else "‖ stays", "ok" if following else "dim"))
        cells.append(
            Cell(sanitize_terminal_text(str(self._tail.path)), "dim")
        )  # last: long paths are cut off
        self._state.show(cells)

    # Keys.

    def action_back(self) -> None:
        """Leave the search if there is one, else the screen."""
        if self._input.display or self.searched:
            self._search_for("")
            self._close_search()
        else:
            self.dismiss()

    def action_search(self) -> None:
        """Ask for a text."""
        self._input.display = True
        self._input.value = self.searched
        self._input.cursor_position = len(self.searched)
        self.set_focus(self._input)  # at once: the next key belongs to it

    def on_input_changed(self, event: Input.Changed) -> None:
        """Find while one types."""
        event.stop()
        if self._input.display:
            self._search_for(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go on with n and N."""
        event.stop()
        self._close_search()

    def _search_for(self, text: str) -> None:
        self.searched = text
        self._view.search(text)
        self._draw_state()

    def _close_search(self) -> None:
        self.set_focus(self._view)
        self._input.display = False

    def action_find(self, by: int) -> None:
        """Go to the next place with the text, or back to the one before."""
        self._view.find(by)
        self._draw_state()

    def action_level(self) -> None:
        """Show less and less, then everything again."""
        self._level = _LEVELS[(_LEVELS.index(self._level) + 1) % len(_LEVELS)]
        self._show()
        self._draw_state()

    def action_wrap(self) -> None:
        """Break long lines or not."""
        self._view.wrap = not self._view.wrap

    def action_follow(self) -> None:
        """Go to the end and stay there."""
        self._view.action_scroll_end()
        self._draw_state()

    def on_log_view_scrolled(self) -> None:
        """Whether new lines move the view has changed."""
        self._draw_state()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Next and previous exist while something is searched."""
        return bool(self.searched) if action == "find" else True
