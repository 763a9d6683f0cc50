"""When the engine process ends. Pure policy, apart from the event loop's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# How often to look whether the work that needs no front end is done.
_LOOK_AGAIN_S = 1.0


class Lifetime:
    """Ends when asked to, or when the last front end has been gone for a while.

    Args:
        idle_timeout_s: How long to go on without front ends; infinity is for ever.
        first_s: How long to wait for the first one.
        least_s: How long to go on in any case.
        needed: Whether there is work to go on with that needs no front end.
    """

    def __init__(
        self,
        idle_timeout_s: float,
        *,
        first_s: float,
        least_s: float = 0.0,
        needed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._needed = needed
        self._idle_timeout_s = idle_timeout_s
        self._least = asyncio.get_running_loop().time() + least_s
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._wait(first_s, "no front end came")

    def set_client_count(self, count: int) -> None:
        """There are so many front ends now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not count:
            left = self._least - asyncio.get_running_loop().time()
            self._wait(max(self._idle_timeout_s, left), "the last front end has gone")

    def end(self, reason: str) -> None:
        """End now. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._over.done():
            self._over.set_result(reason)

    async def wait(self) -> str:
        """Wait for the end; returns why."""
        return await self._over

    def _wait(self, seconds: float, reason: str) -> None:
        if seconds <= 0:
            self._idle(reason)
        elif seconds != float("inf"):
            self._timer = asyncio.get_running_loop().call_later(seconds, self._idle, reason)

    def _idle(self, reason: str) -> None:
        if self._needed():
            self._wait(_LOOK_AGAIN_S, reason)
        else:
            self.end(reason)
