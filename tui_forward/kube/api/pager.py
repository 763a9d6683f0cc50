"""Lists in pages: the next page is on the wire while this one is decoded."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Generic

import msgspec

from tui_forward.errors import ApiError
from tui_forward.kube.api.api_types import ListMetadata, RawList
from tui_forward.kube.api.resources import Item, Resource

PAGE_LIMIT = 500
# The largest page that is read; 500 objects of the 1.5 MiB etcd allows would be more, but
# nothing sane comes near this.
HEAD_BYTES = 8192
MAX_PAGE_BYTES = 512 * 2**20
# What is decoded at once: one or two milliseconds' worth.
PIECE_BYTES = 256 * 1024

_LIST = msgspec.json.Decoder(RawList)
_METADATA = msgspec.json.Decoder(ListMetadata)
# Go writes kind, apiVersion, metadata, items in this order; a string cannot hold an
# unescaped quote, so the first `"metadata":{…}` before `"items"` is the list's own.
_BETWEEN = b'},{"metadata":{'
_HEAD = re.compile(rb'\{(?:[^{}\[\]]*,)?"metadata":(\{[^{}]*\}),"items":\[')


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list.

    Attributes:
        items: The objects, in the server's order.
        resource_version: Version of the whole list; a watch begins from it.
        remaining: How many more the server expects, None where it does not say.
        last: No page follows.
        restarted: The list began anew (the server forgot the old one): what earlier pages
            held counts only if it appears again.
    """

    items: tuple[Item, ...]
    resource_version: str
    remaining: int | None
    last: bool
    restarted: bool = False


class PageDecoder(Generic[Item]):
    """Decodes a page while it arrives: bytes in, objects out. No I/O.

    As soon as a quarter of a megabyte is there it is cut where the text of one object ends and
    that of the next begins, and decoded. So a page never lies in memory as a whole, what is
    decoded was just decrypted, and nothing else has to wait for more than a millisecond or two.

    A string cannot hold the mark at which is cut, since its quotes would be escaped. Where
    nested objects hold it, the piece is no valid JSON: then more is awaited. A layout that is
    not Go's is decoded at the end, as a whole.

    Args:
        resource: What the page lists.
    """

    def __init__(self, resource: Resource[Item]) -> None:
        self._resource = resource
        self._held = bytearray()
        self._enough = PIECE_BYTES
        self._looked = False
        self._in_items = False
        self.head: ListMetadata | None = None
        self.items: list[Item] = []

    def receive(self, chunk: bytes) -> None:
        """Some bytes of the body, in any chunking.

        Raises:
            msgspec.DecodeError: The body is not a list of this resource.
        """
        self._held += chunk
        if not self._looked and len(self._held) >= HEAD_BYTES:
            self._look()
        if self._in_items and len(self._held) >= self._enough:
            self._cut()

    def finish(self) -> ListMetadata:
        """The body has ended: decode what is left, and return the list's metadata.

        Raises:
            msgspec.DecodeError: The body is not a list of this resource.
            UnicodeDecodeError, RecursionError: Nor even reasonable JSON.
        """
        if not self._looked:
            self._look()
        rest = b"".join((b'{"items":[', self._held)) if self._in_items else self._held
        listing = _LIST.decode(rest)
        self._held = bytearray()
        self.items += map(self._resource.decode, listing.items or ())
        if self.head is None:
            self.head = listing.metadata
        return self.head

    def _look(self) -> None:
        """Find the metadata before the items, where the next page's token stands."""
        self._looked = True
        found = _HEAD.match(self._held, 0, HEAD_BYTES)
        if found is not None:
            self.head = _METADATA.decode(found.group(1))
            self._in_items = True
            del self._held[: found.end()]

    def _cut(self) -> None:
        cut = self._held.rfind(_BETWEEN) + 1
        if cut:
            with memoryview(self._held) as view:
                piece = b"".join((b"[", view[:cut], b"]"))
            try:
                decoded = self._resource.list_decoder.decode(piece)
            except msgspec.ValidationError:
                raise
            except msgspec.DecodeError:
                self._enough = 2 * len(self._held)
                return
            self.items += map(self._resource.convert, decoded)
            del self._held[: cut + 1]  # and the comma
        self._enough = len(self._held) + PIECE_BYTES


# Gets the page a token leads to; says what the page's head says before the rest is there.
Fetch = Callable[[str, Callable[[ListMetadata], None]], Coroutine[None, None, PageDecoder[Item]]]


class Pager(Generic[Item]):
    """Fetches the pages of one list, one ahead of the page that is waited for.

    A page says in its first bytes where the next one begins, so that one is asked for while
    this one is still arriving: the server prepares it meanwhile.

    Args:
        fetch: Gets one page.
    """

    def __init__(self, fetch: Fetch[Item]) -> None:
        self._fetch = fetch
        self._pages: deque[asyncio.Task[PageDecoder[Item]]] = deque()
        self._taken: asyncio.Task[PageDecoder[Item]] | None = None
        self._next = ""

    def start(self) -> None:
        """Ask for the first page."""
        self._begin("")

    def _begin(self, token: str) -> None:
        def on_head(head: ListMetadata) -> None:
            if page is not self._taken:
                self._next = head.continue_token  # asked for when this one is waited for
            elif head.continue_token:
                self._begin(head.continue_token)

        page = asyncio.create_task(self._fetch(token, on_head))
        self._pages.append(page)

    async def next_page(self) -> PageDecoder[Item]:
        """The next page. Safe to cancel, then `close`.

        Raises:
            As the fetch does.
        """
        page = self._taken = self._pages.popleft()
        if self._next:
            self._begin(self._next)
            self._next = ""
        return await page

    def prefetch(self, token: str) -> bool:
        """Whether another page follows the one taken last, whose token this is."""
        if token and not self._pages:
            # Its head was not where it was expected.
            self._begin(token)
        return bool(self._pages)

    async def close(self) -> None:
        """Give up what is under way."""
        pages = [page for page in (*self._pages, self._taken) if page is not None]
        self._pages.clear()
        self._taken, self._next = None, ""
        for page in pages:
            page.cancel()
        await asyncio.gather(*pages, return_exceptions=True)


def unexpected_response_error(what: str, server: str, error: Exception) -> ApiError:
    """The error for an answer that is not what was asked for."""
    return ApiError(
        f"{server} answered something that is no answer to {what} ({type(error).__name__})",
        status=200,
        hint="Check that `server` in the kubeconfig is a Kubernetes API server",
    )
