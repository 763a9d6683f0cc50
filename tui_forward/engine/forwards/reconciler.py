"""Keeps a pool connected to the pod that a target means, through everything.

Level-triggered: each time something happens, what should be (the target's pod now) is
compared with what is (the pool), and the difference acted on. No order of events can leave
it waiting for one that has passed.

Invariants:

* At most one `TunnelPool.connect` runs at a time, as a task of its own, so that a pod that
  changes can interrupt it.
* `Story` hears of a tunnel only while the pool says it is up, and of its loss before
  anything else is done about it.
"""

from __future__ import annotations

import asyncio
import logging
import time

from tui_forward.engine.context import EngineContext
from tui_forward.engine.forwards import reasons, state_machine
from tui_forward.engine.forwards.auto_reset_event import AutoResetEvent
from tui_forward.engine.forwards.backoff import Backoff
from tui_forward.engine.forwards.connection_queue import ConnectionQueue
from tui_forward.engine.forwards.status_recorder import StatusRecorder
from tui_forward.engine.target_watch import TargetWatch
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.errors import ApiError, ForwardError, TuiForwardError
from tui_forward.model import (
    ForwardSpec,
    PodRef,
    Reason,
    ReasonCode,
    Resolution,
    Resolved,
    TimelineKind,
    Unresolved,
)
from tui_forward.reasons import blocked_by, error_text, reason_text

_log = logging.getLogger(__name__)

# What needs a person is tried again by itself, though slowly: an exec plugin may open a browser.
_BLOCKED_RETRY_S = (15.0, 30.0, 60.0, 120.0, 300.0)
# Events may cut a back-off short, but not below half of its bound, or this.
_LEAST_PAUSE_MAX_S = 3.0
# A stream that was opened towards the previous pod may report that one's end this much later.
_STALE_REPORT_S = 0.25
_CLOSE_S = 5.0
# For so long a sandbox that is gone is the reason why there is no pod, and not the other way round.
_EVIDENCE_S = 3.0
# How long a tunnel may take to answer when there is reason to doubt it.
_PROBE_S = 3.0


