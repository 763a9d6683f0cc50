"""The line in which one types what to look for; behind the line of keys until it is wanted."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input, Static

from tui_forward.tui.textual_internals import FixedLayoutInput
from tui_forward.tui.widgets.key_bar import KeyBar


class FilterBar(Horizontal):
    """A line to type in.

    Watch `text` to know what is typed, letter by letter: both are drawn in the same frame.

    Args:
        keys: Lies before it, in the same place, and steps aside while one types: there are no
            other keys then.
        id: Widget id.

    Attributes:
        text: What is looked for.
        what: Where to look, as `open` was told.
    """

    text: reactive[str] = reactive("", repaint=False, init=False)

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "Clear", id="filter.clear", tooltip="Show everything again"),
        Binding("enter,down", "close", "Done", id="filter.done",
                tooltip="Keep the filter, go to the rows"),
    ]  # fmt: skip

    def __init__(self, keys: KeyBar, *, id: str) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id)
        self._keys = keys
        self.what = "browse"
        self._return_to: Widget | None = None
        self._label = Static("/", id="filter-label")
        self._input = FixedLayoutInput(
            placeholder="words  ns:  label:  port:  node:  status:  kind:  !not  \"exactly\"",
            compact=True, select_on_focus=False, id="filter-input",
        )  # fmt: skip
        self._input.can_focus = False

    def compose(self) -> ComposeResult:
        """A label, the line, and how to leave it."""
        yield self._label
        yield self._input
        yield Static("enter keeps it, esc clears it", id="filter-keys")

    def open(self, what: str, text: str, return_to: Widget) -> None:
        """Show it, with what is looked for already.

        Args:
            what: Where to look.
            text: As typed before.
            return_to: Has the keyboard afterwards.
        """
        self._return_to = return_to
        if what != self.what:  # it lays the screen out anew
            self.what = what
            self._label.update("filter forwards /" if what == "forwards" else "/")
        self.set_reactive(FilterBar.text, text)
        self._input.value = text
        self._input.cursor_position = len(text)
        self._keys.aside = True
        self._input.can_focus = True
        # At once: the next letter is already on its way, and must not be taken for a command.
        self.screen.set_focus(self._input)

    def on_mount(self) -> None:
        """Each letter counts."""
        self.watch(self._input, "value", self._typed, init=False)

    def _typed(self, text: str) -> None:
        self.text = text

    def action_close(self) -> None:
        """Keep what is looked for."""
        if self._return_to is not None:
            self.screen.set_focus(self._return_to)
        self._step_back()

    def on_descendant_blur(self) -> None:
        """Who clicks elsewhere is done; who looks at another window is not."""
        if self.screen.focused not in (None, self._input):
            self._step_back()

    def _step_back(self) -> None:
        self._keys.aside = False
        self._input.can_focus = False

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter is taken by the line."""
        event.stop()
        self.action_close()

    def action_clear(self) -> None:
        """Look for nothing any more."""
        self.text = ""
        self.action_close()
