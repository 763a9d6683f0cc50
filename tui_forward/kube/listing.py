"""Lists in pages: the next page is on the wire while this one is decoded."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic

import msgspec

from tui_forward.errors import ApiError
from tui_forward.kube.resources import Item, Resource
from tui_forward.kube.wire import ListMetadata, RawList

PAGE_LIMIT = 500
# The largest page that is read; 500 objects of the 1.5 MiB etcd allows would be more, but
# nothing sane comes near this.
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
    found = _HEAD.match(body, 0, min(len(body), 8192))
    if found:
        return _METADATA.decode(found.group(1))
    return _LIST.decode(body).metadata


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
    head = _HEAD.match(body, 0, min(len(body), 8192))
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
