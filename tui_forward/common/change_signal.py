"""A version that grows with every change, and those who wait for the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

# After a change, the next one is reported this much later; later still while changes go on.
_PAUSE_S = 0.25
_MAX_PAUSE_S = 1.0


class ChangeSignal:
    """Wakes readers when something has changed. Belongs to one event loop."""

    def __init__(self) -> None:
        self.version = 1
        self._changed = asyncio.Event()
        self._closed = False

    def notify(self) -> None:
        """Report a change. Cheap, so that it may be called for every change of thousands."""
        self.version += 1
        self._changed.set()

    def close(self) -> None:
        """End all readers."""
        self._closed = True
        self._changed.set()

    async def wait(self, since: int) -> int:
        """Wait until the version is later than `since`, or `close`; return it. Safe to cancel."""
        while self.version <= since and not self._closed:
            # One event for all readers, see `EventLog.read`.
            self._changed.clear()
            await self._changed.wait()
        return self.version

    async def read(self) -> AsyncIterator[int]:
        """Yield the version after changes, until `close`.

        The first change is reported at once, those that follow it together: four times a second at
        most, once a second while they go on.
        """
        version, pause_s = self.version, _PAUSE_S
        while True:
            is_quiet = self.version <= version
            version = await self.wait(version)
            if self._closed:
                return
            yield version
            pause_s = _PAUSE_S if is_quiet else min(2 * pause_s, _MAX_PAUSE_S)
            await asyncio.sleep(pause_s)
