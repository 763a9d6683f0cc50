"""Small screens over the dashboard: help, one question before quitting, a namespace by name."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui_forward.tui.figures import plural

T = TypeVar("T")

HELP = """\
[b]Everywhere[/b]
  1 … 9        switch the n-th port of the chosen pod on or off
  tab          next pane            shift+tab   the one before
  ↑ ↓  k j     move                 home end    first, last
  n            another namespace, by name
  ?            this help            q           quit

[b]Namespaces[/b]
  enter        show its pods

[b]Pods, ports[/b]
  space        pods: switch port 1; ports: switch the chosen port

[b]Forwards[/b]
  space        pause, go on         r           reconnect now
  x            stop

[b]Connections[/b]
  x            end the chosen connection

[b]States[/b]
  ● ready          a tunnel is up and answers
  ◐ connecting     a pod is chosen, no tunnel yet
  ◐ reconnecting   was ready, tries again; connections are held meanwhile
  ◔ waiting        no usable pod yet
  ■ blocked        needs you: the line below the table says what
  ‖ paused         switched off for now, keeps its local port"""


class Dialog(ModalScreen[T], Generic[T]):
    """A box in the middle of the dashboard."""


class HelpScreen(Dialog[None]):
    """Every key, and what the states mean."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter", "dismiss", "Close", id="help.close"),
    ]

    def compose(self) -> ComposeResult:
        """Text in a box that scrolls when the terminal is small."""
        with Vertical() as box:
            box.border_subtitle = "esc  close"
            with VerticalScroll():
                yield Static(HELP)


class QuitScreen(Dialog[bool]):
    """Asked once, if forwards are on.

    Args:
        forwards: How many would end.
        connections: How many connections are open.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,q,enter,ctrl+c,ctrl+q", "answer(True)", "Quit", id="quit.yes"),
        Binding("n,escape", "answer(False)", "Stay", id="quit.no"),
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


class NamespaceScreen(Dialog[str | None]):
    """A namespace by name, for who may not list them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="namespace.cancel"),
    ]

    def compose(self) -> ComposeResult:
        """One line to type in."""
        with Vertical() as box:
            box.border_title = "namespace"
            box.border_subtitle = "enter  show · esc  cancel"
            yield Input(placeholder="name, or empty for all", max_length=63)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the name."""
        self.dismiss(event.value.strip())

    def action_cancel(self) -> None:
        """Leave things as they are."""
        self.dismiss(None)
