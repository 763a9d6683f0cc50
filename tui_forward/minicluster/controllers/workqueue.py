"""Queue of objects to reconcile, after client-go's `workqueue`."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from tui_forward.minicluster.apiserver.store import Item

# The kind of work (the resource's singular name, or "orphan"), then namespace and name.
Key: TypeAlias = tuple[str, str, str]


def key_of(item: Item) -> Key:
    """Return the key that reconciles an object."""
    return (item.resource.singular, item.namespace, item.name)


class WorkQueue:
    """First-in, first-out queue of keys without duplicates.

    It belongs to one event loop and has one consumer.
    """

    def __init__(self) -> None:
        self._keys: dict[Key, None] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._added = asyncio.Event()

    def add(self, key: Key) -> None:
        """Queue a key unless it is queued already."""
        self._keys[key] = None
        self._added.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Queue a key after a delay, which replaces an earlier delay of the key."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

        def add() -> None:
            self._timers.pop(key, None)
            self.add(key)

        self._timers[key] = asyncio.get_running_loop().call_later(seconds, add)

    async def get(self) -> Key:
        """Remove and return the oldest key; wait for one if the queue is empty."""
        while not self._keys:
            self._added.clear()
            await self._added.wait()
        key = next(iter(self._keys))
        del self._keys[key]
        return key

    def close(self) -> None:
        """Cancel all delayed keys."""
        for timer in self._timers.values():
            timer.cancel()
