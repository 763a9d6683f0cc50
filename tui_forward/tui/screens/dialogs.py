"""Modal dialogs: their base class, and the questions about quitting and restoring."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from tui_forward.common.formatting import pluralize
from tui_forward.tui.plain_text import PlainText
from tui_forward.tui.textual_internals.screens import OverlayScreen

_MAX_LINES = 10  # forwards listed in a question

T = TypeVar("T")


class Dialog(OverlayScreen[T]):
    """Box in the middle of the screen."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-normal")]  # noqa: RUF012 - as Textual declares it


class QuitChoice(Enum):
    """What happens to active forwards when the dashboard quits."""

    STOP = auto()
    KEEP_RUNNING = auto()


class QuitScreen(Dialog[QuitChoice | None]):
    """Question before quitting with active forwards; its result is None to stay."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,q,ctrl+c,ctrl+q", "default", "Keep running", key_display="enter",
                id="quit.keep-running", tooltip="Quit; forwards keep running if they can"),
        Binding("s", "stop", "Stop all", id="quit.stop", tooltip="Stop all forwards and quit"),
        Binding("escape,n", "cancel", "Cancel", key_display="esc", id="quit.cancel",
                tooltip="Do not quit"),
    ]  # fmt: skip

    def __init__(self, active: str, connections: int, *, can_keep_running: bool = True) -> None:
        super().__init__()
        self._active = active  # what is active, in words
        self._connections = connections
        self._can_keep_running = can_keep_running  # whether forwards can run without the dashboard

    def compose(self) -> ComposeResult:
        """Show the question and its keys."""
        what = self._active
        connections = ""
        if self._connections:
            connections = f"\n{pluralize(self._connections, 'connection')} open."
        with Vertical() as box:
            if self._can_keep_running:
                box.border_subtitle = "enter Keep running · s Stop all · esc Cancel"
                yield PlainText(f"Keep {what} running?{connections}")
            else:
                box.border_subtitle = "enter Stop all · esc Cancel"
                yield PlainText(f"Stop {what} and quit?{connections}")

    def action_stop(self) -> None:
        """Stop all forwards and quit."""
        self.dismiss(QuitChoice.STOP)

    def action_default(self) -> None:
        """Quit as the question says."""
        self.dismiss(QuitChoice.KEEP_RUNNING if self._can_keep_running else QuitChoice.STOP)

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
            box.border_subtitle = "enter Restore · n Discard · esc Later"
            yield PlainText(
                f"Restore {pluralize(len(self._lines), 'forward')} of the last session?\n"
            )
            shown = self._lines[:_MAX_LINES]
            lines = [*shown, f"… and {more} more"] if more > 0 else shown
            yield PlainText("\n".join(f"  {line}" for line in lines))

    def action_answer(self, answer: bool | None) -> None:
        """Close with an answer."""
        self.dismiss(answer)
