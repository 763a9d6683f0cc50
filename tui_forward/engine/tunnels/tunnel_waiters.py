"""Connections that wait for a tunnel of their own, and when they share one instead."""

from __future__ import annotations

import asyncio
import math
from typing import Final

from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.pool_growth import PoolGrowth
from tui_forward.engine.tunnels.tunnel_set import TunnelSet

_WAKE_INTERVAL_S: Final = 0.01
# How fast the number of connections that may share a tunnel rises in a burst.
_SHARING_PERIOD_S: Final = 0.03


class TunnelWaiters:
    """Waiting connections of a pool, oldest first."""

    __slots__ = ("_limits", "_loop", "_timer", "_tunnels", "_waiting_since")

    def __init__(self, tunnels: TunnelSet, limits: Limits) -> None:
        self._loop = asyncio.get_running_loop()
        self._tunnels = tunnels
        self._limits = limits
        self._waiting_since: dict[asyncio.Future[None], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting_since)

    async def wait(self, since: float, growth: PoolGrowth) -> None:
        """Wait until a tunnel was added or became idle, all are gone, or sharing is allowed.

        The connection began to wait at `since`, in the loop's time.
        """
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting_since[waiter] = since
        if self._timer is None:
            self._schedule(growth)
        try:
            await waiter
        finally:
            del self._waiting_since[waiter]

    def max_load(self, waited_s: float, growth: PoolGrowth) -> float:
        """Return below which load a tunnel may be shared after waiting so long."""
        if not growth.dialing or waited_s >= self._limits.share_after_s:
            return math.inf
        if len(self) < self._limits.max_tunnels - len(self._tunnels):
            return 0  # there will be a tunnel for each
        # In a burst connections have to share in the end. They spread over the tunnels that
        # are under way, instead of all using the one that is up: the longer it lasts, the more
        # may share.
        connections = len(self) + sum(tunnel.load for tunnel in self._tunnels)
        return connections / self._limits.max_tunnels * waited_s / _SHARING_PERIOD_S

    def wake_one(self) -> None:
        """Have the oldest waiting connection try again."""
        for waiter in self._waiting_since:
            if not waiter.done():
                waiter.set_result(None)
                return

    def wake_all(self) -> None:
        """Have all waiting connections try again."""
        for waiter in self._waiting_since:
            if not waiter.done():
                waiter.set_result(None)

    def _schedule(self, growth: PoolGrowth) -> None:
        self._timer = self._loop.call_later(_WAKE_INTERVAL_S, self._wake_sharers, growth)

    def _wake_sharers(self, growth: PoolGrowth) -> None:
        """Wake as many as may share the tunnels that are up."""
        self._timer = None
        waiting = [waiter for waiter in self._waiting_since if not waiter.done()]
        if not waiting:
            return
        self._schedule(growth)
        oldest = min(self._waiting_since[waiter] for waiter in waiting)
        loads = self._tunnels.loads()
        max_load = self.max_load(self._loop.time() - oldest, growth)
        if math.isinf(max_load):
            room = len(waiting)
        else:
            room = max(1, int(max_load * len(loads)) - sum(loads))
        for waiter in waiting[:room]:
            waiter.set_result(None)
