"""Requests of screens and tables to the app.

Tables post them to the app directly: Textual stops a message that was created in a handler of
the screen when it bubbles from a table to the screen. They are not dataclasses, because creating
one of those takes longer than drawing a line.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from textual.message import Message

from tui_forward.model import (
    CatalogScope,
    DeclaredPort,
    Forward,
    ReasonCode,
    Target,
)
from tui_forward.tui.viewmodel.entries import Entry

# The last run of a container tells more than the present one.
_CRASH_LOOPS: Final = (ReasonCode.POD_CRASH_LOOPING, ReasonCode.POD_UNSTABLE)


class ForwardAction(StrEnum):
    """Action on existing forwards."""

    STOP = "stop"
    PAUSE = "pause"  # resumes a paused forward
    RECONNECT = "reconnect"
    OPEN = "open"
    COPY = "copy"
    COPY_COMMAND = "copy_command"
    EDIT = "edit"


class ForwardPortsRequested(Message):
    """Request to start the forwards of ports, each with its entry."""

    def __init__(self, ports: list[tuple[Entry, DeclaredPort]]) -> None:
        super().__init__()
        self.ports = ports


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


class LogRequested(Message):
    """Request to show the log of a pod, or of a pod of a workload or service.

    Args:
        target: The object.
        pod: One of its pods; empty for the preferred one.
        container: Empty for the default one.
        port: Whose container is the default one.
        previous: Whether the log is that of the run before the last start.
    """

    def __init__(
        self, target: Target, *, pod: str = "", container: str = "", port: int | None = None,
        previous: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.target = target
        self.pod = pod
        self.container = container
        self.port = port
        self.previous = previous


class DescriptionRequested(Message):
    """Request to show facts, conditions and events of an object."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target


class CopyRequested(Message):
    """Request to copy a text to the clipboard."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class ProxyStopRequested(Message):
    """Request to stop a cluster proxy."""

    def __init__(self, proxy_id: str) -> None:
        super().__init__()
        self.proxy_id = proxy_id


class LoginCodeRequested(Message):
    """Request to copy what a login asks for; without one, `otherwise` is the answer."""

    def __init__(self, otherwise: str) -> None:
        super().__init__()
        self.otherwise = otherwise


class NamespaceRequested(Message):
    """Request to show a namespace, "" for all."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class SampleRequested(Message):
    """Request for a sample now: other connections are shown."""


class PermissionsRequested(Message):
    """Request for what the user may not do in the namespace of a scope; none without a scope."""

    def __init__(self, scope: CatalogScope | None) -> None:
        super().__init__()
        self.scope = scope


class InspectionRequested(Message):
    """Request to read what the inspector shows of a forward; None for no forward."""

    def __init__(self, forward_id: str | None) -> None:
        super().__init__()
        self.forward_id = forward_id


class DetailMoved(Message):
    """Request to show the details of the next forward (1), or of the previous one (-1)."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by


class ChainTestRequested(Message):
    """Request to test the chain of a forward now."""

    def __init__(self, forward_id: str) -> None:
        super().__init__()
        self.forward_id = forward_id


def log_request(forward: Forward) -> LogRequested:
    """Return the request for the log of a forward's pod: of the last run if it crash-loops."""
    pod = forward.pod.name if forward.pod is not None else ""
    return LogRequested(
        forward.spec.target, pod=pod, port=forward.remote_port,
        previous=forward.code in _CRASH_LOOPS,
    )  # fmt: skip
