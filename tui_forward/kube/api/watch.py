"""Watches: what changed since a version, as it changes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic

import msgspec

from tui_forward.errors import ApiError
from tui_forward.kube.api.resources import Item

# etcd refuses objects above 1.5 MiB, and JSON can be several times that.
MAX_LINE_BYTES = 16 * 2**20
# API servers send a bookmark about once a minute; longer silence is a dead connection (or a
# server without bookmarks, for which beginning again from the same version costs nothing).
STALL_S = 90.0


class WatchEventType(StrEnum):
    """What happened to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[Item]):
    """One line of a watch.

    Attributes:
        item: The object; None for a bookmark.
        resource_version: From where to go on after this event.
    """

    type: WatchEventType
    item: Item | None
    resource_version: str


class _BookmarkMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class Bookmark(msgspec.Struct):
    """The object of a BOOKMARK event."""

    metadata: _BookmarkMetadata = msgspec.field(default_factory=_BookmarkMetadata)


class RawEvent(msgspec.Struct):
    """One line, its object undecoded."""

    type: str
    object: msgspec.Raw = msgspec.Raw(b"{}")


EVENT = msgspec.json.Decoder(RawEvent)
BOOKMARK = msgspec.json.Decoder(Bookmark)


class LineSplitter:
    """Bytes in any chunking, lines out. Bounded.

    Args:
        what: What the lines belong to, for the error.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._parts: list[bytes] = []
        self._held = 0

    def receive(self, chunk: bytes) -> list[bytes]:
        """The lines that are complete now.

        Raises:
            ApiError: A line is longer than any object can be.
        """
        head, newline, rest = chunk.partition(b"\n")
        if not newline:
            self._hold(chunk)
            return []
        first = b"".join((*self._parts, head)) if self._parts else head
        self._parts.clear()
        self._held = 0
        *lines, tail = rest.split(b"\n")
        if tail:
            self._hold(tail)
        lines.insert(0, first)
        return [line for line in lines if line and not line.isspace()]

    def _hold(self, chunk: bytes) -> None:
        self._held += len(chunk)
        if self._held > MAX_LINE_BYTES:
            raise ApiError(
                f"the answer to {self._what} holds a line of more than {MAX_LINE_BYTES} bytes",
                status=200,
                hint="Check that `server` in the kubeconfig is a Kubernetes API server",
            )
        self._parts.append(chunk)
