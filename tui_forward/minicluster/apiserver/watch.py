"""Watches of collections.

A watch starts at a version and sends every later change as one line of JSON. An object that the
selector no longer matches is sent as DELETED, one that it starts to match as ADDED, both with the
version of the change. The watch of a client that reads too slowly is ended to bound its backlog.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable

import msgspec

from tui_forward.minicluster.apiserver import tables
from tui_forward.minicluster.apiserver.get_and_list import Selection, negotiate
from tui_forward.minicluster.apiserver.http import Request, Response, StreamingResponse
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.status_errors import StatusError, bad_request, too_old
from tui_forward.minicluster.apiserver.store import (
    ADDED,
    DELETED,
    MODIFIED,
    Change,
    Item,
    Store,
    encode_watch_line,
)

BOOKMARK_INTERVAL_S = 60.0  # as kube-apiserver
# Bytes that may wait for a slow client before its watch is ended.
MAX_BACKLOG = 32 << 20
# Bytes per chunk; the initial objects of a large collection make several.
CHUNK_SIZE = 1 << 20

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Watch:
    """A running watch. Raises `StatusError`: 400, 406, or 410 for a compacted version."""

    def __init__(self, store: Store, request: Request, selection: Selection) -> None:
        self._store = store
        self._selection = selection
        self._media_type = negotiate(request.header("accept"))
        self._bookmarks = request.flag("allowWatchBookmarks")
        self._include = request.param("includeObject", "Metadata")
        send_initial = request.flag("sendInitialEvents")
        if send_initial and request.param("resourceVersionMatch") != "NotOlderThan":
            raise bad_request(
                "resourceVersionMatch: Forbidden: sendInitialEvents requires setting "
                "resourceVersionMatch to NotOlderThan"
            )
        # None sends the existing objects as ADDED first.
        version: int | None = None
        requested = request.param("resourceVersion")
        if requested not in ("", "0") and not send_initial:
            try:
                version = int(requested)
            except ValueError:
                raise bad_request(f"invalid resource version: {requested}") from None
        self._timeout_s = float(request.number("timeoutSeconds"))
        if self._timeout_s <= 0:
            # A real API server also randomizes the end of its watches.
            self._timeout_s = 1800 * (1 + random.SystemRandom().random())
        self._columns_sent = False
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._has_lines = asyncio.Event()
        self._is_overrun = False
        self._ending = False
        self._not_stalled = asyncio.Event()
        self._not_stalled.set()
        self.on_close: Callable[[], object] = lambda: None  # called when the watch closes
        resource = selection.resource
        # No change may occur between these lines and `listen`.
        changes: list[Change] = []
        if version is None:
            for item in store.all(resource, selection.namespace):
                if selection.matches(item):
                    self._push(self._encode_line(ADDED, item))
            if send_initial and self._bookmarks:
                self._push(self._encode_bookmark(initial_end=True))
        else:
            missed = store.since(resource, version)
            if missed is None:
                raise too_old(version, store.tables[resource].compacted)
            changes = missed
        for change in changes:
            self._on_change(change)
        self._is_overrun = False  # the limit applies to later changes only
        self._unsubscribe = store.listen(resource, self._on_change)

    def _push(self, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line)

    def _on_change(self, change: Change) -> None:
        line = self._encode_change(change)
        if line is None:
            return
        self._push(line)
        if self._size > MAX_BACKLOG:
            self._is_overrun = True
        self._has_lines.set()

    def _encode_change(self, change: Change) -> bytes | None:
        """Return the line of a change; None if the watch does not select it."""
        selection, item, before = self._selection, change.item, change.before
        if selection.namespace and item.namespace != selection.namespace:
            return None
        if selection.has_no_selectors:
            is_plain = not self._media_type.kind and self._media_type.convert(item) is item
            return change.line if is_plain else self._encode_line(change.type, item)
        matched_before = before is not None and selection.matches(before)
        if change.type == DELETED:
            return self._encode_line(DELETED, item) if matched_before else None
        if selection.matches(item):
            return self._encode_line(MODIFIED if matched_before else ADDED, item)
        if not matched_before or before is None:
            return None
        last = before.copy()
        last["metadata"]["resourceVersion"] = str(item.version)
        return self._encode_line(
            DELETED, Item(item.resource, item.version, msgspec.json.encode(last))
        )

    def _encode_line(self, kind: str, item: Item) -> bytes:
        if not self._media_type.kind:
            return encode_watch_line(kind, self._media_type.convert(item))
        if self._media_type.kind == "Table":
            pieces = tables.encode_table(
                item.resource,
                (item,),
                {"resourceVersion": str(item.version)},
                version=self._media_type.version,
                include=self._include,
                with_columns=not self._columns_sent,
            )
            self._columns_sent = True
            obj = b"".join(pieces).rstrip(b"\n")
        else:
            obj = tables.encode_metadata(item)
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), obj)

    def _encode_bookmark(self, *, initial_end: bool = False) -> bytes:
        resource = self._selection.resource
        metadata: Object = {"resourceVersion": str(self._store.version)}
        if initial_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        kind, version = resource.kind, resource.api_version
        if self._media_type.kind:
            kind, version = self._media_type.kind, f"meta.k8s.io/{self._media_type.version}"
        body: Object = {"kind": kind, "apiVersion": version, "metadata": metadata}
        if kind == "Table":
            body["rows"] = []
        return msgspec.json.encode({"type": "BOOKMARK", "object": body}) + b"\n"

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield lines until the timeout, `end`, or an overrun of the backlog."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._timeout_s
        bookmark_at = loop.time() + BOOKMARK_INTERVAL_S
        try:
            while not self._is_overrun and not self._ending:
                while self._lines:
                    batch: list[bytes] = []
                    size = 0
                    while self._lines and size < CHUNK_SIZE:
                        batch.append(self._lines.popleft())
                        size += len(batch[-1])
                    self._size -= size
                    await self._not_stalled.wait()
                    yield b"".join(batch)
                self._has_lines.clear()
                now = loop.time()
                if now >= ends_at:
                    return
                until = min(ends_at, bookmark_at) if self._bookmarks else ends_at
                try:
                    async with asyncio.timeout_at(max(until, now)):
                        await self._has_lines.wait()
                except TimeoutError:
                    if self._bookmarks and not self._lines and self._not_stalled.is_set():
                        # Also just before the end, so that the next watch starts here.
                        yield self._encode_bookmark()
                        bookmark_at = loop.time() + BOOKMARK_INTERVAL_S
        finally:
            self.close()

    def close(self) -> None:
        """Stop listening for changes. Idempotent."""
        self._unsubscribe()
        self.on_close()

    def end(self) -> None:
        """End the response gracefully, as an API server that shuts down."""
        self._ending = True
        self._not_stalled.set()
        self._has_lines.set()

    def stall(self) -> None:
        """Send nothing and keep the connection open."""
        self._not_stalled.clear()

    def resume(self) -> None:
        """End a `stall`."""
        self._not_stalled.set()


def start_watch(
    store: Store, request: Request, selection: Selection
) -> tuple[Watch | None, StreamingResponse]:
    """Start the watch of a request; return it with the response.

    As with a real API server, the response to a compacted version is a stream with one ERROR
    event. There is no watch then.
    """
    try:
        watch = Watch(store, request, selection)
    except StatusError as error:
        if error.code != 410:
            raise
        return None, StreamingResponse(_error_event(error))
    return watch, StreamingResponse(watch.chunks(), on_close=watch.close)


async def _error_event(error: StatusError) -> AsyncIterator[bytes]:
    yield msgspec.json.encode({"type": "ERROR", "object": error.status()}) + b"\n"


def expired_response(store: Store) -> StreamingResponse:
    """Return the response to a watch from a version whose history is gone: one ERROR event."""
    return StreamingResponse(_error_event(too_old(1, store.version)))


def gone_response() -> Response:
    """Return the response to a continued list whose version is gone: HTTP status 410."""
    return Response.of_error(StatusError(410, "Expired", "The resourceVersion is too old."))
