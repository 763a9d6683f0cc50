"""Connections that wait for a tunnel of their pool."""

from __future__ import annotations

import asyncio
from typing import Final

_WAKE_INTERVAL_S: Final = 0.01


class TunnelWaiters:
    """Waiting connections of a pool, in the order in which they try again.

    The first one tries when a tunnel changes, and in between every few milliseconds, because a
    tunnel also becomes usable by the passing of time. One that succeeds wakes the next, so all of
    them are served once one can be.
    """

    __slots__ = ("_loop", "_timer", "_waiting")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self) -> None:
        """Wait until it is worthwhile to try again. Safe to cancel."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting[waiter] = None
        if self._timer is None:
            self._schedule()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.wake_one()  # in its place
            raise
        finally:
            del self._waiting[waiter]

    def wake_one(self) -> None:
        """Have the first waiting connection try again."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
                return

    def wake_all(self) -> None:
        """Have all waiting connections try again."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _schedule(self) -> None:
        self._timer = self._loop.call_later(_WAKE_INTERVAL_S, self._wake_first)

    def _wake_first(self) -> None:
        self._timer = None
        if self._waiting:
            self._schedule()
            self.wake_one()
