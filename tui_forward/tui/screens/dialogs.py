"""Small screens over the dashboard, and the one question before quitting."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from tui_forward.common.formatting import pluralize

_SHOWN = 10  # forwards named in a question

T = TypeVar("T")


class Dialog(ModalScreen[T], Generic[T]):
    """A box in the middle of the dashboard."""


class QuitChoice(Enum):
    """What becomes of the forwards when the dashboard is left."""

    STOP = auto()
    KEEP_RUNNING = auto()


class QuitScreen(Dialog[QuitChoice | None]):
    """Asked once, if forwards are on; answers with what becomes of them, None to stay.

    Args:
        forwards: How many are on.
        connections: How many connections are open.
        keep_running: They are to go on as things stand.
        may_stay: They can go on at all.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "stop", "Stop all", id="quit.yes", tooltip="Stop all forwards and leave"),
        Binding("l", "leave_on", "Leave on", id="quit.leave-on",
                tooltip="Leave; the forwards go on without the dashboard"),
        Binding("q,enter,ctrl+c,ctrl+q", "default", "Quit", id="quit.usual",
                tooltip="Leave; forwards that were to go on do, others are stopped"),
        Binding("n,escape", "stay", "Stay", id="quit.no", tooltip="Leave everything as it is"),
    ]  # fmt: skip

    def __init__(
        self, forwards: int, connections: int, *, keep_running: bool, may_stay: bool = True
    ) -> None:
        super().__init__()
        self._forwards = forwards
        self._connections = connections
        self._keep_running = keep_running and may_stay
        self._may_stay = may_stay

    def compose(self) -> ComposeResult:
        """The question and the two answers."""
        what = pluralize(self._forwards, "forward")
        if self._connections:
            what += f" with {pluralize(self._connections, 'open connection')}"
        with Vertical() as box:
            if self._keep_running:
                box.border_subtitle = "enter  leave on · y  stop all · n  stay"
                yield Static(f"Quit and leave {what} on?")
            else:
                leave_on = " · l  leave on" if self._may_stay else ""
                box.border_subtitle = f"y  quit{leave_on} · n  stay"
                yield Static(f"Quit and stop {what}?")

    def action_stop(self) -> None:
        """End them all."""
        self.dismiss(QuitChoice.STOP)

    def action_leave_on(self) -> None:
        """Let them go on."""
        if self._may_stay:
            self.dismiss(QuitChoice.KEEP_RUNNING)

    def action_default(self) -> None:
        """As the question has it."""
        self.dismiss(QuitChoice.KEEP_RUNNING if self._keep_running else QuitChoice.STOP)

    def action_stay(self) -> None:
        """Go back."""
        self.dismiss(None)


class RestoreScreen(Dialog[bool | None]):
    """Asked once, if a crash or a reboot has ended what was on.

    Args:
        what: A line for each forward.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "Bring back", id="resume.yes",
                tooltip="Switch them on again, on the ports they had"),
        Binding("n", "answer(False)", "Forget", id="resume.no", tooltip="Do not ask again"),
        Binding("escape", "answer(None)", "Later", id="resume.later",
                tooltip="Ask again at the next start"),
    ]  # fmt: skip

    def __init__(self, what: Sequence[str]) -> None:
        super().__init__()
        self._what = what

    def compose(self) -> ComposeResult:
        """The question and what it is about."""
        shown, more = self._what[:_SHOWN], len(self._what) - _SHOWN
        with Vertical() as box:
            box.border_subtitle = "enter  bring back · n  forget · esc  later"
            yield Static(f"{pluralize(len(self._what), 'forward')} of the last session:\n")
            lines = [*shown, f"… and {more} more"] if more > 0 else shown
            yield Static("\n".join(f"  {line}" for line in lines), markup=False)

    def action_answer(self, answer: bool | None) -> None:
        """Close with the answer."""
        self.dismiss(answer)
