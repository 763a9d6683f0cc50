"""Screen with scrolling text that can be searched."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widgets import Input

from tui_forward.tui import messages
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals.screens import CompleteFrameScreen
from tui_forward.tui.viewmodel.header import HeaderContent
from tui_forward.tui.viewmodel.log_tail import sanitize_terminal_text
from tui_forward.tui.viewmodel.rows import Cell
from tui_forward.tui.widgets.header_bar import HeaderBar
from tui_forward.tui.widgets.key_bar import KeyBar
from tui_forward.tui.widgets.log_view import LogView
from tui_forward.tui.widgets.status_line import StatusLine


class TextScreen(CompleteFrameScreen[None]):
    """Text below a line that describes it, and a search."""

    CSS_PATH = stylesheet("log_screen.tcss")
    AUTO_FOCUS = "LogView"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back", key_display="esc", id="text.back",
                tooltip="Clear the search, then go back"),
        Binding("slash", "search", "Search", id="text.search", tooltip="Search the text"),
        Binding("n", "find(1)", "Next", id="text.next", tooltip="Next match"),
        Binding("N", "find(-1)", "Previous", id="text.previous", tooltip="Previous match"),
        Binding("w", "wrap", "Wrap", id="text.wrap", tooltip="Wrap long lines, or scroll them"),
    ]  # fmt: skip

    search_text = reactive("", bindings=True)

    def __init__(self) -> None:
        super().__init__()
        self._session_header = HeaderBar()
        self.headline = StatusLine(classes="text-headline")
        self.text_view = LogView()
        self._input = Input(
            placeholder="text to find", compact=True, select_on_focus=False, classes="text-search"
        )

    def compose(self) -> ComposeResult:
        """Show the header, the headline, the text, the search line and the keys."""
        yield self._session_header
        yield self.headline
        yield self.text_view
        yield self._input
        yield KeyBar()

    def on_mount(self) -> None:
        """Hide the search line, and request the header."""
        self._input.display = False
        self.app.post_message(messages.SampleRequested())

    def draw_header(self, build: Callable[[int], HeaderContent]) -> None:
        """Show the header of every screen."""
        self._session_header.show(build)

    @abstractmethod
    def headline_cells(self) -> Sequence[Cell]:
        """Return what the first line says, without the search."""

    def last_headline_cells(self) -> Sequence[Cell]:
        """Return what the first line says at its end, where a long text is cut off."""
        return ()

    def draw_headline(self) -> None:
        """Show the first line, with the search."""
        cells = list(self.headline_cells())
        if self.search_text:
            position, count = self.text_view.found
            what = f"{position} of {count}" if count else "no match"
            text = f"/{sanitize_terminal_text(self.search_text)} {what}"
            cells.append(Cell(text, "" if count else "warn"))
        if self.text_view.wrap:
            cells.append(Cell("wrap", "dim"))
        self.headline.show([*cells, *self.last_headline_cells()])

    def action_back(self) -> None:
        """Clear the search if there is one, else close the screen."""
        if self._input.display or self.search_text:
            self._close_search()
            self.search_for("")
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
            self.search_for(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Close the search line; n and N go on with the search."""
        event.stop()
        self._close_search()

    def search_for(self, text: str) -> None:
        """Search a text; an empty one ends the search."""
        self.search_text = text
        self.text_view.search(text)
        self.draw_headline()

    def _close_search(self) -> None:
        self.set_focus(self.text_view)
        self._input.display = False

    def action_find(self, by: int) -> None:
        """Go to the next match (1) or to the previous one (-1)."""
        self.text_view.find(by)
        self.draw_headline()

    def action_wrap(self) -> None:
        """Wrap long lines or not."""
        self.text_view.wrap = not self.text_view.wrap
        self.draw_headline()

    def on_log_view_scrolled(self) -> None:
        """Show whether the view follows the end."""
        self.draw_headline()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Return whether a key does something now."""
        return bool(self.search_text) if action == "find" else True
