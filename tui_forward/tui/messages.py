"""What the dashboard asks the app to do. Every message is a wish, judged by a fresh sample."""

from __future__ import annotations

from enum import StrEnum

from textual.message import Message

from tui_forward.model import DeclaredPort
from tui_forward.tui.viewmodel.entries import Entry


class ForwardAction(StrEnum):
    """What is to become of forwards that there are."""

    STOP = "stop"
    PAUSE = "pause"  # or go on, if paused
    RECONNECT = "reconnect"
    OPEN = "open"
    COPY = "copy"
    EDIT = "edit"


class ForwardPortsRequested(Message):
    """Ports are to be forwarded.

    Args:
        ports: Each with the entry it belongs to.
        toggle: Those that are forwarded already are to be switched off.
    """

    def __init__(self, ports: list[tuple[Entry, DeclaredPort]], *, toggle: bool) -> None:
        super().__init__()
        self.ports = ports
        self.toggle = toggle


class ForwardFormRequested(Message):
    """A port is to be forwarded as the person says in a form."""

    def __init__(self, entry: Entry, port: DeclaredPort | None) -> None:
        super().__init__()
        self.entry = entry
        self.port = port


class DetailRequested(Message):
    """Everything about one forward is to be shown."""

    def __init__(self, forward_id: str) -> None:
        super().__init__()
        self.forward_id = forward_id


class PodLogRequested(Message):
    """The log of the pod behind a forward is to be shown, or not any more."""

    def __init__(self, forward_id: str, *, on: bool, container: str = "") -> None:
        super().__init__()
        self.forward_id = forward_id
        self.on = on
        self.container = container


class ForwardActionRequested(Message):
    """Something is to be done with forwards."""

    def __init__(self, forward_ids: list[str], wish: ForwardAction) -> None:
        super().__init__()
        self.forward_ids = forward_ids
        self.wish = wish


class CloseConnectionsRequested(Message):
    """Connections are to be ended."""

    def __init__(self, connection_ids: list[int]) -> None:
        super().__init__()
        self.connection_ids = connection_ids


class FavoriteToggled(Message):
    """An entry is to be a favourite, or not any more."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
