"""Waiting for something to happen or for a time to pass, whichever is first."""

from __future__ import annotations

import asyncio


class AutoResetEvent:
    """One waiter that anybody may wake. A ring while nobody waits ends the next wait at once."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake the waiter. Idempotent until it waits again."""
        self._event.set()

    async def wait(self, delay_s: float | None = None) -> None:
        """Wait for a ring, at most `delay_s` seconds; rings before the call count too."""
        timer = None
        if delay_s is not None:
            timer = asyncio.get_running_loop().call_later(max(0.0, delay_s), self._event.set)
        try:
            await self._event.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self._event.clear()
