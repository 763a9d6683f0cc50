"""Releases the memory of closed screens and removed widgets.

They are full of reference cycles, so that only the garbage collector frees them. That takes some
milliseconds, in which no key is answered: hence it runs when the user pauses, i.e. neither types
nor closes screens.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from tui_forward.common.garbage import GarbageCollector
from tui_forward.tui.controllers.sampler import Sampler

_PAUSE_S: Final = 1.0  # without a key or a closed screen
_MAX_CLOSED: Final = 3  # screens without a pause; about a MiB each
_INTERVAL_S: Final = 300.0  # for notifications and other widgets that come and go


class MemoryController:
    """Collects when screens have closed, and rarely otherwise; without a collector never."""

    def __init__(
        self, sampler: Sampler, collector: GarbageCollector | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._sampler = sampler
        self._collector = collector
        self._clock = clock
        self._last_input = 0.0  # time of the last key or click
        self._closed = 0  # screens since the last collection
        self._screen_closed = asyncio.Event()

    def note_closed(self) -> None:
        """Note that a screen has closed."""
        self._closed += 1
        self._screen_closed.set()

    def note_input(self) -> None:
        """Note that the user has pressed a key or moved the mouse."""
        self._last_input = self._clock()

    async def run(self) -> None:
        """Collect until canceled."""
        if self._collector is None:
            return
        await self._sampler.wait_for_rows()
        self._collector.freeze()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL_S):
                    await self._screen_closed.wait()
            while not await self._has_paused():
                self._collector.collect_recent()
            self._collector.collect()

    async def _has_paused(self) -> bool:
        """Wait until the user pauses, or many screens have closed: then return False."""
        self._closed = 0
        while self._closed < _MAX_CLOSED:
            self._screen_closed.clear()
            try:
                async with asyncio.timeout(_PAUSE_S):
                    await self._screen_closed.wait()
            except TimeoutError:
                if self._clock() - self._last_input >= _PAUSE_S:
                    return True
        return False
