"""Requests of screens and tables to the app.

Tables post them to the app directly: Textual stops a message that was created in a handler of
the screen when it bubbles from a table to the screen.
"""

from __future__ import annotations

from enum import StrEnum

from textual.message import Message

from tui_forward.model import DeclaredPort
from tui_forward.tui.viewmodel.entries import Entry


class ForwardAction(StrEnum):
    """Action on existing forwards."""

    STOP = "stop"
    PAUSE = "pause"  # resumes a paused forward
    RECONNECT = "reconnect"
    OPEN = "open"
    COPY = "copy"
    EDIT = "edit"


class ForwardPortsRequested(Message):
    """Request to forward ports, each with its entry; `toggle` stops those forwarded already."""

    def __init__(self, ports: list[tuple[Entry, DeclaredPort]], *, toggle: bool) -> None:
        super().__init__()
        self.ports = ports
        self.toggle = toggle


class ForwardFormRequested(Message):
    """Request for the form of a new forward; the port is None if the entry declares none."""

    def __init__(self, entry: Entry, port: DeclaredPort | None) -> None:
        super().__init__()
        self.entry = entry
        self.port = port


class ForwardActionRequested(Message):
    """Request for an action on forwards."""

    def __init__(self, forward_ids: list[str], action: ForwardAction) -> None:
        super().__init__()
        self.forward_ids = forward_ids
        self.action = action


class DetailRequested(Message):
    """Request for the details of one forward."""

    def __init__(self, forward_id: str) -> None:
        super().__init__()
        self.forward_id = forward_id


class PodLogRequested(Message):
    """Request to show or hide the log of a forward's pod; no container is the default one."""

    def __init__(self, forward_id: str, *, on: bool, container: str = "") -> None:
        super().__init__()
        self.forward_id = forward_id
        self.on = on
        self.container = container


class CloseConnectionsRequested(Message):
    """Request to close connections."""

    def __init__(self, connection_ids: list[int]) -> None:
        super().__init__()
        self.connection_ids = connection_ids


class FavoriteToggled(Message):
    """Request to add an entry to the favorites or to remove it."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
