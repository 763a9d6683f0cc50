"""Small screens over the dashboard, and the one question before quitting."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from tui_forward.tui.figures import plural

T = TypeVar("T")


class Dialog(ModalScreen[T], Generic[T]):
    """A box in the middle of the dashboard."""


class QuitScreen(Dialog[bool]):
    """Asked once, if forwards are on.

    Args:
        forwards: How many would end.
        connections: How many connections are open.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "y,q,enter,ctrl+c,ctrl+q",
            "answer(True)",
            "Quit",
            id="quit.yes",
            tooltip="Stop all forwards and leave",
        ),
        Binding(
            "n,escape", "answer(False)", "Stay", id="quit.no", tooltip="Leave everything as it is"
        ),
    ]

    def __init__(self, forwards: int, connections: int) -> None:
        super().__init__()
        self._forwards = forwards
        self._connections = connections

    def compose(self) -> ComposeResult:
        """The question and the two answers."""
        what = plural(self._forwards, "forward")
        if self._connections:
            what += f" with {plural(self._connections, 'open connection')}"
        with Vertical() as box:
            box.border_subtitle = "y  quit · n  stay"
            yield Static(f"Quit and stop {what}?")

    def action_answer(self, answer: bool) -> None:
        """Close with the answer."""
        self.dismiss(answer)
