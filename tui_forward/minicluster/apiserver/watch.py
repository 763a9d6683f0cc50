"""Watching a collection.

A watch starts from a version and prints every later change as one line of JSON. What the
selector no longer matches is printed as DELETED, what it matches anew as ADDED, with the version
of the change in both cases. A client too slow to take the changes is cut off: the history would
otherwise grow with it.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from tui_forward.minicluster.apiserver import tables
from tui_forward.minicluster.apiserver.content_negotiation import MediaType, negotiate
from tui_forward.minicluster.apiserver.get_and_list import Selection
from tui_forward.minicluster.apiserver.http import Request, Response, Stream
from tui_forward.minicluster.apiserver.status_errors import StatusError, bad_request, too_old
from tui_forward.minicluster.apiserver.store import (
    ADDED,
    DELETED,
    MODIFIED,
    Change,
    Item,
    Store,
    watch_line,
)

BOOKMARK_EVERY_S = 10.0
# What may wait for a slow client before its watch is ended.
BACKLOG = 32 << 20

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Watch:
    """One running watch; an async iterator of chunks.

    Args:
        store: Where the changes come from.
        selection: What is watched.
        form: How objects are printed.
        version: Where to start; None starts with what exists now, as ADDED.
        bookmarks: Print the current version now and then.
        mark_initial: Print a bookmark where the initial objects end.
        timeout_s: When to end.
        include: For Tables.

    Raises:
        Failure: 410 when the version is forgotten.
    """

    def __init__(
        self,
        store: Store,
        selection: Selection,
        form: MediaType,
        *,
        version: int | None,
        bookmarks: bool,
        mark_initial: bool,
        timeout_s: float,
        include: str,
    ) -> None:
        self._store = store
        self._selection = selection
        self._form = form
        self._bookmarks = bookmarks
        self._timeout_s = timeout_s
        self._include = include
        self._columns = True
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._wake = asyncio.Event()
        self._overrun = False
        self._ending = False
        self._moving = asyncio.Event()
        self._moving.set()
        self.on_end: Callable[[], object] = _nothing
        resource = selection.resource
        # A change that the caller has not been told of by its version is printed below, so
        # listening must begin at the same instant.
        changes: list[Change] = []
        if version is None:
            for item in store.all(resource, selection.namespace):
                if selection.matches(item):
                    self._push(self._line(ADDED, item))
            if mark_initial:
                self._push(self._bookmark(initial_end=True))
        else:
            found = store.since(resource, version)
            if found is None:
                raise too_old(version, store.tables[resource].compacted)
            changes = found
        for change in changes:
            self._changed(change)
        self._overrun = False  # the backlog bound is for what comes from now on
        self._stop = store.listen(resource, self._changed)

    # -- input -------------------------------------------------------------------------------

    def _push(self, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line)

    def _changed(self, change: Change) -> None:
        line = self._told(change)
        if line is None:
            return
        self._push(line)
        if self._size > BACKLOG:
            self._overrun = True
        self._wake.set()

    def _told(self, change: Change) -> bytes | None:
        """How this watch tells of a change; None when it does not concern it."""
        selection, item, before = self._selection, change.item, change.before
        if selection.namespace and item.namespace != selection.namespace:
            return None
        if selection.everything:
            return change.line if not self._form.kind else self._line(change.type, item)
        matched = before is not None and selection.matches(before)
        if change.type == DELETED:
            return self._line(DELETED, item) if matched else None
        if selection.matches(item):
            return self._line(MODIFIED if matched else ADDED, item)
        if not matched or before is None:
            return None
        last = before.copy()
        last["metadata"]["resourceVersion"] = str(item.version)
        return self._line(DELETED, Item(item.resource, item.version, msgspec.json.encode(last)))

    def _line(self, kind: str, item: Item) -> bytes:
        if not self._form.kind:
            return watch_line(kind, item)
        if self._form.kind == "Table":
            pieces = tables.table(
                item.resource,
                (item,),
                {"resourceVersion": str(item.version)},
                version=self._form.version,
                include=self._include,
                columns=self._columns,
            )
            self._columns = False
            shown = b"".join(pieces).rstrip(b"\n")
        else:
            shown = tables.partial(item)
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), shown)

    def _bookmark(self, *, initial_end: bool = False) -> bytes:
        resource = self._selection.resource
        metadata: dict[str, Any] = {"resourceVersion": str(self._store.version)}
        if initial_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        kind, version = resource.kind, resource.api_version
        if self._form.kind:
            kind, version = self._form.kind, f"meta.k8s.io/{self._form.version}"
            if kind == "Table":
                body = {"kind": kind, "apiVersion": version, "metadata": metadata, "rows": []}
                return msgspec.json.encode({"type": "BOOKMARK", "object": body}) + b"\n"
        body = {"kind": kind, "apiVersion": version, "metadata": metadata}
        return msgspec.json.encode({"type": "BOOKMARK", "object": body}) + b"\n"

    # -- output ------------------------------------------------------------------------------

    async def chunks(self) -> AsyncIterator[bytes]:
        """The lines as they come; ends at the time-out, or when the client is too slow."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._timeout_s
        bookmark_at = loop.time() + BOOKMARK_EVERY_S
        try:
            while not self._overrun and not self._ending:
                while self._lines:
                    # Not all at once: the initial objects of a big collection are many.
                    batch: list[bytes] = []
                    size = 0
                    while self._lines and size < (1 << 20):
                        batch.append(self._lines.popleft())
                        size += len(batch[-1])
                    self._size -= size
                    await self._moving.wait()
                    yield b"".join(batch)
                self._wake.clear()
                now = loop.time()
                if now >= ends_at:
                    return
                until = min(ends_at, bookmark_at) if self._bookmarks else ends_at
                try:
                    async with asyncio.timeout_at(max(until, now)):
                        await self._wake.wait()
                except TimeoutError:
                    if self._bookmarks and not self._lines and self._moving.is_set():
                        # Also just before the end, so that the next watch starts from here.
                        yield self._bookmark()
                        bookmark_at = loop.time() + BOOKMARK_EVERY_S
        finally:
            self.close()

    def close(self) -> None:
        """Stop listening for changes; idempotent."""
        self._stop()
        self.on_end()

    def end(self) -> None:
        """End it in good order, as an API server does that shuts down."""
        self._ending = True
        self._moving.set()
        self._wake.set()

    def stall(self) -> None:
        """Print nothing, and let nobody notice."""
        self._moving.clear()

    def resume(self) -> None:
        """End a `stall`."""
        self._moving.set()


