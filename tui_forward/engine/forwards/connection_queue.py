"""Queue of accepted connections that wait for a tunnel.

Their bytes stay in the kernel's receive buffer. Each connection applies its own timeout.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from msgspec.structs import replace

from tui_forward.engine.connections.counters import ForwardCounters
from tui_forward.engine.connections.pod_history import PodHistory
from tui_forward.engine.connections.preconnector import Preconnector, SpareChannel
from tui_forward.engine.forwards import state_machine
from tui_forward.engine.forwards.forward_pool import ForwardPool
from tui_forward.engine.forwards.pod_monitor import PodMonitor
from tui_forward.engine.forwards.status_recorder import Refusals, StatusRecorder
from tui_forward.engine.forwards.target_follower import pods_of
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.errors import ForwardError
from tui_forward.model import PRECONNECT_AGE_S, PodRef, Reason, Resolved, TimelineKind

# Endpoints lag behind: a pod stays Ready briefly after its container exits, and without a
# readiness probe it is Ready before the next container listens. Retry refused connections for
# this long if the pod has answered before.
_REFUSAL_GRACE_S = 3.0


class ConnectionQueue:
    """The queue of one forward. Implements `ConnectionOwner`."""

    def __init__(
        self,
        recorder: StatusRecorder,
        *,
        pods: PodMonitor,
        on_queued: Callable[[int], None],
        on_sandbox_gone: Callable[[ForwardError, PodRef], None],
        preconnect: int = 0,
        preconnect_age_s: float = PRECONNECT_AGE_S,
    ) -> None:
        self._recorder = recorder
        self._pods = pods
        self._on_queued = on_queued
        self._on_sandbox_gone = on_sandbox_gone
        self.counters = ForwardCounters()
        self._pool: ForwardPool | None = None
        self._admitted = asyncio.Event()
        self._failure: Reason | None = None
        self._resolved: Resolved | None = None
        self._is_pod_ready = False
        self._first_refusal = -math.inf
        self._last_refusal = -math.inf
        self._retry_event = asyncio.Event()
        self.refusals = Refusals()
        self.queued = 0
        self.preconnector = Preconnector(
            preconnect, max_age_s=preconnect_age_s, usable_pool=self.usable_pool
        )

    # For the forward ------------------------------------------------------------------

    def admit(self, pool: ForwardPool) -> None:
        """Pass connections to a pool that is up."""
        self._pool = pool
        if not self._admitted.is_set():
            self._admitted.set()
            self.preconnector.start()

    def pause(self) -> None:
        """Queue connections until a pool is up. Idempotent."""
        self._admitted.clear()
        self.preconnector.drop()
        self.refusals = Refusals()  # the next pod, or tunnel, may find another application

    def fail_waiting(self, reason: Reason) -> None:
        """Fail the connections that wait and those that arrive from now on."""
        self._failure = reason
        self.preconnector.drop()
        self._admitted.set()

    def clear_failure(self) -> None:
        """Undo `fail_waiting`."""
        self._failure = None
        self._admitted.clear()

    def set_pod(self, resolved: Resolved) -> None:
        """Set the pod, and its incarnation, that the pool is connected to."""
        before, self._resolved = self._resolved, resolved
        if before is None or _incarnation(before) != _incarnation(resolved):
            self.preconnector.drop()
            self.pod_answered()
        elif resolved.ready and not self._is_pod_ready:
            self._wake_refused()
        self._is_pod_ready = resolved.ready

    def mark_pod_stale(self) -> None:
        """Record that the target no longer resolves to the pod of the pool."""
        self._is_pod_ready = False

    # For connections (`ConnectionOwner`) ----------------------------------------------

    def take_spare(self, pool: TunnelPool) -> SpareChannel | None:
        """Return a channel of the pool that was opened ahead; None if there is none."""
        return self.preconnector.take(pool.pod)

    async def wait_for_pool(self, client: str) -> TunnelPool:
        """Wait until a pool is up, and return it; raise `ForwardError` if stopped or paused."""
        if (pool := self.usable_pool(client)) is not None:
            return pool
        outage = self._recorder.outage
        if outage is not None:
            outage.queued += 1
        served = False
        self._change_queued(1)
        try:
            while (pool := self.usable_pool(client)) is None:
                # The pool may be down already while the forward's task has not run yet:
                # without this the loop would spin.
                self._admitted.clear()
                await self._admitted.wait()
            served = True
            return pool
        finally:
            self._change_queued(-1)
            if outage is not None:
                outage.served += served
                outage.given_up += not served
                self._recorder.finish_outage(outage)

    def usable_pool(self, client: str = "") -> TunnelPool | None:
        """Return a pool that is up, None if none is; `ForwardError` if stopped or paused."""
        if self._failure is not None:
            raise ForwardError(self._failure)
        pool = self._pool
        if pool is None or not self._admitted.is_set() or not self._recorder.status.admits:
            return None
        return pool.select(client)

    def _change_queued(self, change: int) -> None:
        self.queued += change
        self._on_queued(self.queued)

    def follow_pod(self, pod: PodRef, port: int) -> PodHistory:
        """Return the history of a pod, of which a port is used."""
        return self._pods.follow(pod, port)

    @property
    def is_refusing(self) -> bool:
        """Whether the port has refused connections, and has accepted none since."""
        return self.refusals.count > 0

    def refusal_is_final(self, failure: ForwardError, pod: PodRef | None) -> bool:
        """Return whether "connection refused" by a pod should be passed on to the client."""
        if self._pool is not None and pod is not None and self._pool.record_refusal(pod):
            text = f"pod {pod.name} refused a connection; it goes to another pod"
            self._recorder.record(TimelineKind.CONNECTION, text, failure.code)
            return False
        if pod is not None and not self._leads_to(pod):
            return False  # an earlier pod, whose end says nothing about those of today
        now = time.monotonic()
        if now - self._last_refusal > 2 * _REFUSAL_GRACE_S:
            self._first_refusal = now
        self._last_refusal = now
        has_lasted = now - self._first_refusal > _REFUSAL_GRACE_S
        is_conclusive = has_lasted or (self._is_pod_ready and not self.counters.bytes_from_pod)
        if is_conclusive:
            self._record_refusal(failure.reason, pod)
        return is_conclusive and self._is_pod_ready

    def _leads_to(self, pod: PodRef) -> bool:
        resolved = self._resolved
        return resolved is None or any(each.pod.uid == pod.uid for each in pods_of(resolved))

    def _record_refusal(self, reason: Reason, pod: PodRef | None) -> None:
        self.refusals.add()
        if pod is not None:
            reason = replace(reason, pod=pod.name, namespace=pod.namespace, node=pod.node)
        # Without the server's text, which differs from one refusal to the next.
        self._recorder.advance(state_machine.PortRefused(replace(reason, detail="")))

    async def wait_for_retry(self) -> None:
        """Wait until something has changed that makes a retry worthwhile."""
        await self._retry_event.wait()

    def pod_answered(self) -> None:
        """Record that the port accepts connections, and wake those that were refused."""
        if self.refusals.count:
            self.refusals = Refusals()
            self._recorder.advance(state_machine.PortAnswered())
        self._last_refusal = -math.inf  # the next refusal is the first of others
        self._wake_refused()

    def _wake_refused(self) -> None:
        self._retry_event.set()
        self._retry_event = asyncio.Event()

    def connection_failed(self, failure: ForwardError) -> None:
        """Record a failed connection in the timeline."""
        self._recorder.record_problem(TimelineKind.CONNECTION, failure.message, failure.code)

    def sandbox_gone(self, failure: ForwardError, pod: PodRef | None) -> None:
        """Pass on that the runtime reports a pod's sandbox as gone."""
        if pod is None:
            return
        if self._pool is not None:
            self._pool.record_refusal(pod)
        self._on_sandbox_gone(failure, pod)


def _incarnation(resolved: Resolved) -> tuple[str, str]:
    return resolved.pod.uid, resolved.incarnation
