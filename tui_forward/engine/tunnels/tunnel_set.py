"""The usable tunnels of a pool, and the choice of one for a new connection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from tui_forward.engine.tunnels.base import Tunnel
from tui_forward.engine.tunnels.flow_control import WORKERS

# A tunnel with a bulk transfer makes its sharers wait about as long as so many quiet connections.
_BULK_LOAD: Final = 5
_BULK_RECENT_S: Final = 0.25


class TunnelSet:
    """Tunnels that new connections may use, and since when each has been idle.

    At `max_tunnels`, the last idle tunnel is left alone. From `own_tunnels` on, it is left alone
    as long as another one has a worker of the server left.
    """

    __slots__ = ("_idle_since", "_max_tunnels", "_own_tunnels")

    def __init__(self, own_tunnels: int, max_tunnels: int) -> None:
        self._own_tunnels = own_tunnels
        self._max_tunnels = max_tunnels
        self._idle_since: dict[Tunnel, float] = {}  # 0.0 if not idle

    def __len__(self) -> int:
        return len(self._idle_since)

    def __iter__(self) -> Iterator[Tunnel]:
        return iter(self._idle_since)

    def __contains__(self, tunnel: Tunnel) -> bool:
        return tunnel in self._idle_since

    def add(self, tunnel: Tunnel) -> None:
        """Add an idle tunnel."""
        self._idle_since[tunnel] = time.monotonic()

    def mark_used(self, tunnel: Tunnel) -> None:
        """Record that a connection uses a tunnel; adds it if it is new."""
        self._idle_since[tunnel] = 0.0

    def update(self, tunnel: Tunnel) -> None:
        """Record whether a tunnel is idle, after its load has changed."""
        if tunnel.load:
            self._idle_since[tunnel] = 0.0
        elif not self._idle_since[tunnel]:
            self._idle_since[tunnel] = time.monotonic()

    def remove(self, tunnel: Tunnel) -> bool:
        """Remove a tunnel; return whether it was there."""
        return self._idle_since.pop(tunnel, None) is not None

    def count_idle(self) -> int:
        """Return how many tunnels a new connection could have to itself."""
        return len(self._idle())

    def find_free(self) -> Tunnel | None:
        """Return the best tunnel on which a connection waits for no other one.

        An idle one to use up, unless it is the last one at the maximum. That one is the sentinel:
        while it answers, another tunnel's silence is caused by an application that does not read,
        not by a broken path.
        """
        idle = self._idle()
        if len(idle) <= 1 < self._own_tunnels <= len(self):
            roomy = self._find_roomy()
            if roomy is not None:
                return roomy
        if not idle or (len(idle) == 1 and len(self) >= self._max_tunnels > 1):
            return None
        # The most recently used first, so that the others age and can be closed.
        return max(idle, key=self._idle_since.__getitem__)

    def _find_roomy(self) -> Tunnel | None:
        """Return the least loaded tunnel in use with a worker left and no bulk transfer."""
        bulk_since = time.monotonic() - _BULK_RECENT_S
        roomy = [
            one
            for one in self
            if 0 < one.load < WORKERS
            and one.bulk_at < bulk_since
            and not (one.stalled or one.suspect)
        ]
        return min(roomy, key=lambda one: one.load, default=None)

    def find_shared(self) -> Tunnel | None:
        """Return the best tunnel to share; None if all are stalled."""
        bulk_since = time.monotonic() - _BULK_RECENT_S

        def cost(tunnel: Tunnel) -> tuple[bool, int]:
            # A busy one before the idle sentinel.
            bulk = _BULK_LOAD if tunnel.bulk_at > bulk_since else 0
            return (not tunnel.load, tunnel.load + bulk)

        # In this order, because it takes longer to tell whether a tunnel is suspect.
        usable = [tunnel for tunnel in sorted(self, key=cost) if not tunnel.stalled]
        for tunnel in usable:
            if not tunnel.suspect:
                return tunnel
        return usable[0] if usable else None

    def find_expired(self, keep: int, idle_s: float) -> list[Tunnel]:
        """Return the tunnels idle for longer than `idle_s`, but leave `keep` idle ones."""
        idle = sorted(
            (tunnel for tunnel, since in self._idle_since.items() if since and not tunnel.channels),
            key=self._idle_since.__getitem__,
        )
        idle_before = time.monotonic() - idle_s
        extra = idle[: max(0, len(idle) - keep)]
        return [tunnel for tunnel in extra if self._idle_since[tunnel] < idle_before]

    def _idle(self) -> list[Tunnel]:
        return [one for one in self if not (one.load or one.stalled or one.suspect)]
