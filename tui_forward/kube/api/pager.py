"""Lists in pages: the next page is fetched while this one is decoded."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Generic
from urllib.parse import urlencode

import msgspec

from tui_forward.errors import ApiError
from tui_forward.kube.api.api_types import ListMetadata, RawList
from tui_forward.kube.api.limits import MAX_UNDECODED_BYTES, ListAccount
from tui_forward.kube.api.resources import Item, Resource
from tui_forward.kube.api.rest_client import OBJECTS, RestClient
from tui_forward.kube.errors import unexpected_response_error

PAGE_LIMIT = 500
# The metadata of a list is within its first bytes.
HEAD_BYTES = 8192
# Decoded at once: takes a millisecond. With the chunk that exceeds it, it is small enough not to be
# counted by `check_decoded_size`, which took an eighth of the time of a list.
PIECE_BYTES = 128 * 1024

_LIST = msgspec.json.Decoder(RawList)
_METADATA = msgspec.json.Decoder(ListMetadata)
_BORDER = b'},{"metadata":{'  # between two objects
# Go writes kind, apiVersion, metadata, items in this order; a string cannot hold an
# unescaped quote, so the first `"metadata":{…}` before `"items"` is the list's own.
_HEAD = re.compile(rb'\{(?:[^{}\[\]]*,)?"metadata":(\{[^{}]*\}),"items":\[')


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """One page of a list."""

    items: tuple[Item, ...]  # in the server's order
    resource_version: str  # of the whole list; start a watch from it
    remaining: int | None  # objects on later pages, None if not reported
    last: bool
    item_bytes: int = 0  # of one object in memory, on average
    # The server discarded the old list: drop objects of earlier pages not listed again.
    restarted: bool = False


class PageDecoder(Generic[Item]):
    """Incremental decoder of a page: bytes in, objects out. No I/O.

    Every 128 KiB are cut at the border between two objects and decoded. So a page is
    never in memory as a whole, decoded bytes are still in the processor's cache, and the event loop
    is blocked for a millisecond or two at most.

    A string cannot contain the border, since its quotes would be escaped. Where nested objects
    contain it, the piece is not valid JSON and more bytes are awaited. A layout other than Go's is
    decoded at the end, as a whole.
    """

    def __init__(self, resource: Resource[Item], account: ListAccount | None = None) -> None:
        self._resource = resource
        self._account = account or ListAccount()
        self._held = 0  # bytes of `_buffer` and `items` in the account
        self._items_bytes = 0
        self._buffer = bytearray()
        self._threshold = PIECE_BYTES
        self._head_searched = False
        self._in_items = False
        self.head: ListMetadata | None = None  # metadata of the list once it has arrived
        self.items: list[Item] = []

    def receive(self, chunk: bytes) -> None:
        """Receive bytes of the body, in any chunking.

        msgspec.DecodeError: it is not a list. ApiError: it is larger than is accepted.
        """
        self._hold(len(chunk))
        self._buffer += chunk
        if len(self._buffer) > MAX_UNDECODED_BYTES:
            raise self._account.error(f"one object exceeds {MAX_UNDECODED_BYTES >> 20} MiB")
        if not self._head_searched and len(self._buffer) >= HEAD_BYTES:
            self._find_head()
        if self._in_items and len(self._buffer) >= self._threshold:
            self._decode_piece()

    def finish(self) -> ListMetadata:
        """Decode the rest after the end of the body, and return the list's metadata."""
        if not self._head_searched:
            self._find_head()
        rest = b"".join((b'{"items":[', self._buffer)) if self._in_items else self._buffer
        self._account.check_decoded_size(rest)
        listing = _LIST.decode(rest)
        self._add(list(map(self._resource.decode, listing.items or ())))
        self._hold(-len(self._buffer))
        self._buffer = bytearray()
        if self.head is None:
            self.head = listing.metadata
        return self.head

    def _find_head(self) -> None:
        """Find the metadata before the items; it contains the token of the next page."""
        self._head_searched = True
        head = _HEAD.match(self._buffer, 0, HEAD_BYTES)
        if head is not None:
            self.head = _METADATA.decode(head.group(1))
            self._in_items = True
            del self._buffer[: head.end()]
            self._hold(-head.end())

    def _decode_piece(self) -> None:
        """Decode the buffer up to the last border between two objects."""
        cut = self._buffer.rfind(_BORDER) + 1
        if cut:
            with memoryview(self._buffer) as view:
                piece = b"".join((b"[", view[:cut], b"]"))
            self._account.check_decoded_size(piece)
            try:
                decoded = self._resource.list_decoder.decode(piece)
            except msgspec.ValidationError:
                raise
            except msgspec.DecodeError:
                self._threshold = 2 * len(self._buffer)
                return
            self._add(list(map(self._resource.convert, decoded)))
            del self._buffer[: cut + 1]  # and the comma
            self._hold(-cut - 1)
            self._threshold = len(self._buffer) + PIECE_BYTES
        else:
            # A search for the border covers the whole buffer: not again for every piece.
            self._threshold = 2 * len(self._buffer)

    @property
    def item_bytes(self) -> int:
        """Average size of an object in memory."""
        return self._items_bytes // len(self.items) if self.items else 0

    def _add(self, items: list[Item]) -> None:
        size = self._account.add_objects(items)
        self._items_bytes += size
        self._held += size
        self.items += items

    def _hold(self, change: int) -> None:
        self._account.hold(change)
        self._held += change

    def discard(self) -> None:
        """Free the memory now: the traceback of an error may hold this page for a while."""
        self._buffer.clear()
        self.items.clear()
        self.release()

    def release(self) -> None:
        """Stop to count this page as memory of the list: its objects have another holder."""
        self._hold(-self._held)


