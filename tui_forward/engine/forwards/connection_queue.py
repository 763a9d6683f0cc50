"""What connections ask of their forward: when they may go, and whether a refusal is final.

Connections that arrive while no tunnel is up wait here ("queued"); their bytes stay in the
kernel. How long each of them waits is its own business.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from tui_forward.engine.connections.counters import ForwardCounters
from tui_forward.engine.forwards.status_recorder import StatusRecorder
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.errors import ForwardError
from tui_forward.model import ForwardState, Reason, Resolved, TimelineKind

# The API says Ready for a moment after a container has died, and without a readiness probe also
# for a moment before the next one listens. So if the forward has ever answered, a refusal is
# not believed for this long.
_DOUBT_S = 3.0


class ConnectionQueue:
    """The gate of one forward. Implements `connection.Gate`.

    Args:
        story: The forward's status.
        on_parked: Called with the number of connections held, whenever it changes.
        on_sandbox_gone: Called with the failure that says so.
    """

    def __init__(
        self,
        story: StatusRecorder,
        *,
        on_parked: Callable[[int], None],
        on_sandbox_gone: Callable[[ForwardError], None],
    ) -> None:
        self._story = story
        self._on_queued = on_parked
        self._on_sandbox_gone = on_sandbox_gone
        self._counters = ForwardCounters()
        self._pool: TunnelPool | None = None
        self._opened = asyncio.Event()
        self._shut: Reason | None = None
        self._resolved: Resolved | None = None
        self._believed = False
        self._first_refusal = -math.inf
        self._last_refusal = -math.inf
        self._news = asyncio.Event()
        self.queued = 0

    @property
    def counters(self) -> ForwardCounters:
        """The forward's totals."""
        return self._counters

    # What the forward says ------------------------------------------------------------

    def admit(self, pool: TunnelPool) -> None:
        """A pool is up: let connections through."""
        self._pool = pool
        self._opened.set()

    def pause(self) -> None:
        """No pool is up: park connections. Idempotent."""
        self._opened.clear()

    def fail_waiting(self, reason: Reason) -> None:
        """Fail the connections that wait and those that arrive from now on."""
        self._shut = reason
        self._opened.set()

    def clear_failure(self) -> None:
        """Undo `shut`."""
        self._shut = None
        self._opened.clear()

    def set_pod(self, resolved: Resolved) -> None:
        """The pool goes to this pod, in this incarnation."""
        before, self._resolved = self._resolved, resolved
        if before is None or _incarnation(before) != _incarnation(resolved):
            self._last_refusal = -math.inf  # whatever refused before is gone
            self.pod_answered()
        elif resolved.ready and not self._believed:
            self.pod_answered()
        self._believed = resolved.ready

    def mark_pod_stale(self) -> None:
        """The pod the pool goes to is not what the target means any more."""
        self._believed = False

    # What connections ask -------------------------------------------------------------

    async def wait_for_pool(self) -> TunnelPool:
        """Wait until a pool is up, and return it. The caller applies the time limit.

        Raises:
            ForwardError: The forward ends or pauses.
        """
        if (pool := self._usable()) is not None:
            return pool
        outage = self._story.outage
        if outage is not None:
            outage.queued += 1
        served = False
        self._park(1)
        try:
            while (pool := self._usable()) is None:
                # The pool may have gone down a moment ago with the forward's task not yet
                # run: without this, the loop would spin.
                self._opened.clear()
                await self._opened.wait()
            served = True
            return pool
        finally:
            self._park(-1)
            if outage is not None:
                outage.served += served
                outage.given_up += not served
                self._story.finish_outage(outage)

    def _usable(self) -> TunnelPool | None:
        if self._shut is not None:
            raise ForwardError(self._shut)
        pool = self._pool
        if pool is None or not pool.up or not self._opened.is_set():
            return None
        return pool if self._story.status.state is ForwardState.READY else None

    def _park(self, change: int) -> None:
        self.queued += change
        self._on_queued(self.queued)

    def refusal_is_final(self, failure: ForwardError) -> bool:  # noqa: ARG002 - part of the seam
        """Whether "connection refused" is the application's last word."""
        now = time.monotonic()
        if now - self._last_refusal > 2 * _DOUBT_S:
            self._first_refusal = now
        self._last_refusal = now
        if not self._believed:
            return False
        return not self._counters.bytes_from_pod or now - self._first_refusal > _DOUBT_S

    async def wait_for_retry(self) -> None:
        """Wait until there is reason to believe that a refusal would not be repeated."""
        await self._news.wait()

    def pod_answered(self) -> None:
        """Those who were refused had better try now."""
        self._news.set()
        self._news = asyncio.Event()

    def connection_failed(self, failure: ForwardError) -> None:
        """A connection failed; one line in the timeline."""
        self._story.record_problem(TimelineKind.CONNECTION, failure.message, failure.code)

    def sandbox_gone(self, failure: ForwardError) -> None:
        """The runtime says the pod's sandbox is gone."""
        self._on_sandbox_gone(failure)


def _incarnation(resolved: Resolved) -> tuple[str, str]:
    return resolved.pod.uid, resolved.incarnation
