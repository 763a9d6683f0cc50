"""Growth of a pool: how many tunnels are dialed ahead of need, and when.

Growth serves the connections to come: those that are here share the tunnels that are up.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final

from tui_forward.common.tasks import spawn
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import Tunnel
from tui_forward.engine.tunnels.tunnel_set import TunnelSet
from tui_forward.errors import TuiForwardError

_MIN_RETRY_S: Final = 0.5
_MAX_RETRY_S: Final = 30.0
_STABLE_S: Final = 2.0  # how long a tunnel must last to count as a success


class PoolGrowth:
    """Dials tunnels in the background until enough idle ones are up."""

    def __init__(
        self,
        tunnels: TunnelSet,
        limits: Limits,
        *,
        has_waiting: Callable[[], bool],  # whether no tunnel can be used, and a connection waits
        dial: Callable[[], Awaitable[Tunnel]],
        on_dialed: Callable[[Tunnel], None],  # takes over a tunnel that is up
        on_unneeded: Callable[[Tunnel], None],  # closes a tunnel that came too late
        on_settled: Callable[[], None],  # a dial has ended, in whatever way
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._tunnels = tunnels
        self._limits = limits
        self._has_waiting = has_waiting
        self._dial = dial
        self._on_dialed = on_dialed
        self._on_unneeded = on_unneeded
        self._on_settled = on_settled
        self._is_active = False
        self._is_growing_soon = False
        self._generation = 0
        self._dials: set[asyncio.Task[None]] = set()
        self._retry_at = 0.0
        self._retry_timer: asyncio.TimerHandle | None = None
        self._retry_delay_s = _MIN_RETRY_S
        self._dialed_at = -math.inf
        self.spare = limits.spare  # how many idle tunnels to keep

    @property
    def dialing(self) -> int:
        """How many dials are under way."""
        return len(self._dials)

    def start(self) -> None:
        """Grow from now on, without the memory of earlier bursts and failures."""
        self._is_active = True
        self._retry_delay_s = _MIN_RETRY_S
        self._retry_at = 0.0
        self.spare = self._limits.spare

    def stop(self) -> None:
        """Cancel all dials, and start none. Idempotent."""
        self._is_active = False
        self._generation += 1
        self._cancel_retry()
        for dial in self._dials:
            dial.cancel()

    async def wait_stopped(self) -> None:
        """Wait until all dials have ended."""
        while self._dials:
            # Not `gather`: since Python 3.12 it does not yield when all tasks are done, and the
            # callbacks that remove them from the set would never run.
            await asyncio.wait(self._dials)

    def record_burst(self) -> None:
        """Keep one more idle tunnel: a connection found none."""
        self.spare = min(self.spare + 1, self._limits.max_spare)
        self._retry_at = 0.0

    def shrink(self) -> None:
        """Keep one idle tunnel less, but not fewer than the minimum."""
        self.spare = max(self._limits.spare, self.spare - 1)

    def grow_soon(self) -> None:
        """Call `grow` after what the event loop does now, which is to serve connections."""
        if not self._is_growing_soon:
            self._is_growing_soon = True
            self._loop.call_soon(self._grow_now)

    def _grow_now(self) -> None:
        self._is_growing_soon = False
        self.grow()

    def grow(self) -> None:
        """Dial until enough idle tunnels are up or under way."""
        if not self._is_active or self._loop.time() < self._retry_at:
            return
        room = min(
            self._limits.parallel_dials - len(self._dials),
            self._limits.max_tunnels - len(self._tunnels) - len(self._dials),
        )
        if room <= 0:
            return
        needed = max(self.spare, int(self._has_waiting()))
        missing = needed - self._tunnels.count_idle() - len(self._dials)
        for _ in range(min(missing, room)):
            dial = spawn(self._dial_one(), name="tunnel dial")
            self._dials.add(dial)
            dial.add_done_callback(self._settled)

    async def _dial_one(self) -> None:
        generation = self._generation
        is_kept = False
        try:
            tunnel = await self._dial()
            is_kept = tunnel.up
        except TuiForwardError:
            # The forward continues with the tunnels it has; if those end, its next `connect`
            # fails with the reason.
            return
        finally:
            # However the dial has ended, canceled included.
            if not is_kept:
                self._back_off()
        if generation != self._generation or not tunnel.up:
            self._on_unneeded(tunnel)
        else:
            self._dialed_at = self._loop.time()
            self._on_dialed(tunnel)

    def record_loss(self) -> None:
        """Record that a tunnel has ended: if soon after a dial, the next dial waits."""
        if self._loop.time() - self._dialed_at < _STABLE_S:
            self._back_off()
        else:
            self._retry_delay_s = _MIN_RETRY_S

    def _back_off(self) -> None:
        self._retry_at = self._loop.time() + self._retry_delay_s
        self._retry_delay_s = min(2 * self._retry_delay_s, _MAX_RETRY_S)
        self._cancel_retry()
        if self._is_active:  # nothing else may ask for a tunnel for a long time
            self._retry_timer = self._loop.call_at(self._retry_at, self.grow)

    def _cancel_retry(self) -> None:
        if self._retry_timer is not None:
            self._retry_timer.cancel()
            self._retry_timer = None

    def _settled(self, dial: asyncio.Task[None]) -> None:
        self._dials.discard(dial)
        self.grow()
        self._on_settled()
