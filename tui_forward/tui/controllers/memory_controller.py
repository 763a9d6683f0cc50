"""Releases the memory of closed screens and removed widgets.

They are full of reference cycles, so that only the garbage collector frees them. That takes some
milliseconds, in which no key is answered: hence it runs when the user pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.textual_internals import forget_closed_screens

_PAUSE_S: Final = 1.0  # without a closed screen
_MAX_CLOSED: Final = 8  # screens; a few hundred KiB each
_INTERVAL_S: Final = 300.0  # for notifications and other widgets that come and go


class MemoryController:
    """Calls `release` when screens have closed, and rarely otherwise.

    Args:
        release: Frees objects in cycles.
        settle: Called once, with the first rows on the screen.
    """

    def __init__(
        self, sampler: Sampler, *, release: Callable[[], None], settle: Callable[[], None]
    ) -> None:
        self._sampler = sampler
        self._release = release
        self._settle = settle
        self._closed = 0
        self._screen_closed = asyncio.Event()

    def note_closed(self) -> None:
        """Note that a screen closes."""
        self._closed += 1
        self._screen_closed.set()

    async def run(self) -> None:
        """Release memory until canceled."""
        await self._sampler.wait_for_first_rows()
        self._settle()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL_S):
                    await self._screen_closed.wait()
                await self._wait_for_pause()
            self._closed = 0
            forget_closed_screens()
            self._release()

    async def _wait_for_pause(self) -> None:
        """Wait until no screen has closed for a while, or many have."""
        with contextlib.suppress(TimeoutError):
            while self._closed < _MAX_CLOSED:
                self._screen_closed.clear()
                async with asyncio.timeout(_PAUSE_S):
                    await self._screen_closed.wait()
        self._screen_closed.clear()