# Fetches the page of a token; reports the head of the page before the rest has arrived.
Fetch = Callable[[str, Callable[[ListMetadata], None]], Coroutine[None, None, PageDecoder[Item]]]


class Pager(Generic[Item]):
    """Fetcher of the pages of one list, one page ahead of the reader.

    The first bytes of a page contain the token of the next one, which is requested while this one
    is still arriving, so that the server prepares it meanwhile.
    """

    def __init__(self, fetch: Fetch[Item]) -> None:
        self._fetch = fetch
        self._pages: deque[asyncio.Task[PageDecoder[Item]]] = deque()
        self._current: asyncio.Task[PageDecoder[Item]] | None = None
        self._next_token = ""

    def start(self) -> None:
        """Request the first page."""
        self._request("")

    def _request(self, token: str) -> None:
        def on_head(head: ListMetadata) -> None:
            if page is not self._current:
                self._next_token = head.continue_token  # requested once this page is read
            elif head.continue_token:
                self._request(head.continue_token)

        page = asyncio.create_task(self._fetch(token, on_head))
        self._pages.append(page)

    async def next_page(self) -> PageDecoder[Item]:
        """Return the next page, or raise what the fetch raises. Safe to cancel, then `close`."""
        page = self._current = self._pages.popleft()
        if self._next_token:
            self._request(self._next_token)
            self._next_token = ""
        return await page

    def prefetch(self, token: str) -> bool:
        """Request the page of a `continue` token; return whether one follows (empty: none)."""
        if token and not self._pages:
            # The metadata was not before the items.
            self._request(token)
        return bool(self._pages)

    async def close(self) -> None:
        """Cancel the requests in progress."""
        pages = [page for page in (*self._pages, self._current) if page is not None]
        self._pages.clear()
        self._current, self._next_token = None, ""
        for page in pages:
            page.cancel()
        await asyncio.gather(*pages, return_exceptions=True)


async def list_pages(
    client: RestClient,
    resource: Resource[Item],
    namespace: str,
    *,
    label_selector: str = "",
    field_selector: str = "",
    limit: int = PAGE_LIMIT,
) -> AsyncGenerator[Page[Item], None]:
    """Yield all objects of a resource, page by page; see `ClusterClient.list_pages`."""
    what = resource.describe("list", namespace)
    path = resource.path(namespace)
    account = ListAccount(what, client.access.server)

    async def fetch(token: str, on_head: Callable[[ListMetadata], None]) -> PageDecoder[Item]:
        query: dict[str, str | int] = {}
        if limit:
            query["limit"] = limit
        if label_selector:
            query["labelSelector"] = label_selector
        if field_selector:
            query["fieldSelector"] = field_selector
        if token:
            query["continue"] = token
        account.add_page(token)
        page = PageDecoder(resource, account)
        # The user sees an empty screen until the first page is complete: no other request
        # shares the network with it.
        reported = not token

        def receive(chunk: bytes) -> None:
            nonlocal reported
            page.receive(chunk)
            if page.head is not None and not reported:
                reported = True
                on_head(page.head)

        try:
            target = f"{path}?{urlencode(query)}" if query else path
            await client.get(target, what, receive=receive, accept=OBJECTS)
            page.finish()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            page.discard()
            raise unexpected_response_error(what, client.access.server, error) from error
        except BaseException:
            page.discard()
            raise
        return page

    restarted = False
    pager = Pager(fetch)
    pager.start()
    try:
        more = True
        while more:
            try:
                page = await pager.next_page()
            except ApiError as error:
                if not error.expired or not limit:
                    raise
                # The list outlives the server's history: fewer, larger pages, then a single one.
                limit = limit * 4 if limit < PAGE_LIMIT * 16 else 0
                restarted = True
                await pager.close()
                account.restart()
                pager.start()
                continue
            head = page.head or ListMetadata()
            more = pager.prefetch(head.continue_token)
            page.release()
            yield Page(
                items=tuple(page.items),
                resource_version=head.resource_version,
                remaining=head.remaining_item_count,
                last=not more,
                item_bytes=page.item_bytes,
                restarted=restarted,
            )
            del page
            restarted = False
    finally:
        await pager.close()
        account.close()
