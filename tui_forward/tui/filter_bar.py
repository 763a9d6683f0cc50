"""The line in which one types what to look for; hidden until it is wanted."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static


class FilterBar(Horizontal):
    """Tells what is typed, letter by letter."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "Clear", id="filter.clear", tooltip="Show everything again"),
        Binding("enter,down", "close", "Done", id="filter.done",
                tooltip="Keep the filter, go to the rows"),
    ]  # fmt: skip

    class Changed(Message):
        """Something else is looked for."""

        def __init__(self, what: str, text: str) -> None:
            super().__init__()
            self.what = what
            self.text = text

    class Closed(Message):
        """The rows have the keyboard again."""

        def __init__(self, what: str) -> None:
            super().__init__()
            self.what = what

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id)
        self._what = ""
        self._label = Static("/", id="filter-label")
        self._input = Input(
            placeholder="words  ns:  label:  port:  node:  status:  kind:  !not  \"exactly\"",
            compact=True, select_on_focus=False, id="filter-input",
        )  # fmt: skip

    def compose(self) -> ComposeResult:
        """A label and the line."""
        yield self._label
        yield self._input

    def open(self, what: str, text: str) -> None:
        """Show it, with what is looked for already.

        Args:
            what: Where to look; comes back in the messages.
            text: As typed before.
        """
        self._what = what
        self._label.update("filter forwards /" if what == "forwards" else "/")
        self._input.value = text
        self._input.cursor_position = len(text)
        self.add_class("-open")
        self._input.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Each letter counts."""
        event.stop()
        if self.has_class("-open"):
            self.post_message(self.Changed(self._what, event.value))

    def action_close(self) -> None:
        """Keep what is looked for."""
        if self.has_class("-open"):
            self.remove_class("-open")
            self.post_message(self.Closed(self._what))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter is taken by the line."""
        event.stop()
        self.action_close()

    def action_clear(self) -> None:
        """Look for nothing any more."""
        self.post_message(self.Changed(self._what, ""))
        self.action_close()
