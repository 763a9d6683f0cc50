"""Objects of one list: what is known now, and the differences. Bounded, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic

from tui_forward.kube.api.limits import MAX_LIST_OBJECTS, Account, measure
from tui_forward.kube.api.resources import Item
from tui_forward.model import Namespace

Key = tuple[str, str]
# Called once per change, in order, with the previous and the new item.
OnChange = Callable[[Item | None, Item | None], None]


def key_of(item: Item) -> Key:
    """Return namespace and name; the namespace of a Namespace is empty."""
    return ("" if isinstance(item, Namespace) else item.namespace, item.name)


class ItemStore(Generic[Item]):
    """Objects by namespace and name; reports each difference."""

    def __init__(self, account: Account, on_change: OnChange[Item]) -> None:
        self.items: dict[Key, Item] = {}
        self._account = account
        self._on_change = on_change

    def put(self, item: Item, size: int = 0) -> None:
        """Add or replace an object. ApiError, and no change, beyond a bound.

        `size` is that of the objects of its page, on average, in bytes; 0: not measured yet.
        """
        key = key_of(item)
        previous = self.items.get(key)
        if previous is not None and previous.resource_version == item.resource_version:
            return
        known = [previous] if previous is not None else []
        if len(self.items) >= MAX_LIST_OBJECTS and not known:
            raise self._account.error(f"there are more than {MAX_LIST_OBJECTS} objects")
        self._account.hold((size or measure([item])) - measure(known))
        self.items[key] = item
        self._on_change(previous, item)

    def remove(self, keys: Iterable[Key]) -> None:
        """Remove the objects that are known among these."""
        for key in list(keys):
            previous = self.items.pop(key, None)
            if previous is not None:
                self._account.hold(-measure([previous]))
                self._on_change(previous, None)

    def close(self) -> None:
        """Release the memory that is accounted for. Idempotent."""
        self._account.close()