def _nothing() -> None:
    """Nobody wants to know."""


def start(store: Store, request: Request, selection: Selection) -> tuple[Watch | None, Stream]:
    """A watch as the request describes it, and its answer.

    A version that is too old is answered, as the real one does, by a stream with one ERROR event;
    there is no watch then.

    Raises:
        Failure: 400 or 406.
    """
    form = negotiate(request.header("accept"))
    wanted = request.param("resourceVersion")
    bookmarks = request.flag("allowWatchBookmarks")
    initial = request.flag("sendInitialEvents")
    if initial and request.param("resourceVersionMatch") != "NotOlderThan":
        raise bad_request(
            "resourceVersionMatch: Forbidden: sendInitialEvents requires setting "
            "resourceVersionMatch to NotOlderThan"
        )
    version: int | None = None
    if wanted not in ("", "0") and not initial:
        try:
            version = int(wanted)
        except ValueError:
            raise bad_request(f"invalid resource version: {wanted}") from None
    timeout_s = float(request.number("timeoutSeconds"))
    if timeout_s <= 0:
        # A real one spreads the ends of its watches like this.
        timeout_s = 1800 * (1 + random.random())
    try:
        watch = Watch(
            store,
            selection,
            form,
            version=version,
            bookmarks=bookmarks,
            mark_initial=initial and bookmarks,
            timeout_s=timeout_s,
            include=request.param("includeObject", "Metadata"),
        )
    except StatusError as failure:
        return None, Stream(_one(failure))
    return watch, Stream(watch.chunks(), on_close=watch.close)


async def _one(failure: StatusError) -> AsyncIterator[bytes]:
    yield msgspec.json.encode({"type": "ERROR", "object": failure.status()}) + b"\n"


def gone() -> Response:
    """The answer that says "too old" by the HTTP status itself."""
    return Response.failure(StatusError(410, "Expired", "The resourceVersion is too old."))
