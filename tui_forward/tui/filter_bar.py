"""The line in which one types what to look for; hidden until it is wanted."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.geometry import Size
from textual.reactive import Reactive, reactive
from textual.widget import Widget
from textual.widgets import Input, Static


class _Line(Input):
    """As Textual's, which lays the whole screen out anew for each letter typed."""

    virtual_size: Reactive[Size] = Reactive(Size(0, 0))


class FilterBar(Horizontal):
    """A line to type in.

    Watch `text` to know what is typed, letter by letter: both are drawn in the same frame.

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

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id)
        self.display = False
        self.what = ""
        self._return_to: Widget | None = None
        self._label = Static("/", id="filter-label")
        self._input = _Line(
            placeholder="words  ns:  label:  port:  node:  status:  kind:  !not  \"exactly\"",
            compact=True, select_on_focus=False, id="filter-input",
        )  # fmt: skip

    def compose(self) -> ComposeResult:
        """A label and the line."""
        yield self._label
        yield self._input

    def open(self, what: str, text: str, return_to: Widget) -> None:
        """Show it, with what is looked for already.

        Args:
            what: Where to look.
            text: As typed before.
            return_to: Has the keyboard afterwards.
        """
        self.what = what
        self._return_to = return_to
        self._label.update("filter forwards /" if what == "forwards" else "/")
        self.set_reactive(FilterBar.text, text)
        self._input.value = text
        self._input.cursor_position = len(text)
        self.display = True
        # At once: the next letter is already on its way, and must not be taken for a command.
        self.screen.set_focus(self._input)

    def on_mount(self) -> None:
        """Each letter counts."""
        self.watch(self._input, "value", self._typed, init=False)

    def _typed(self, text: str) -> None:
        self.text = text

    def action_close(self) -> None:
        """Keep what is looked for."""
        if self.display:
            self.display = False
            if self._return_to is not None:
                self.screen.set_focus(self._return_to)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter is taken by the line."""
        event.stop()
        self.action_close()

    def action_clear(self) -> None:
        """Look for nothing any more."""
        self.text = ""
        self.action_close()
