"""How long an engine process serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# Interval to check whether forwards that keep running without clients have stopped.
_CHECK_S = 1.0


class Lifetime:
    """Ends on request, or when there was no client for a while.

    It lasts `idle_timeout_s` without clients (infinity is forever), `first_s` until a client has
    made the first request, `minimum_s` in any case, and as long as `is_needed` returns True.
    """

    def __init__(
        self, idle_timeout_s: float, *, first_s: float, minimum_s: float = 0.0,
        is_needed: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._is_needed = is_needed
        self._idle_timeout_s = idle_timeout_s
        now = asyncio.get_running_loop().time()
        self._earliest_end = now + minimum_s
        self._first_end = now + first_s
        self._is_used = False
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._end_after(first_s, "no client connected")

    def set_client_count(self, count: int) -> None:
        """Report how many clients are connected."""
        self._cancel_timer()
        if count:
            return
        now = asyncio.get_running_loop().time()
        if self._is_used:
            left = max(self._idle_timeout_s, self._earliest_end - now)
            self._end_after(left, "the last client disconnected")
        else:  # it had left before it was served, as clients do that wait too long
            self._end_after(self._first_end - now, "no client connected")

    def set_used(self) -> None:
        """Report that a client has made a request. Idempotent."""
        self._is_used = True

    def end(self, reason: str) -> None:
        """End now. Idempotent."""
        self._cancel_timer()
        if not self._ended.done():
            self._ended.set_result(reason)

    async def wait(self) -> str:
        """Wait for the end and return its reason."""
        return await self._ended

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_after(self, seconds: float, reason: str) -> None:
        if seconds <= 0:
            self._end_unless_needed(reason)
        elif seconds != float("inf"):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(seconds, self._end_unless_needed, reason)

    def _end_unless_needed(self, reason: str) -> None:
        if self._is_needed():
            self._end_after(_CHECK_S, reason)
        else:
            self.end(reason)
