"""Requests of screens and tables to the app.

Tables post them to the app directly: Textual stops a message that was created in a handler of
the screen when it bubbles from a table to the screen.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from enum import StrEnum

from textual.message import Message

from tui_forward.model import (
    DeclaredPort,
    Target,
)
from tui_forward.tui.viewmodel.entries import Entry


class ForwardAction(StrEnum):
    """Action on existing forwards."""

    STOP = "stop"
    PAUSE = "pause"  # resumes a paused forward
    RECONNECT = "reconnect"
    OPEN = "open"
    COPY = "copy"
    COPY_COMMAND = "copy_command"
    EDIT = "edit"


@dataclass(eq=False)
class ForwardPortsRequested(Message):
    """Request to start the forwards of ports, each with its entry."""

    ports: list[tuple[Entry, DeclaredPort]]


@dataclass(eq=False)
class ForwardFormRequested(Message):
    """Request for the form of a new forward; the port is None if the entry declares none."""

    entry: Entry
    port: DeclaredPort | None


@dataclass(eq=False)
class ForwardActionRequested(Message):
    """Request for an action on forwards."""

    forward_ids: list[str]
    action: ForwardAction


@dataclass(eq=False)
class DetailRequested(Message):
    """Request for the details of one forward."""

    forward_id: str


@dataclass(eq=False)
class PodLogRequested(Message):
    """Request to show or hide the log of a forward's pod; no container is the default one."""

    forward_id: str
    _: KW_ONLY
    on: bool
    container: str = ""


@dataclass(eq=False)
class CloseConnectionsRequested(Message):
    """Request to close connections."""

    connection_ids: list[int]


@dataclass(eq=False)
class FavoriteToggled(Message):
    """Request to add an entry to the favorites or to remove it."""

    key: str


@dataclass(eq=False)
class LogRequested(Message):
    """Request to show the log of a pod, or of a pod of a workload or service."""

    target: Target
    _: KW_ONLY
    pod: str = ""  # one of its pods; empty for the preferred one
    container: str = ""  # empty for the default one
    port: int | None = None  # whose container is the default one
    previous: bool = False  # the run before the last start


@dataclass(eq=False)
class DescriptionRequested(Message):
    """Request to show facts, conditions and events of an object."""

    target: Target


@dataclass(eq=False)
class CopyRequested(Message):
    """Request to copy a text to the clipboard."""

    text: str


@dataclass(eq=False)
class NamespaceRequested(Message):
    """Request to show a namespace, "" for all."""

    name: str


@dataclass(eq=False)
class SampleRequested(Message):
    """Request for a sample now: other connections are shown."""
