"""A question in the place of the first line of keys; the dashboard above stays visible."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Final

import msgspec
from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widget import Widget

from tui_forward.common.printable import blank_unprintable
from tui_forward.tui.keys.key_names import format_key
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.viewmodel.cell_layout import truncate

TIMEOUT_S: Final = 10.0
MIN_PAUSE_S: Final = 0.3  # a key that repeats while it is held never confirms


class Confirmation(msgspec.Struct, frozen=True):
    """A question and the keys that answer it."""

    question: str
    verb: str  # what the keys do
    keys: tuple[str, ...]  # Textual's names of the keys that confirm, beside Enter


class _QuestionLine(Widget):
    COMPONENT_CLASSES: ClassVar[set[str]] = {"keybar--key", "keybar--words"}

    def __init__(self, confirmation: Confirmation) -> None:
        super().__init__(id="question")
        self._confirmation = confirmation

    def _keys(self) -> tuple[tuple[str, str], ...]:
        confirmation = self._confirmation
        return ((format_key(confirmation.keys[0] if confirmation.keys else "enter"),
                 confirmation.verb), ("esc", "Cancel"))  # fmt: skip

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.rich_style
        if y:
            return Strip.blank(width, base)
        key_style = base + self.get_component_rich_style("keybar--key", partial=True)
        words_style = base + self.get_component_rich_style("keybar--words", partial=True)
        keys: list[Segment] = []
        for key, words in self._keys():
            keys += [
                Segment("  ", base),
                Segment(key, key_style),
                Segment(f" {words}", words_style),
            ]
        room = max(1, width - sum(one.cell_length for one in keys))
        text = blank_unprintable(self._confirmation.question)
        question = truncate(text, min(room, cell_len(text)), middle=True)
        bold = self.get_component_rich_style("keybar--key", partial=True)
        return Strip([Segment(question, base + bold), *keys]).adjust_cell_length(width, base)

    def answer_at(self, x: int) -> bool | None:
        """Return the answer of the key at a column, None between the keys."""
        keys = self._keys()
        text = blank_unprintable(self._confirmation.question)
        room = max(1, self.size.width - sum(len(a) + len(b) + 3 for a, b in keys))
        at = min(room, cell_len(text))
        for (key, words), answer in zip(keys, (True, False), strict=True):
            at += 2
            if at <= x < at + len(key) + len(words) + 1:
                return answer
            at += len(key) + len(words) + 1
        return None


class ConfirmationScreen(ModalScreen[bool]):
    """The question; its result is whether it was confirmed."""

    CSS_PATH = stylesheet("confirmation.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "answer(False)", "Cancel", id="question.cancel", tooltip="Cancel"),
        Binding("enter", "answer(True)", "Confirm", id="question.confirm",
                tooltip="Confirm; the same key again does, too"),
    ]  # fmt: skip

    def __init__(
        self, confirmation: Confirmation, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._confirmation = confirmation
        self._clock = clock
        self._pressed_at = clock()
        self._line = _QuestionLine(confirmation)

    def compose(self) -> ComposeResult:
        """Show the question."""
        yield self._line

    def on_mount(self) -> None:
        """Cancel when the user does not answer."""
        self.set_timer(TIMEOUT_S, lambda: self.action_answer(False))

    def on_key(self, event: events.Key) -> None:
        """Confirm with the key that asked."""
        if event.key not in self._confirmation.keys:
            return
        event.stop()
        now = self._clock()
        pause, self._pressed_at = now - self._pressed_at, now
        if pause >= MIN_PAUSE_S:
            self.action_answer(True)

    def on_click(self, event: events.Click) -> None:
        """Answer with the clicked key; a click elsewhere cancels."""
        offset = event.get_content_offset(self._line)
        answer = self._line.answer_at(offset.x) if offset is not None else False
        if answer is not None:
            self.action_answer(answer)

    def action_answer(self, answer: bool) -> None:
        """Close with an answer."""
        if self.is_current:
            self.dismiss(answer)
