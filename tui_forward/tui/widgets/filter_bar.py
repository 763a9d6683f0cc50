"""Input line of the filter, which lies behind the key bar until it is opened."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input

from tui_forward.tui.plain_text import PlainText
from tui_forward.tui.textual_internals.widgets import FixedLayoutInput
from tui_forward.tui.widgets.key_bar import KeyBar


class FilterBar(Vertical):
    """Input line in the place of the key bar.

    Watch `text` to apply the filter in the frame that shows the typed character.
    """

    text: reactive[str] = reactive("", repaint=False, init=False)  # the filter as typed

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "Clear", id="filter.clear", tooltip="Clear the filter"),
        Binding("enter,down", "close", "Done", id="filter.done",
                tooltip="Keep the filter and go to the rows"),
    ]  # fmt: skip

    def __init__(self, key_bar: KeyBar, *, id: str) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id)
        self.table: Widget | None = None  # filtered, and focused afterwards; None before `open`
        self._key_bar = key_bar  # covers the filter bar; hidden while the filter is open
        self._label_text = ""
        self._label = PlainText("/", id="filter-label")
        self._input = FixedLayoutInput(
            placeholder="words  ns:  label:  port:  node:  status:  kind:  !not  \"exactly\"",
            compact=True, select_on_focus=False, id="filter-input",
        )  # fmt: skip
        self._input.can_focus = False

    def compose(self) -> ComposeResult:
        """Arrange label, input and the keys that close the bar."""
        with Horizontal(id="filter-line"):
            yield self._label
            yield self._input
        yield PlainText("enter Keep  esc Clear", id="filter-keys")

    def open(self, table: Widget, text: str, *, label: str = "") -> None:
        """Show the bar with the table's label and filter, and focus its input."""
        self.table = table
        if label != self._label_text:  # only then: it lays out the screen
            self._label_text = label
            self._label.show(f"filter {label} /" if label else "/")
        self.set_reactive(FilterBar.text, text)
        self._input.value = text
        self._input.cursor_position = len(text)
        self._key_bar.hidden = True
        self._input.can_focus = True
        # Synchronously: the next character may be queued and must not run a command.
        self.screen.set_focus(self._input)

    def on_mount(self) -> None:
        """Follow the input."""
        self.watch(self._input, "value", self._set_text, init=False)

    def _set_text(self, text: str) -> None:
        self.text = text

    def action_close(self) -> None:
        """Close the bar and keep the filter."""
        if self.table is not None:
            self.screen.set_focus(self.table)
        self._hide()

    def on_descendant_blur(self) -> None:
        """Close when another widget gets the focus, not when the terminal loses it."""
        if self.screen.focused not in (None, self._input):
            self._hide()

    def _hide(self) -> None:
        self._key_bar.hidden = False
        self._input.can_focus = False

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Close on Enter, which the input consumes."""
        event.stop()
        self.action_close()

    def action_clear(self) -> None:
        """Clear the filter and close the bar."""
        self.text = ""
        self.action_close()
