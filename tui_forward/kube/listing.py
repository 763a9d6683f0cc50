"""Lists in pages: the next page is on the wire while this one is decoded."""

from __future__ import annotations

import asyncio
import re
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
# Objects decoded between two turns of the event loop: about a millisecond.
_SLICE = 25

_LIST = msgspec.json.Decoder(RawList)
_METADATA = msgspec.json.Decoder(ListMetadata)
# Go writes kind, apiVersion, metadata, items in this order; a string cannot hold an
# unescaped quote, so the first `"metadata":{…}` before `"items"` is the list's own.
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
    try:
        raws = _LIST.decode(body).items or []
        items: list[Item] = []
        for start in range(0, len(raws), _SLICE):
            await asyncio.sleep(0)
            items += map(resource.decode, raws[start : start + _SLICE])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_understood(resource.words("list"), server, error) from error
    return tuple(items)


def not_understood(what: str, server: str, error: Exception) -> ApiError:
    """The error for an answer that is not what was asked for."""
    return ApiError(
        f"{server} answered something that is no answer to {what} ({type(error).__name__})",
        status=200,
        hint="Check that `server` in the kubeconfig is a Kubernetes API server",
    )
