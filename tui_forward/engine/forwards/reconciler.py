"""Reconciler of one forward: keeps a pool connected to the pod that the target resolves to.

Level-triggered: every event compares the resolved pod with the pool, so that no order of events
can make it wait for one that has passed. `TargetFollower` has the resolved pod, `PoolDialer` the
pool and the current dial, which a pod that changes interrupts, `DialSchedule` the delays.
`StatusRecorder` gets `TunnelUp` only while the pool is up, and `TunnelLost` before anything else is
done about the loss.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from tui_forward.common.clock import steady_time
from tui_forward.engine.context import ClusterProvider, EngineContext, TargetWatch
from tui_forward.engine.forwards import reasons, state_machine
from tui_forward.engine.forwards.auto_reset_event import AutoResetEvent
from tui_forward.engine.forwards.connection_queue import ConnectionQueue
from tui_forward.engine.forwards.dial_failure import dial_failure
from tui_forward.engine.forwards.dial_schedule import DialSchedule
from tui_forward.engine.forwards.forward_pool import ForwardPool
from tui_forward.engine.forwards.pod_monitor import PodMonitor
from tui_forward.engine.forwards.pod_recorder import PodRecorder
from tui_forward.engine.forwards.pool_dialer import PoolDialer
from tui_forward.engine.forwards.status_recorder import StatusRecorder
from tui_forward.engine.forwards.target_follower import TargetFollower, pods_of, same_tunnels
from tui_forward.errors import ApiError, ForwardError, TuiForwardError
from tui_forward.model import (
    Balance,
    BlockedBy,
    ForwardSpec,
    PodRef,
    PodShare,
    Reason,
    ReasonCode,
    Resolution,
    Resolved,
    Target,
    TargetKind,
    TimelineKind,
    Unresolved,
)
from tui_forward.reasons import blocked_by, error_text, is_login, reason_text
from tui_forward.transport.access import ServerAccess

_log = logging.getLogger(__name__)

_CONNECTING = ReasonCode.FORWARD_CONNECTING
_UNANSWERED = frozenset({ReasonCode.API_UPGRADE_TIMEOUT, ReasonCode.KUBELET_NO_ANSWER})


class Reconciler:
    """Connects one pool to the pod, or the pods, of one target.

    `wake` is set by the pool, by the target and by requests to retry now.
    """

    def __init__(
        self,
        spec: ForwardSpec,
        *,
        queue: ConnectionQueue,
        pods: PodMonitor,
        recorder: StatusRecorder,
        wake: AutoResetEvent,
        engine: EngineContext,
        clusters: ClusterProvider,
        forward_id: str,
    ) -> None:
        self._spec = spec
        self._queue = queue
        self._recorder = recorder
        self._wake = wake
        self._engine = engine
        self._clusters = clusters
        self._name = f"forward {forward_id}"
        self._spread_over = _spread_over(spec.target)
        self._target = TargetFollower(
            spec.target, pods=pods, recorder=recorder, on_resolved=self._check_connected
        )
        self._schedule = DialSchedule(
            wake, lambda: engine.count_connecting(spec.target.cluster_key)
        )
        self._dialer = PoolDialer(
            spec, engine=engine, wake=wake, forward_id=forward_id, on_change=self._pool_changed,
            on_late_answer=self._process_late_answer, on_no_answer=self._process_no_answer,
            observer=PodRecorder(self._target, recorder),
        )  # fmt: skip
        self._access: ServerAccess | None = None
        self._stop_observing: Callable[[], None] = lambda: None
        self._connected: Resolved | None = None  # latest connection of the pool
        self._shown_pool: object = None  # of the pool, at the last change
        self._was_up = False
        self._failure: Reason | None = None  # of the latest dial or tunnel
        self.insecure = False  # the certificate of the API server is not verified
        self.waits_for_cluster = False  # the latest dial failed independently of the pod

    @property
    def pool(self) -> ForwardPool | None:
        """The pool; None before the first dial."""
        return self._dialer.pool

    @property
    def shares(self) -> list[PodShare]:
        """The pods that connections are spread over; see `PodPools.shares`."""
        return self.pool.shares if self.pool is not None else []

    @property
    def resolution(self) -> Resolution:
        """What the target resolves to."""
        return self._target.resolution

    @property
    def pod(self) -> PodRef | None:
        """Return the current pod, the awaited one, or the last one."""
        if self.resolution.pod is not None:
            return self.resolution.pod
        return self._connected.pod if self._connected is not None else None

    @property
    def not_ready_cause(self) -> Reason | None:
        """Return why the pool is down; None if nothing has failed.

        While the pool is up, why pod or port may not serve. Meaningless while it is stopped.
        """
        if not self._target.is_open:
            return self._failure
        login = self._login
        if login is not None and not self._was_up:
            return login
        if isinstance(self.resolution, Resolved):
            return self.resolution.caution if self._was_up else self._failure
        return self._target.missing_cause

    # ------------------------------------------------------------------------- The target

    def watch(self) -> TargetWatch:
        """Start to follow the target; raise `ConfigError` if the context cannot be used."""
        watch = self._target.open(self._clusters)
        self._access = access = self._clusters.access(*self._spec.target.cluster_key)
        self._stop_observing = access.observe_login(self._login_changed)
        if access.insecure and not self.insecure:
            # Front ends show it beside the context.
            _log.info(
                "%s: the certificate of the API server of %s is not verified",
                self._name, self._spec.target.context,
            )  # fmt: skip
        self.insecure = access.insecure
        self._failure = None
        self._target.observe(watch)
        return watch

    async def follow_watch(self, watch: TargetWatch) -> None:
        """Keep `resolution` current, until canceled."""
        while True:
            await self._target.next(watch)
            self._schedule.shorten_delay(time.monotonic())

    def _check_connected(self, resolution: Resolution) -> None:
        if self._connected is None or not same_tunnels(self._connected, resolution):
            self._queue.mark_pod_stale()

    def invalidate_pod(self, failure: ForwardError, pod: PodRef) -> None:
        """Stop using a pod whose sandbox a connection found gone."""
        connected = self._connected
        if connected is None or not self._target.is_open:
            return
        if any(each.pod.uid == pod.uid for each in pods_of(connected)):
            self._target.record_gone_sandbox(pod, failure)

    # --------------------------------------------------------------------------- Commands

    def retry_now(self) -> None:
        """Reset the delays and dial now."""
        self._schedule.retry_now()

    def probe(self) -> None:
        """Check that tunnels that appear to be up still answer."""
        self._dialer.probe()

    def restart(self, reason: Reason) -> None:
        """Cut the tunnels, cancel the current dial, and dial again now."""
        self._dialer.restart(reason)
        self.retry_now()

    def abort(self, reason: Reason) -> None:
        """Cut all tunnels at once; `follow` is not running."""
        self._was_up = False
        self._dialer.abort(reason)

    async def release(self) -> None:
        """Stop dialing and following; leave the pool as it is."""
        await self._dialer.stop()
        self._stop_observing()
        self._target.close()

    async def close(self) -> None:
        """Close the pool and wait for that, for a bounded time. Idempotent."""
        await self.release()
        await self._dialer.close()

    async def use_clusters(self, clusters: ClusterProvider) -> None:
        """Forget the target and the tunnels, for other clusters; `follow` is not running."""
        self._was_up = False
        await self.close()
        self._dialer.forget()
        self._target.forget()
        self._access = self._connected = self._failure = None
        self._queue.mark_pod_stale()
        self._clusters = clusters
        self.retry_now()

    def record_crash(self, error: Exception) -> float:
        """Turn any exception into a state; return the seconds until the next attempt."""
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        now = time.monotonic()
        self._was_up = False
        if isinstance(cause, TuiForwardError):
            self._failure = cause.reason
            delay = self._schedule.crashed(cause.reason, now)
            self._recorder.advance(state_machine.DialFailed(cause.reason, steady_time() + delay))
            return delay
        _log.error("%s failed and restarts", self._name, exc_info=error)
        delay = self._schedule.crashed(None, now)
        detail = f"{type(cause).__name__}: {error_text(cause)}"
        self._failure = Reason(code=ReasonCode.INTERNAL_ERROR, detail=detail)
        failed = Reason(code=ReasonCode.FORWARD_FAILED, detail=detail)
        self._recorder.advance(state_machine.Failed(failed, steady_time() + delay))
        return delay

    # --------------------------------------------------------------------- Reconciliation

    async def follow(self) -> None:
        """Keep the pool connected, until canceled."""
        while True:
            await self._wake.wait(await self._reconcile())

    async def _reconcile(self) -> float | None:
        """Act on the difference between target and pool; return the seconds until the next run."""
        dial = self._dialer.take_ended()
        if dial is not None:
            self._process_dial(dial)
        # After the dial: a tunnel may be up and gone before this task runs.
        if self.pool is not None and self._was_up and not self.pool.up:
            self._process_loss(self.pool)
        resolution = self.resolution
        if isinstance(resolution, Unresolved):
            await self._process_missing_pod(resolution)
            return None
        if self._dialer.is_dialing:
            assert self._dialer.target is not None
            if same_tunnels(self._dialer.target, resolution):
                self._show_login(resolution)
                return None
            await self._dialer.stop()
        pool = self.pool
        if pool is not None and pool.up and self._connected is not None:
            if same_tunnels(self._connected, resolution):
                self._keep_pod(self._connected, resolution, pool)
                return None
            self._was_up = False
            self._recorder.advance(
                state_machine.PodMoved(reasons.pod_moved(self._connected, resolution))
            )
        now = time.monotonic()
        pause = self._schedule.pause_s(now)
        if pause > 0:
            failure = self._failure
            if self._login is not None and failure is not None and _waits_for_credentials(failure):
                self._recorder.advance(state_machine.LoginPending(self._login))
            return pause
        # The only place that dials.
        self._schedule.attempted(now)
        self._recorder.advance(state_machine.DialStarted(reasons.connecting(resolution)))
        self._dialer.start(self._clusters, resolution)
        return None

    async def _process_missing_pod(self, resolution: Unresolved) -> None:
        await self._dialer.stop()
        # The previous pod gets no new connections; it keeps those that it has.
        self._was_up = False
        self._dialer.disconnect(resolution.reason)
        if self._login is not None and _waits_for_credentials(resolution.reason):
            self._recorder.advance(state_machine.LoginPending(self._login))
            return
        before = self._connected.pod if self._connected is not None else None
        lost = reasons.lost_pod(resolution, before)
        self._recorder.advance(state_machine.PodMissing(resolution.reason, lost))

    @property
    def _login(self) -> Reason | None:
        """What a login in progress waits for."""
        return self._access.login if self._access is not None else None

    def _login_changed(self) -> None:
        """Show what a plugin says now, or use what it has brought."""
        failure = self._failure
        if self._login is None and failure is not None and _waits_for_credentials(failure):
            self._schedule.end_delay()
        self._wake.set()

    def _show_login(self, resolved: Resolved) -> None:
        """Show that the current dial waits for a login, or no longer does."""
        if self._login is not None:
            self._recorder.advance(state_machine.LoginPending(self._login))
        elif is_login(self._recorder.status.reason.code):
            self._recorder.advance(state_machine.DialStarted(reasons.connecting(resolved)))

    # ------------------------------------------------------------------- Dials and losses

    def _process_dial(self, dial: asyncio.Task[None]) -> None:
        """Process the end of a dial."""
        resolved = self._dialer.target
        assert resolved is not None
        now = time.monotonic()
        failure = dial_failure(dial)
        if failure is not None:
            self._process_dial_failure(failure, resolved, now)
            return
        before, self._connected = self._connected, resolved
        self._failure = None
        self.waits_for_cluster = False
        self._schedule.succeeded(now)
        if before is not None and before.pod.uid != resolved.pod.uid and not self._spread_over:
            self._recorder.record(TimelineKind.POD, f"{before.pod.name} → {resolved.pod.name}")
        self._was_up = True

    def _process_dial_failure(self, error: TuiForwardError, resolved: Resolved, now: float) -> None:
        self._failure = error.reason
        asked_s = (error.retry_after_s or 0.0) if isinstance(error, ApiError) else 0.0
        delay = self._schedule.failed(error.reason, now, at_least_s=asked_s)
        gone = isinstance(error, ApiError) and error.not_found
        if gone and error.code is not ReasonCode.NODE_MISSING:
            self._target.invalidate(resolved.pod.uid)
        self.waits_for_cluster = reasons.affects_all_pods(error.reason)
        reason = reasons.dial_failed(error.reason, self._spec.target, resolved)
        self._recorder.last_event = reason_text(reason)
        self._recorder.advance(state_machine.DialFailed(reason, steady_time() + delay))

    def _process_no_answer(self, reason: Reason) -> None:
        """Show that a transport got no answer, unless a better reason is on show."""
        resolved = self._dialer.target
        if resolved is None or self._recorder.status.reason.code is not _CONNECTING:
            return
        shown = reasons.dial_failed(reason, self._spec.target, resolved)
        self._recorder.advance(state_machine.DialFailed(shown, None))

    def _process_late_answer(self, reason: Reason | None) -> None:
        """Replace "no answer" by what the API server says about it at last; see `LateAnswers`."""
        failure, resolved = self._failure, self._dialer.target
        if resolved is None or failure is None or failure.code not in _UNANSWERED:
            return
        if reason is None:  # the node answers again
            self._schedule.end_delay()
            return
        self._failure = reason
        shown = reasons.dial_failed(reason, self._spec.target, resolved)
        self._recorder.last_event = reason_text(shown)
        remaining_s = self._schedule.delay_s(time.monotonic())
        waits = not self._dialer.is_dialing and remaining_s > 0
        retry_at = steady_time() + remaining_s if waits else None
        self._recorder.advance(state_machine.DialFailed(shown, retry_at))

    def _keep_pod(self, before: Resolved, now: Resolved, pool: ForwardPool) -> None:
        """Publish that the pool is connected to the resolved pod, or to some of several."""
        earlier = {each.pod.uid: each.incarnation for each in pods_of(before)}
        for each in pods_of(now):
            if earlier.get(each.pod.uid, each.incarnation) != each.incarnation:
                text = f"a container of {each.pod.name} was restarted"
                self._recorder.record(TimelineKind.POD, text)
        self._connected = now
        pool.follow(now)
        if not pool.up:
            return  # the pods that it was connected to have left; this runs again
        self._queue.set_pod(now)
        reason = reasons.ready(now, pool.transport, self._spread_over)
        self._recorder.advance(state_machine.TunnelUp(reason))

    def _process_loss(self, pool: ForwardPool) -> None:
        self._was_up = False
        reason = pool.last_error.reason
        self._failure = None if self._dialer.was_aborted else reason
        self._schedule.lost(time.monotonic())
        self._recorder.advance(state_machine.TunnelLost(reason))

    def _pool_changed(self) -> None:
        if self.pool is not None and not self.pool.up:
            # At once, not when the task runs: no connection must get a pool that is down.
            self._queue.pause()
        if self.pool is None or self.pool.up != self._was_up:
            self._wake.set()
        # Not its round-trip time, which differs after every PING.
        shown = (self.pool.up, self.pool.tunnels, self.pool.transport) if self.pool else None
        if shown != self._shown_pool:
            self._shown_pool = shown
            self._engine.changed()


def _spread_over(target: Target) -> str:
    """Return whose pods the connections are spread over; empty if they go to one."""
    if target.balance is Balance.ONE:
        return ""
    return target.name if target.kind is TargetKind.SELECTOR else f"{target.kind}/{target.name}"


def _waits_for_credentials(reason: Reason) -> bool:
    """Whether this may be because requests wait for credentials, or were refused."""
    return reason.code is ReasonCode.TARGET_RESOLVING or blocked_by(reason) is BlockedBy.CREDENTIALS
