"""Event for one waiter, with a timeout, that resets itself."""

from __future__ import annotations

import asyncio


class AutoResetEvent:
    """Event for one waiter. A `set` while nothing waits ends the next wait at once."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake the waiter. Idempotent until it waits again."""
        self._event.set()

    def clear(self) -> None:
        """Forget a `set` that nothing has waited for."""
        self._event.clear()

    async def wait(self, delay_s: float | None = None) -> None:
        """Wait for `set`, at most `delay_s` seconds; a `set` before the call counts too."""
        timer = None
        if delay_s is not None:
            timer = asyncio.get_running_loop().call_later(max(0.0, delay_s), self._event.set)
        try:
            await self._event.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self._event.clear()
