"""Lists in pages: the next page is on the wire while this one is decoded."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Generic

import msgspec

from tui_forward.errors import ApiError
from tui_forward.kube.resources import Item, Resource
from tui_forward.kube.wire import ListMetadata, RawList

PAGE_LIMIT = 500
# The largest page that is read; 500 objects of the 1.5 MiB etcd allows would be more, but
# nothing sane comes near this.
HEAD_BYTES = 8192
MAX_PAGE_BYTES = 512 * 2**20
# What is decoded between two turns of the event loop: one or two milliseconds' worth.
_PIECE_BYTES = 256 * 1024
_SLICE = 25

_LIST = msgspec.json.Decoder(RawList)
_METADATA = msgspec.json.Decoder(ListMetadata)
# Go writes kind, apiVersion, metadata, items in this order; a string cannot hold an
# unescaped quote, so the first `"metadata":{…}` before `"items"` is the list's own.
_ITEMS = b'"items":['
_BETWEEN = b'},{"metadata":{'
_HEAD = re.compile(rb'\s*\{(?:[^{}\[\]]*,)?\s*"metadata"\s*:\s*(\{[^{}]*\})')


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


def list_head(body: bytes) -> ListMetadata:
    """The list's metadata, without decoding its items where the server's layout allows.

    Raises:
        msgspec.DecodeError: This is not a list.
    """
    found = _HEAD.match(body, 0, min(len(body), HEAD_BYTES))
    if found:
        return _METADATA.decode(found.group(1))
    return _LIST.decode(body).metadata


Fetch = Callable[[str, Callable[[bytes], None]], Coroutine[None, None, bytes]]


class PageFeed:
    """Fetches the pages of one list, one ahead of the page that is waited for.

    A page says where the next one begins in its first bytes, so that one is asked for while
    this one is still arriving: the server prepares it meanwhile.

    Args:
        fetch: Gets the page a token leads to, and hands out its first bytes early.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._pages: deque[asyncio.Task[bytes]] = deque()
        self._next: str | None = None
        self._taken: asyncio.Task[bytes] | None = None

    def start(self) -> None:
        """Ask for the first page."""
        self._begin("")

    def _begin(self, token: str) -> None:
        def on_head(content: bytes) -> None:
            found = _HEAD.match(content, 0, HEAD_BYTES)
            if found is None:
                return
            with contextlib.suppress(msgspec.DecodeError):
                self._continue(page, _METADATA.decode(found.group(1)).continue_token)

        page = asyncio.create_task(self._fetch(token, on_head))
        self._pages.append(page)

    def _continue(self, after: asyncio.Task[bytes], token: str) -> None:
        """The next page is known: ask for it now, or as soon as this one is waited for."""
        if after is self._taken:
            self._begin(token) if token else None
        else:
            self._next = token

    async def take(self) -> bytes:
        """The next page. Safe to cancel, then `close`.

        Raises:
            As the fetch does.
        """
        page = self._taken = self._pages.popleft()
        if self._next:
            self._begin(self._next)
        self._next = None
        return await page

    def more(self, token: str) -> bool:
        """Whether another page follows the one taken last, whose token this is."""
        if token and not self._pages:
            # Its first bytes were not laid out as expected, or it is small.
            self._begin(token)
        return bool(self._pages)

    async def close(self) -> None:
        """Give up what is under way."""
        pages = [page for page in (*self._pages, self._taken) if page is not None]
        self._pages.clear()
        self._taken = self._next = None
        for page in pages:
            page.cancel()
        await asyncio.gather(*pages, return_exceptions=True)


async def decode_items(resource: Resource[Item], body: bytes, server: str) -> tuple[Item, ...]:
    """The objects of a page, decoded in slices so that nothing else has to wait.

    Raises:
        ApiError: The body is not a list of this resource.
    """
    items: list[Item] = []
    try:
        for piece in _pieces(body):
            await asyncio.sleep(0)
            items += map(resource.convert, resource.list_decoder.decode(piece))
    except msgspec.DecodeError:
        # Not laid out as Go does it, or not a list at all: without assumptions, then.
        items = await _decode_any(resource, body, server)
    return tuple(items)


def _pieces(body: bytes) -> Iterator[bytes]:
    """The items of a list as JSON arrays of a quarter megabyte.

    Cuts where the text of one object ends and that of the next begins, without looking at what
    is between. A string cannot hold the mark, since its quotes would be escaped; where nested
    objects hold it the pieces are not valid JSON, which the caller notices.

    Raises:
        msgspec.DecodeError: The layout is another one.
    """
    head = _HEAD.match(body, 0, min(len(body), HEAD_BYTES))
    opening = -1 if head is None else body.find(_ITEMS, head.end(), head.end() + 64)
    closing = body.rfind(b"]", -16)
    if opening < 0 or closing < opening:
        raise msgspec.DecodeError("unfamiliar layout")
    start = opening + len(_ITEMS)
    view = memoryview(body)
    while start < closing:
        cut = body.find(_BETWEEN, min(start + _PIECE_BYTES, closing), closing)
        end = closing if cut < 0 else cut + 1
        yield b"".join((b"[", view[start:end], b"]"))
        start = end + 1  # past the comma


async def _decode_any(resource: Resource[Item], body: bytes, server: str) -> list[Item]:
    try:
        raws = _LIST.decode(body).items or []
        items: list[Item] = []
        for start in range(0, len(raws), _SLICE):
            await asyncio.sleep(0)
            items += map(resource.decode, raws[start : start + _SLICE])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_understood(resource.words("list"), server, error) from error
    return items


def not_understood(what: str, server: str, error: Exception) -> ApiError:
    """The error for an answer that is not what was asked for."""
    return ApiError(
        f"{server} answered something that is no answer to {what} ({type(error).__name__})",
        status=200,
        hint="Check that `server` in the kubeconfig is a Kubernetes API server",
    )
