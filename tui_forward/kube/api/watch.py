"""Watches: changes of a resource since a version, or all objects and then their changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from enum import StrEnum
from typing import Generic
from urllib.parse import urlencode

import msgspec

from tui_forward.common.jitter import JITTER
from tui_forward.kube.api.limits import MAX_OBJECT_BYTES, Account
from tui_forward.kube.api.resources import Item, Resource
from tui_forward.kube.api.rest_client import OBJECTS, RestClient
from tui_forward.kube.errors import parse_status, to_api_error, unexpected_response_error

MAX_LINE_BYTES = MAX_OBJECT_BYTES
# API servers send a bookmark about once a minute; longer silence is a dead connection (or a
# server without bookmarks, for which a new watch from the same version costs little).
STALL_S = 90.0

# Feature gates of client-go are environment variables; its values of booleans.
_FEATURE_GATE = "KUBE_FEATURE_WatchListClient"
_OFF = frozenset({"0", "f", "F", "FALSE", "false", "False"})
# The bookmark with this annotation follows the last of the initial objects.
_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def is_watch_list_enabled(environ: Mapping[str, str]) -> bool:
    """Return whether the environment allows a watch in place of a list, as it does by default."""
    return environ.get(_FEATURE_GATE, "") not in _OFF


class WatchEventType(StrEnum):
    """Kind of a change."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


class WatchEvent(msgspec.Struct, Generic[Item], frozen=True):
    """One line of a watch."""

    type: WatchEventType
    item: Item | None  # None for a bookmark
    resource_version: str  # watch from here after this event
    ends_initial_events: bool = False  # the objects of before the watch have all been sent


class _BookmarkMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class _Bookmark(msgspec.Struct):
    """The object of a BOOKMARK event."""

    metadata: _BookmarkMetadata = msgspec.field(default_factory=_BookmarkMetadata)


class _RawEvent(msgspec.Struct):
    """One line, its object undecoded."""

    type: str
    object: msgspec.Raw = msgspec.Raw(b"{}")


_EVENT = msgspec.json.Decoder(_RawEvent)
_BOOKMARK = msgspec.json.Decoder(_Bookmark)


class LineSplitter:
    """Splitter of a byte stream into lines: bytes in any chunking, lines out. Bounded."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._pending = bytearray()

    def receive(self, chunk: bytes) -> list[bytes]:
        """Return the lines that are complete now; ApiError if one is longer than any object."""
        head, newline, rest = chunk.partition(b"\n")
        if not newline:
            self._append(chunk)
            return []
        first = bytes(self._pending + head) if self._pending else head
        self._account.hold(-len(self._pending))
        self._pending.clear()
        *lines, tail = rest.split(b"\n")
        if tail:
            self._append(tail)
        lines.insert(0, first)
        return [line for line in lines if line and not line.isspace()]

    def discard(self) -> None:
        """Free the memory."""
        self._pending.clear()
        self._account.close()

    def _append(self, chunk: bytes) -> None:
        if len(self._pending) + len(chunk) > MAX_LINE_BYTES:
            raise self._account.error(f"an event exceeds {MAX_LINE_BYTES} bytes")
        self._account.hold(len(chunk))
        self._pending += chunk


_CHANGES = frozenset({"ADDED", "MODIFIED", "DELETED"})


async def watch(
    client: RestClient,
    resource: Resource[Item],
    namespace: str,
    *,
    resource_version: str,
    label_selector: str = "",
    field_selector: str = "",
    send_initial_events: bool = False,
    stall_s: float = STALL_S,
) -> AsyncGenerator[WatchEvent[Item], None]:
    """Yield changes after a version; see `ClusterClient.watch`."""
    what = resource.describe("watch", namespace)
    query: dict[str, str | int] = {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": resource_version,
        # Spread out, so that clients do not reconnect to a restarted API server all at once.
        "timeoutSeconds": JITTER.randint(240, 480),
    }
    if send_initial_events:
        query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    if label_selector:
        query["labelSelector"] = label_selector
    if field_selector:
        query["fieldSelector"] = field_selector
    target = f"{resource.path(namespace)}?{urlencode(query)}"
    server = client.access.server
    async with client.stream(
        target, what, read_timeout_s=stall_s, compress=False, accept=OBJECTS
    ) as response:
        yield WatchEvent(WatchEventType.BOOKMARK, None, resource_version)
        account = Account(what, server)
        splitter = LineSplitter(account)
        try:
            while chunk := await response.content.readany():
                for line in splitter.receive(chunk):
                    account.check_decoded_size(line)
                    event = _decode_event(resource, line, what, server)
                    if event is not None:
                        yield event
        finally:
            splitter.discard()


def _decode_event(
    resource: Resource[Item], line: bytes, what: str, server: str
) -> WatchEvent[Item] | None:
    """Decode a line; None for an unknown type of event. ApiError for an ERROR event."""
    try:
        raw = _EVENT.decode(line)
        if raw.type == "ERROR":
            body = bytes(raw.object)
            raise to_api_error(parse_status(body).code or 500, body, what=what, server=server)
        if raw.type == WatchEventType.BOOKMARK:
            metadata = _BOOKMARK.decode(raw.object).metadata
            return WatchEvent(
                WatchEventType.BOOKMARK,
                None,
                metadata.resource_version,
                ends_initial_events=(metadata.annotations or {}).get(_INITIAL_EVENTS_END) == "true",
            )
        if raw.type not in _CHANGES:
            return None
        item = resource.decode(raw.object)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unexpected_response_error(what, server, error) from error
    return WatchEvent(WatchEventType(raw.type), item, item.resource_version)
