"""Modal dialogs: their base class, and the questions about quitting and restoring."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui_forward.common.formatting import pluralize
from tui_forward.tui.plain_text import PlainText, plain

_MAX_LINES = 10  # forwards listed in a question

T = TypeVar("T")


class Dialog(ModalScreen[T], Generic[T]):
    """Box in the middle of the screen."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-normal")]  # noqa: RUF012 - as Textual declares it


class QuitChoice(Enum):
    """What happens to active forwards when the dashboard quits."""

    STOP = auto()
    KEEP_RUNNING = auto()


class QuitScreen(Dialog[QuitChoice | None]):
    """Question before quitting with active forwards; its result is None to stay."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "stop", "Stop all", id="quit.yes", tooltip="Stop all forwards and quit"),
        Binding("l", "keep_running", "Keep running", id="quit.keep-running",
                tooltip="Quit; forwards keep running without the dashboard"),
        Binding("q,enter,ctrl+c,ctrl+q", "default", "Quit", id="quit.usual",
                tooltip="Quit with the default answer"),
        Binding("n,escape", "cancel", "Cancel", id="quit.no", tooltip="Do not quit"),
    ]  # fmt: skip

    def __init__(
        self, forwards: int, connections: int, *, keep_running: bool, can_keep_running: bool = True
    ) -> None:
        super().__init__()
        self._forwards = forwards
        self._connections = connections
        self._keep_running = keep_running and can_keep_running
        self._can_keep_running = can_keep_running  # whether forwards can run without the dashboard

    def compose(self) -> ComposeResult:
        """Show the question and its keys."""
        what = pluralize(self._forwards, "forward")
        connections = ""
        if self._connections:
            connections = f" with {pluralize(self._connections, 'open connection')}"
        with Vertical() as box:
            if self._keep_running:
                box.border_subtitle = "enter  keep running · y  stop all · n  cancel"
                yield PlainText(f"Quit and keep {what} running{connections}?")
            else:
                keep_running = " · l  keep running" if self._can_keep_running else ""
                box.border_subtitle = plain(f"y  quit{keep_running} · n  cancel")
                yield PlainText(f"Quit and stop {what}{connections}?")

    def action_stop(self) -> None:
        """Stop all forwards and quit."""
        self.dismiss(QuitChoice.STOP)

    def action_keep_running(self) -> None:
        """Quit and keep forwards running, if they can."""
        if self._can_keep_running:
            self.dismiss(QuitChoice.KEEP_RUNNING)

    def action_default(self) -> None:
        """Quit as the question says."""
        self.dismiss(QuitChoice.KEEP_RUNNING if self._keep_running else QuitChoice.STOP)

    def action_cancel(self) -> None:
        """Do not quit."""
        self.dismiss(None)


class RestoreScreen(Dialog[bool | None]):
    """Question whether to restore the last session; its result is None to ask again later."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "Restore", id="restore.yes",
                tooltip="Start the forwards again, on the same ports"),
        Binding("n", "answer(False)", "Discard", id="restore.no",
                tooltip="Discard the forwards and do not ask again"),
        Binding("escape", "answer(None)", "Later", id="restore.later",
                tooltip="Ask again at the next start"),
    ]  # fmt: skip

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        """Show the question, the forwards and the keys."""
        more = len(self._lines) - _MAX_LINES
        with Vertical() as box:
            box.border_subtitle = "enter  restore · n  discard · esc  later"
            yield PlainText(
                f"Restore {pluralize(len(self._lines), 'forward')} of the last session?\n"
            )
            shown = self._lines[:_MAX_LINES]
            lines = [*shown, f"… and {more} more"] if more > 0 else shown
            yield PlainText("\n".join(f"  {line}" for line in lines))

    def action_answer(self, answer: bool | None) -> None:
        """Close with an answer."""
        self.dismiss(answer)


class ProtectedScreen(Dialog[bool]):
    """Question before forwards start in a protected context: only `y` starts them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Start", id="protected.yes",
                tooltip="Start forwards in a protected context"),
        Binding("escape,n", "answer(False)", "Cancel", id="protected.no",
                tooltip="Start nothing"),
    ]  # fmt: skip

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Show the question and its keys."""
        with Vertical() as box:
            box.border_subtitle = "y  start · esc  cancel"
            yield PlainText(self._question, classes="protected")

    def action_answer(self, answer: bool) -> None:
        """Close with an answer."""
        self.dismiss(answer)