class Reconciler:
    """Follows one target with one pool.

    Args:
        spec: What was asked for.
        gate: Told when connections may pass.
        story: Told what happens.
        alarm: Rung by the pool, by the target and by whoever wants another look now.
        world: The engine.
        forward_id: For logs and task names.
    """

    def __init__(
        self,
        spec: ForwardSpec,
        *,
        gate: ConnectionQueue,
        story: StatusRecorder,
        alarm: AutoResetEvent,
        world: EngineContext,
        forward_id: str,
    ) -> None:
        self._spec = spec
        self._gate = gate
        self._story = story
        self._alarm = alarm
        self._world = world
        self._forward_id = forward_id
        self._name = f"forward {forward_id}"
        self._watch: TargetWatch | None = None
        self._dial: asyncio.Task[None] | None = None
        self._goal: Resolved | None = None  # of the present or the latest dial
        self._connected: Resolved | None = None  # what the pool was connected to last
        self._moved_at = 0.0  # when the pool was connected to another pod than before
        self._was_up = False
        self._cut_by_us = False
        self._failure: Reason | None = None  # of the latest dial or tunnel
        self._sandbox_gone: Reason | None = None
        self._sandbox_gone_at = 0.0
        self._backoff = Backoff()
        self._blocked_tries = 0
        self._failed_at = 0.0
        self._retry_at = 0.0  # monotonic; in the past is "now"
        self.waits_for_cluster = False  # the latest dial failed for no reason of the pod's
        self.resolution: Resolution = Unresolved(reason=Reason(code=ReasonCode.TARGET_RESOLVING))
        self.pool: TunnelPool | None = None

    @property
    def pod(self) -> PodRef | None:
        """The pod behind the forward now, or the last one."""
        if isinstance(self.resolution, Resolved):
            return self.resolution.pod
        return self._connected.pod if self._connected is not None else None

    @property
    def not_ready_cause(self) -> Reason | None:
        """Why the pool is down; None if nothing has failed.

        Meaningless while the forward is ready or stopped.
        """
        if self._watch is None or isinstance(self.resolution, Resolved):
            return self._failure
        gone = self._sandbox_gone
        if gone is not None and time.monotonic() - self._sandbox_gone_at < _EVIDENCE_S:
            return gone
        return self.resolution.reason

    # ----------------------------------------------------------------------------------
    # The target
    # ----------------------------------------------------------------------------------

    def watch(self) -> TargetWatch:
        """Begin to follow the target.

        Raises:
            ConfigError: The context cannot be used.
        """
        self._watch = self._world.clusters.watch(self._spec.target)
        self._failure = None
        self._learn(self._watch.current)
        return self._watch

    async def follow_watch(self, watch: TargetWatch) -> None:
        """Keep `resolution` up to date, until cancelled."""
        while True:
            self._learn(await watch.changed(self.resolution))
            # A pod event ends any waiting, but not faster than failures in a row allow.
            pause = self._backoff.bound_s(time.monotonic(), crowd=self._crowd()) / 2
            self._hurry(self._failed_at + min(_LEAST_PAUSE_MAX_S, pause))

    def _learn(self, resolution: Resolution) -> None:
        self.resolution = resolution
        if isinstance(resolution, Resolved):
            self._story.remote_port = resolution.port
        connected = self._connected
        if connected is None or not _same(connected, resolution):
            self._gate.mark_pod_stale()

    def invalidate_pod(self, failure: ForwardError) -> None:
        """A connection was told that the pod's sandbox is gone."""
        pod = self._connected.pod if self._connected is not None else None
        if pod is None or self._watch is None:
            return
        if time.monotonic() - self._moved_at < _STALE_REPORT_S:
            return  # likely the previous pod's; the connection tries again and reports again
        self._sandbox_gone, self._sandbox_gone_at = failure.reason, time.monotonic()
        self._story.record_problem(
            TimelineKind.POD, f"pod {pod.name}: {failure.message}", failure.code
        )
        self._watch.invalidate(pod.uid)

    # ----------------------------------------------------------------------------------
    # The clock
    # ----------------------------------------------------------------------------------

    def _hurry(self, earliest: float) -> None:
        self._retry_at = min(self._retry_at, earliest)
        self._alarm.set()

    def retry_now(self) -> None:
        """The world has changed: forget the delays and try now."""
        self._backoff.reset()
        self._blocked_tries = 0
        self._hurry(0.0)

    def probe(self) -> None:
        """Make sure that the tunnels that seem to be up are."""
        if self.pool is not None and self.pool.up:
            self.pool.probe(_PROBE_S)

    def restart(self, reason: Reason) -> None:
        """Cut the tunnels and whatever is being tried, and try again now."""
        if self._dial is not None:
            self._dial.cancel()
        self._cut_by_us = True
        if self.pool is not None:
            self.pool.abort(reason)
        self.retry_now()

    def _crowd(self) -> int:
        return self._world.count_connecting(self._spec.target.context)

    def _delay_after(self, reason: Reason, now: float) -> float:
        if blocked_by(reason) is None:
            return self._backoff.failed(now, crowd=self._crowd())
        delay = _BLOCKED_RETRY_S[min(self._blocked_tries, len(_BLOCKED_RETRY_S) - 1)]
        self._blocked_tries += 1
        return delay

    # ----------------------------------------------------------------------------------
    # Following
    # ----------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Keep the pool connected, until cancelled."""
        while True:
            await self._alarm.wait(await self._reconcile())

    async def release(self) -> None:
        """Stop dialling and following; the pool stays as it is."""
        await self._stop_dialling()
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    async def close(self) -> None:
        """Cut all tunnels and wait for that, for a bounded time. Idempotent."""
        await self.release()
        if self.pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self.pool.close()
        except TimeoutError:
            _log.warning("the tunnels of %s did not close in time", self._name)

    def abort(self, reason: Reason) -> None:
        """Cut all tunnels at once; `follow` is not running."""
        self._was_up = False
        if self.pool is not None:
            self.pool.abort(reason)

    def record_crash(self, error: Exception) -> float:
        """Turn any exception into a state; returns the seconds until the next try."""
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        now = time.monotonic()
        self._was_up = False
        if isinstance(cause, TuiForwardError):
            self._failure = cause.reason
            delay = self._delay_after(cause.reason, now)
            self._story.advance(state_machine.DialFailed(cause.reason, time.time() + delay))
            return delay
        _log.error("%s failed and restarts", self._name, exc_info=error)
        delay = max(1.0, self._backoff.failed(now, crowd=self._crowd()))
        detail = f"{type(cause).__name__}: {error_text(cause)}"
        self._failure = Reason(code=ReasonCode.INTERNAL_ERROR, detail=detail)
        failed = Reason(code=ReasonCode.FORWARD_FAILED, detail=detail)
        self._story.advance(state_machine.Failed(failed, time.time() + delay))
        return delay

    async def _reconcile(self) -> float | None:
        """Act on the difference between target and pool; returns seconds until the next look."""
        if self.pool is not None and self._was_up and not self.pool.up:
            await self._lost(self.pool)
        if self._dial is not None and self._dial.done():
            self._dialled(self._dial)
        goal = self.resolution
        if isinstance(goal, Unresolved):
            await self._stop_dialling()
            self._let_go(goal.reason)
            before = self._connected.pod if self._connected is not None else None
            lost = reasons.lost_pod(goal, before)
            self._story.advance(state_machine.PodMissing(goal.reason, lost))
            return None
        if self._dial is not None:
            assert self._goal is not None
            if _same(self._goal, goal):
                return None
            await self._stop_dialling()
        pool = self.pool
        if pool is not None and pool.up and self._connected is not None:
            if _same(self._connected, goal):
                self._stay(self._connected, goal, pool)
                return None
            self._was_up = False
            self._story.advance(state_machine.PodMoved(reasons.pod_moved(self._connected, goal)))
        now = time.monotonic()
        if now < self._retry_at:
            return self._retry_at - now
        self._start_dialling(goal)
        return None

    def _start_dialling(self, goal: Resolved) -> None:
        self._story.advance(state_machine.DialStarted(reasons.connecting(goal)))
        self._goal = goal
        self._cut_by_us = False
        self._dial = asyncio.create_task(self._connect(goal), name=f"{self._name}: dial")
        self._dial.add_done_callback(lambda _: self._alarm.set())

    async def _connect(self, goal: Resolved) -> None:
        if self.pool is None:
            self.pool = TunnelPool(
                self._world.clusters.access(self._spec.target.context),
                transport=self._spec.transport,
                transport_cache=self._world.transport_cache,
                limits=self._world.limits,
                on_change=self._pool_changed,
                forward_id=self._forward_id,
            )
        await self.pool.connect(goal.pod, goal.port)

    async def _stop_dialling(self) -> None:
        dial, self._dial = self._dial, None
        if dial is not None:
            dial.cancel()
            await asyncio.gather(dial, return_exceptions=True)

    def _dialled(self, dial: asyncio.Task[None]) -> None:
        """The dial has ended, well or not."""
        goal, pool, self._dial = self._goal, self.pool, None
        assert goal is not None
        if dial.cancelled():
            return  # by `start_over`
        now = time.monotonic()
        try:
            dial.result()
        except TuiForwardError as error:
            self._failure = error.reason
            delay = self._delay_after(error.reason, now)
            self._failed_at = now
            self._retry_at = now + delay
            if isinstance(error, ApiError) and error.not_found and self._watch is not None:
                self._watch.invalidate(goal.pod.uid)
            self.waits_for_cluster = reasons.affects_all_pods(error.reason)
            reason = reasons.dial_failed(error, self._spec.target, goal.pod)
            self._story.last_event = reason_text(reason)
            self._story.advance(state_machine.DialFailed(reason, time.time() + delay))
            return
        assert pool is not None
        before, self._connected = self._connected, goal
        self._failure = None
        self._retry_at = 0.0
        self._blocked_tries = 0
        self.waits_for_cluster = False
        self._backoff.succeeded(now)
        if before is not None and before.pod.uid != goal.pod.uid:
            self._moved_at = now
            self._story.record(TimelineKind.POD, f"{before.pod.name} → {goal.pod.name}")
        self._was_up = True

    def _stay(self, before: Resolved, now: Resolved, pool: TunnelPool) -> None:
        """The pool goes where it should."""
        if before.incarnation != now.incarnation:
            self._story.record(TimelineKind.POD, f"a container of {now.pod.name} was restarted")
        self._connected = now
        self._gate.set_pod(now)
        self._story.advance(state_machine.TunnelUp(reasons.ready(now, pool.transport)))

    async def _lost(self, pool: TunnelPool) -> None:
        self._was_up = False
        error = await pool.wait_lost()  # it is down: this does not wait
        self._failure = None if self._cut_by_us else error.reason
        now = time.monotonic()
        self._failed_at = now
        self._retry_at = now + self._backoff.failed(now, crowd=self._crowd())
        self._story.advance(state_machine.TunnelLost(error.reason))

    def _let_go(self, reason: Reason) -> None:
        """New connections must not go to the pod there was; those it has may end in peace."""
        self._was_up = False
        if self.pool is not None and self.pool.up:
            self.pool.disconnect(reason)

    def _pool_changed(self) -> None:
        if self.pool is not None and not self.pool.up:
            # At once, not when the task gets its turn: nobody passes the gate to a dead pool.
            self._gate.pause()
        if self.pool is None or self.pool.up != self._was_up:
            self._alarm.set()
        self._world.changed()


def _same(one: Resolved, other: Resolution) -> bool:
    """Whether two resolutions need the same tunnels."""
    return isinstance(other, Resolved) and (one.pod.uid, one.port) == (other.pod.uid, other.port)
