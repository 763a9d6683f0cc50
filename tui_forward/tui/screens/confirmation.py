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
from textual.strip import Strip
from textual.widget import Widget

from tui_forward.common.printable import blank_unprintable
from tui_forward.tui.keys.key_names import format_key
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals.screens import OverlayScreen
from tui_forward.tui.viewmodel.cell_layout import fit_text

TIMEOUT_S: Final = 10.0
MIN_PAUSE_S: Final = 0.3  # a key that repeats while it is held never confirms


class Question(msgspec.Struct, frozen=True):
    """A question and the keys that answer it; where it is too long, its middle is cut."""

    text: str
    verb: str  # what the keys do
    keys: tuple[str, ...]  # Textual's names of the keys that confirm
    lead: int = 0  # characters at the beginning that are kept if possible
    trail: int = 0  # characters at the end that are kept if possible
    protected: str = ""  # names of protected contexts in the text


class _QuestionLine(Widget):
    COMPONENT_CLASSES: ClassVar[set[str]] = {"keybar--key", "keybar--words", "line--protected"}

    def __init__(self, question: Question) -> None:
        super().__init__(id="question")
        self._question = question

    def _keys(self) -> tuple[tuple[str, str], ...]:
        keys = self._question.keys
        return (format_key(keys[0] if keys else "enter"), self._question.verb), ("esc", "Cancel")

    def _text(self) -> str:
        """Return the question as it fits beside the keys."""
        one = self._question
        room = max(1, self.size.width - sum(cell_len(a) + cell_len(b) + 3 for a, b in self._keys()))
        width = min(room, cell_len(blank_unprintable(one.text)))
        return fit_text(one.text, width, middle=True, lead=one.lead, trail=one.trail).text

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
        protected = base + self.get_component_rich_style("line--protected", partial=True)
        before, name, after = self._text().rpartition(self._question.protected or "\n")
        text = [Segment(before, key_style), Segment(name, protected), Segment(after, key_style)]
        return Strip([*text, *keys]).adjust_cell_length(width, base)

    def answer_at(self, x: int) -> bool | None:
        """Return the answer of the key at a column, None between the keys."""
        at = cell_len(self._text())
        for (key, words), answer in zip(self._keys(), (True, False), strict=True):
            at += 2
            end = at + cell_len(key) + cell_len(words) + 1
            if at <= x < end:
                return answer
            at = end
        return None


class QuestionScreen(OverlayScreen[bool]):
    """The question; its result is whether it was confirmed. No answer cancels."""

    CSS_PATH = stylesheet("confirmation.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "answer(False)", "Cancel", id="question.cancel", tooltip="Cancel"),
    ]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.question = question
        self._line = _QuestionLine(question)

    def compose(self) -> ComposeResult:
        """Show the question."""
        yield self._line

    def on_mount(self) -> None:
        """Cancel when the user does not answer."""
        self.set_timer(TIMEOUT_S, lambda: self.action_answer(False))

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


class ConfirmationScreen(QuestionScreen):
    """Question that Enter confirms, and the key that asked it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "answer(True)", "Confirm", id="question.confirm",
                tooltip="Confirm; the same key again does, too"),
    ]  # fmt: skip

    def __init__(self, question: Question, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(question)
        self._clock = clock
        self._pressed_at = clock()

    def on_key(self, event: events.Key) -> None:
        """Confirm with the key that asked."""
        if event.key not in self.question.keys:
            return
        event.stop()
        now = self._clock()
        pause, self._pressed_at = now - self._pressed_at, now
        if pause >= MIN_PAUSE_S:
            self.action_answer(True)


class ProtectedScreen(QuestionScreen):
    """Question before forwards start in a protected context: only `y` starts them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Start", id="protected.yes",
                tooltip="Start forwards in a protected context"),
    ]  # fmt: skip
