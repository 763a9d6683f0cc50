"""Bounds of what API servers can make this process hold in memory.

A server may be hostile, broken, or no API server at all. The bounds are several times what the
largest supported clusters need (150,000 pods); beyond one, the request fails with
`api.response_too_large`, and what arrived before stays usable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final, get_args, get_origin

import msgspec

from tui_forward.errors import ApiError
from tui_forward.model import Reason, ReasonCode

# One object. etcd rejects objects above 1.5 MiB; their JSON can be several times that.
MAX_OBJECT_BYTES: Final = 16 * 2**20
MAX_ERROR_BYTES: Final = 64 * 1024
# A list: objects on all pages, pages, bytes of one page that cannot be decoded yet, and the size
# of its objects as `measure` estimates it (about 3 KiB for a pod).
MAX_LIST_OBJECTS: Final = 250_000
MAX_LIST_PAGES: Final = 5_000
MAX_UNDECODED_BYTES: Final = 128 * 2**20
MAX_LIST_BYTES: Final = 512 * 2**20
# What a piece of JSON can become when it is decoded (`max_decoded_size`).
MAX_DECODED_BYTES: Final = 256 * 2**20
# All responses being read and all followed lists of this process.
MAX_HELD_BYTES: Final = 1024 * 2**20

# Memory apart from texts: of one decoded object, of one label or port, of one element or value
# in JSON.
_OBJECT_BYTES: Final = 1024
_ENTRY_BYTES: Final = 160
_ELEMENT_BYTES: Final = 2048
_VALUE_BYTES: Final = 256
_MAX_AMPLIFICATION: Final = (_ELEMENT_BYTES + _VALUE_BYTES) // 3  # of `{},`
_MIB: Final = 2**20
_encoder = msgspec.msgpack.Encoder()


def measure(items: Sequence[msgspec.Struct]) -> int:
    """Return an estimate of the memory of decoded objects, in bytes."""
    if not items:
        return 0
    collections_of = _collections(type(items[0]))  # objects of a list are of one type
    entries = sum(len(one) for item in items for one in collections_of(item) if one)
    return len(_encoder.encode(items)) + _OBJECT_BYTES * len(items) + _ENTRY_BYTES * entries


@cache
def _collections(kind: type[msgspec.Struct]) -> Callable[[object], tuple[Any, ...]]:
    """Return a function that returns the dicts and tuples of an object, of which some are None."""
    names = [
        field.name
        for field in msgspec.structs.fields(kind)
        if {dict, tuple} & {get_origin(part) for part in (field.type, *get_args(field.type))}
    ]
    if len(names) < 2:  # `attrgetter` of one name returns no tuple
        return lambda item: tuple(getattr(item, name) for name in names)
    return attrgetter(*names)


def max_decoded_size(content: bytes | bytearray) -> int:
    """Return how many bytes JSON can take when it is decoded; `{},{},…` takes 768 times its own.

    Objects that are the values of a key are fields of another object, which has its own share.
    """
    elements = content.count(b"{") - content.count(b":{") - content.count(b": {")
    return _ELEMENT_BYTES * elements + _VALUE_BYTES * content.count(b",")


class MemoryBudget:
    """Bytes that several holders share. Not thread-safe: all run on one event loop."""

    def __init__(self, limit: int = MAX_HELD_BYTES) -> None:
        self.limit = limit
        self.held = 0


HELD: Final = MemoryBudget()


class Account:
    """Part of the budget that one request or list holds, bounded by itself, too. `close` it.

    `action` and `server` are for errors ("list pods in namespace shop", "127.0.0.1:6443").
    """

    def __init__(self, action: str, server: str, *, budget: MemoryBudget | None = None) -> None:
        self.action = action
        self.server = server
        self.held = 0
        self._budget = HELD if budget is None else budget

    def hold(self, change: int) -> None:
        """Hold more bytes, or fewer if negative; ApiError, and no change, beyond the budget."""
        if change > 0 and self.held + change > MAX_LIST_BYTES:
            raise self.error(f"its objects exceed {MAX_LIST_BYTES // _MIB} MiB")
        if change > 0 and self._budget.held + change > self._budget.limit:
            raise self.error(f"all lists together exceed {self._budget.limit // _MIB} MiB")
        change = max(change, -self.held)
        self._budget.held += change
        self.held += change

    def close(self) -> None:
        """Release everything. Idempotent."""
        self.hold(-self.held)

    def check_decoded_size(self, content: bytes | bytearray) -> None:
        """Check JSON before it is decoded; ApiError if it would take too much memory."""
        # Counting takes time; most pieces are too small.
        if len(content) * _MAX_AMPLIFICATION <= MAX_DECODED_BYTES:
            return
        if max_decoded_size(content) > MAX_DECODED_BYTES:
            raise self.error("it has too many values")

    def error(self, detail: str) -> ApiError:
        """Return the error for a response beyond a bound."""
        reason = Reason(
            code=ReasonCode.API_RESPONSE_TOO_LARGE,
            action=self.action,
            server=self.server,
            detail=detail,
        )
        return ApiError(reason, status=200)


class ListAccount(Account):
    """What one list holds, and the totals of its pages."""

    def __init__(
        self, action: str = "", server: str = "", *, budget: MemoryBudget | None = None
    ) -> None:
        super().__init__(action, server, budget=budget)
        self._tokens: set[int] = set()
        self._objects = 0
        self._bytes = 0

    def restart(self) -> None:
        """Count from zero: the server discarded the list."""
        self.close()
        self._tokens.clear()
        self._objects = self._bytes = 0

    def add_page(self, token: str) -> None:
        """Count a page, fetched by its `continue` token (empty for the first one)."""
        number = hash(token)
        if number in self._tokens:
            raise self.error("a page leads back to itself")
        self._tokens.add(number)
        if len(self._tokens) > MAX_LIST_PAGES:
            raise self.error(f"it has more than {MAX_LIST_PAGES} pages")

    def add_objects(self, items: Sequence[msgspec.Struct]) -> int:
        """Count decoded objects, and hold and return their size."""
        size = measure(items)
        self._objects += len(items)
        self._bytes += size
        if self._objects > MAX_LIST_OBJECTS:
            raise self.error(f"it has more than {MAX_LIST_OBJECTS} objects")
        if self._bytes > MAX_LIST_BYTES:
            raise self.error(f"its objects exceed {MAX_LIST_BYTES // _MIB} MiB")
        self.hold(size)
        return size
