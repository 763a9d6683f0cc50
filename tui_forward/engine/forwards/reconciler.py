"""Reconciler of one forward: keeps a pool connected to the pod that the target resolves to.

Level-triggered: every event compares the resolved pod with the pool, so that no order of events
can make it wait for one that has passed. At most one `TunnelPool.connect` runs at a time, as a
task, so that a pod that changes can interrupt it. `StatusRecorder` gets `TunnelUp` only while the
pool is up, and `TunnelLost` before anything else is done about the loss.
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
from tui_forward.engine.forwards.backoff import Backoff
from tui_forward.engine.forwards.connection_queue import ConnectionQueue
from tui_forward.engine.forwards.pod_monitor import PodMonitor
from tui_forward.engine.forwards.status_recorder import StatusRecorder
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.errors import ApiError, ForwardError, TransportError, TuiForwardError
from tui_forward.model import (
    BlockedBy,
    ForwardSpec,
    PodRef,
    Reason,
    ReasonCode,
    Resolution,
    Resolved,
    TimelineKind,
    Unresolved,
)
from tui_forward.reasons import blocked_by, error_text, is_login, reason_text
from tui_forward.transport.access import ServerAccess

_log = logging.getLogger(__name__)

# What needs the user is retried automatically, but slowly: an exec plugin may open a browser.
_BLOCKED_RETRY_S = (15.0, 30.0, 60.0, 120.0, 300.0)
# Events may shorten a back-off, but not below half of its bound, or this.
_MAX_MIN_PAUSE_S = 3.0
# A stream opened towards the previous pod may report the end of that pod this much later.
_STALE_REPORT_S = 0.25
_CLOSE_TIMEOUT_S = 5.0
# A gone sandbox counts as the cause of a missing pod for this long.
_SANDBOX_CAUSE_S = 3.0
# An API server that has just started knows its roles within a fraction of a second.
_STARTING_RETRY_S = 0.5
# Longest pause that a server can ask for (`Retry-After`).
_MAX_RETRY_AFTER_S = 60.0
# How long a tunnel may take to answer a probe.
_PROBE_TIMEOUT_S = 3.0
_CONNECTING = ReasonCode.FORWARD_CONNECTING
_UNANSWERED = frozenset({ReasonCode.API_UPGRADE_TIMEOUT, ReasonCode.KUBELET_NO_ANSWER})


class Reconciler:
    """Connects one pool to the pod of one target.

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
        self._pods = pods
        self._recorder = recorder
        self._wake = wake
        self._engine = engine
        self._clusters = clusters
        self._forward_id = forward_id
        self._name = f"forward {forward_id}"
        self._watch: TargetWatch | None = None
        self._access: ServerAccess | None = None
        self._stop_observing: Callable[[], None] = lambda: None
        self._dial: asyncio.Task[None] | None = None
        self._dial_target: Resolved | None = None  # of the current or latest dial
        self._connected: Resolved | None = None  # latest connection of the pool
        self._moved_at = 0.0  # when the pool was connected to another pod than before
        self._was_up = False
        self._was_aborted = False
        self._failure: Reason | None = None  # of the latest dial or tunnel
        self._sandbox_gone: Reason | None = None
        self._sandbox_gone_at = 0.0
        self._backoff = Backoff()
        self._blocked_attempts = 0
        self._failed_at = 0.0
        self._retry_at = 0.0  # monotonic; a past time is "now"
        self.insecure = False  # the certificate of the API server is not verified
        self.waits_for_cluster = False  # the latest dial failed independently of the pod
        self.resolution: Resolution = Unresolved(reason=Reason(code=ReasonCode.TARGET_RESOLVING))
        self.pool: TunnelPool | None = None

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
        if self._watch is None:
            return self._failure
        login = self._login
        if login is not None and not self._was_up:
            return login
        if isinstance(self.resolution, Resolved):
            return self.resolution.caution if self._was_up else self._failure
        gone = self._sandbox_gone
        if gone is not None and time.monotonic() - self._sandbox_gone_at < _SANDBOX_CAUSE_S:
            return gone
        return self.resolution.reason

    # ------------------------------------------------------------------------- The target

    def watch(self) -> TargetWatch:
        """Start to follow the target; raise `ConfigError` if the context cannot be used."""
        self._watch = self._clusters.watch(self._spec.target)
        self._access = access = self._clusters.access(*self._spec.target.cluster_key)
        self._stop_observing = access.observe_login(self._login_changed)
        self.insecure = access.insecure
        self._failure = None
        self._pods.observe(self._watch)
        self._update_resolution(self._watch.current)
        return self._watch

    async def follow_watch(self, watch: TargetWatch) -> None:
        """Keep `resolution` current, until canceled."""
        while True:
            self._update_resolution(await watch.changed(self.resolution))
            # A pod event ends a delay, but not faster than repeated failures allow.
            pause = self._backoff.bound_s(time.monotonic(), competitors=self._count_dialing()) / 2
            self._retry_by(self._failed_at + min(_MAX_MIN_PAUSE_S, pause))

    def _update_resolution(self, resolution: Resolution) -> None:
        self.resolution = resolution
        if resolution.port is not None:
            self._recorder.remote_port = resolution.port
        connected = self._connected
        if connected is None or not _same_tunnels(connected, resolution):
            self._queue.mark_pod_stale()

    def invalidate_pod(self, failure: ForwardError) -> None:
        """Stop using the pod, whose sandbox a connection found gone."""
        pod = self._connected.pod if self._connected is not None else None
        if pod is None or self._watch is None:
            return
        if time.monotonic() - self._moved_at < _STALE_REPORT_S:
            return  # probably the previous pod's; the connection retries and reports again
        self._sandbox_gone, self._sandbox_gone_at = failure.reason, time.monotonic()
        self._recorder.record_problem(
            TimelineKind.POD, f"pod {pod.name}: {failure.message}", failure.code
        )
        self._watch.invalidate(pod.uid)

    # ----------------------------------------------------------------------------- Delays

    def _retry_by(self, earliest: float) -> None:
        self._retry_at = min(self._retry_at, earliest)
        self._wake.set()

    def retry_now(self) -> None:
        """Reset the delays and dial now."""
        self._backoff.reset()
        self._blocked_attempts = 0
        self._retry_by(0.0)

    def probe(self) -> None:
        """Check that tunnels that appear to be up still answer."""
        if self.pool is not None and self.pool.up:
            self.pool.probe(_PROBE_TIMEOUT_S)

    def restart(self, reason: Reason) -> None:
        """Cut the tunnels, cancel the current dial, and dial again now."""
        if self._dial is not None:
            self._dial.cancel()
        self._was_aborted = True
        if self.pool is not None:
            self.pool.abort(reason)
        self.retry_now()

    def _count_dialing(self) -> int:
        return self._engine.count_connecting(self._spec.target.cluster_key)

    def _delay_after(self, reason: Reason, now: float, at_least_s: float = 0.0) -> float:
        if reason.code is ReasonCode.API_STARTING:
            return _STARTING_RETRY_S
        if blocked_by(reason) is None:
            delay = self._backoff.failed(now, competitors=self._count_dialing())
            return max(delay, min(at_least_s, _MAX_RETRY_AFTER_S))
        delay = _BLOCKED_RETRY_S[min(self._blocked_attempts, len(_BLOCKED_RETRY_S) - 1)]
        self._blocked_attempts += 1
        return delay

    # --------------------------------------------------------------------- Reconciliation

    async def follow(self) -> None:
        """Keep the pool connected, until canceled."""
        while True:
            await self._wake.wait(await self._reconcile())

    async def release(self) -> None:
        """Stop dialing and following; leave the pool as it is."""
        await self._stop_dial()
        self._stop_observing()
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    async def close(self) -> None:
        """Close the pool and wait for that, for a bounded time. Idempotent."""
        await self.release()
        if self.pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self.pool.close()
        except TimeoutError:
            _log.warning("the tunnels of %s did not close in time", self._name)

    async def use_clusters(self, clusters: ClusterProvider) -> None:
        """Forget the target and the tunnels, for other clusters; `follow` is not running."""
        self._was_up = False
        await self.close()
        self.pool = self._access = self._connected = self._failure = None
        self.resolution = Unresolved(reason=Reason(code=ReasonCode.TARGET_RESOLVING))
        self._queue.mark_pod_stale()
        self._clusters = clusters
        self.retry_now()

    def abort(self, reason: Reason) -> None:
        """Cut all tunnels at once; `follow` is not running."""
        self._was_up = False
        if self.pool is not None:
            self.pool.abort(reason)

    def record_crash(self, error: Exception) -> float:
        """Turn any exception into a state; return the seconds until the next attempt."""
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        now = time.monotonic()
        self._was_up = False
        if isinstance(cause, TuiForwardError):
            self._failure = cause.reason
            delay = self._delay_after(cause.reason, now)
            self._retry_at = now + delay
            self._recorder.advance(state_machine.DialFailed(cause.reason, steady_time() + delay))
            return delay
        _log.error("%s failed and restarts", self._name, exc_info=error)
        delay = max(1.0, self._backoff.failed(now, competitors=self._count_dialing()))
        self._retry_at = now + delay
        detail = f"{type(cause).__name__}: {error_text(cause)}"
        self._failure = Reason(code=ReasonCode.INTERNAL_ERROR, detail=detail)
        failed = Reason(code=ReasonCode.FORWARD_FAILED, detail=detail)
        self._recorder.advance(state_machine.Failed(failed, steady_time() + delay))
        return delay

    async def _reconcile(self) -> float | None:
        """Act on the difference between target and pool; return the seconds until the next run."""
        if self._dial is not None and self._dial.done():
            self._process_dial(self._dial)
        # After the dial: a tunnel may be up and gone before this task runs.
        if self.pool is not None and self._was_up and not self.pool.up:
            await self._process_loss(self.pool)
        resolution = self.resolution
        if isinstance(resolution, Unresolved):
            await self._stop_dial()
            self._disconnect(resolution.reason)
            if self._login is not None and _waits_for_credentials(resolution.reason):
                self._recorder.advance(state_machine.LoginPending(self._login))
                return None
            before = self._connected.pod if self._connected is not None else None
            lost = reasons.lost_pod(resolution, before)
            self._recorder.advance(state_machine.PodMissing(resolution.reason, lost))
            return None
        if self._dial is not None:
            assert self._dial_target is not None
            if _same_tunnels(self._dial_target, resolution):
                self._show_login(resolution)
                return None
            await self._stop_dial()
        pool = self.pool
        if pool is not None and pool.up and self._connected is not None:
            if _same_tunnels(self._connected, resolution):
                self._keep_pod(self._connected, resolution, pool)
                return None
            self._was_up = False
            self._recorder.advance(
                state_machine.PodMoved(reasons.pod_moved(self._connected, resolution))
            )
        now = time.monotonic()
        # The only place that dials. Not even an event that ends a delay makes it spin.
        pause = max(self._retry_at - now, self._backoff.earliest_s(now))
        if pause > 0:
            failure = self._failure
            if self._login is not None and failure is not None and _waits_for_credentials(failure):
                self._recorder.advance(state_machine.LoginPending(self._login))
            return pause
        self._backoff.attempted(now)
        self._start_dial(resolution)
        return None

    @property
    def _login(self) -> Reason | None:
        """What a login in progress waits for."""
        return self._access.login if self._access is not None else None

    def _login_changed(self) -> None:
        """Show what a plugin says now, or use what it has brought."""
        failure = self._failure
        if self._login is None and failure is not None and _waits_for_credentials(failure):
            self._retry_by(0.0)
        self._wake.set()

    def _show_login(self, resolved: Resolved) -> None:
        """Show that the current dial waits for a login, or no longer does."""
        if self._login is not None:
            self._recorder.advance(state_machine.LoginPending(self._login))
        elif is_login(self._recorder.status.reason.code):
            self._recorder.advance(state_machine.DialStarted(reasons.connecting(resolved)))

    def _start_dial(self, resolved: Resolved) -> None:
        self._recorder.advance(state_machine.DialStarted(reasons.connecting(resolved)))
        self._dial_target = resolved
        self._was_aborted = False
        self._dial = asyncio.create_task(self._connect(resolved), name=f"{self._name}: dial")
        self._dial.add_done_callback(lambda _: self._wake.set())

    async def _connect(self, resolved: Resolved) -> None:
        if self.pool is None:
            self.pool = TunnelPool(
                self._clusters.access(*self._spec.target.cluster_key),
                transport=self._spec.transport,
                transport_cache=self._engine.transport_cache,
                limits=self._engine.limits,
                on_change=self._pool_changed,
                forward_id=self._forward_id,
                late_answers=self._engine.late_answers,
                on_late_answer=self._process_late_answer,
                on_no_answer=self._process_no_answer,
            )
        await self.pool.connect(resolved.pod, resolved.port)

    async def _stop_dial(self) -> None:
        dial, self._dial = self._dial, None
        if dial is not None:
            dial.cancel()
            await asyncio.gather(dial, return_exceptions=True)

    def _process_dial(self, dial: asyncio.Task[None]) -> None:
        """Process the end of a dial."""
        resolved, pool, self._dial = self._dial_target, self.pool, None
        assert resolved is not None
        if dial.cancelled() and self._was_aborted:
            return  # by `restart`
        now = time.monotonic()
        failure = _dial_failure(dial)
        if failure is not None:
            self._process_dial_failure(failure, resolved, now)
            return
        assert pool is not None
        before, self._connected = self._connected, resolved
        self._failure = None
        self._retry_at = 0.0
        self._blocked_attempts = 0
        self.waits_for_cluster = False
        self._backoff.succeeded(now)
        if before is not None and before.pod.uid != resolved.pod.uid:
            self._moved_at = now
            self._recorder.record(TimelineKind.POD, f"{before.pod.name} → {resolved.pod.name}")
        self._was_up = True

    def _process_dial_failure(self, error: TuiForwardError, resolved: Resolved, now: float) -> None:
        self._failure = error.reason
        asked_s = (error.retry_after_s or 0.0) if isinstance(error, ApiError) else 0.0
        delay = self._delay_after(error.reason, now, asked_s)
        self._failed_at = now
        self._retry_at = now + delay
        gone = isinstance(error, ApiError) and error.not_found
        if gone and error.code is not ReasonCode.NODE_MISSING and self._watch is not None:
            self._watch.invalidate(resolved.pod.uid)
        self.waits_for_cluster = reasons.affects_all_pods(error.reason)
        reason = reasons.dial_failed(error.reason, self._spec.target, resolved)
        self._recorder.last_event = reason_text(reason)
        self._recorder.advance(state_machine.DialFailed(reason, steady_time() + delay))

    def _process_no_answer(self, reason: Reason) -> None:
        """Show that a transport got no answer, unless a better reason is on show."""
        resolved = self._dial_target
        if resolved is None or self._recorder.status.reason.code is not _CONNECTING:
            return
        shown = reasons.dial_failed(reason, self._spec.target, resolved)
        self._recorder.advance(state_machine.DialFailed(shown, None))

    def _process_late_answer(self, reason: Reason | None) -> None:
        """Replace "no answer" by what the API server says about it at last; see `LateAnswers`."""
        failure, resolved = self._failure, self._dial_target
        if resolved is None or failure is None or failure.code not in _UNANSWERED:
            return
        if reason is None:  # the node answers again
            self._retry_by(0.0)
            return
        self._failure = reason
        shown = reasons.dial_failed(reason, self._spec.target, resolved)
        self._recorder.last_event = reason_text(shown)
        remaining_s = self._retry_at - time.monotonic()
        retry_at = steady_time() + remaining_s if self._dial is None and remaining_s > 0 else None
        self._recorder.advance(state_machine.DialFailed(shown, retry_at))

    def _keep_pod(self, before: Resolved, now: Resolved, pool: TunnelPool) -> None:
        """Publish that the pool is connected to the resolved pod."""
        if before.incarnation != now.incarnation:
            self._recorder.record(TimelineKind.POD, f"a container of {now.pod.name} was restarted")
        self._connected = now
        self._queue.set_pod(now)
        self._recorder.advance(state_machine.TunnelUp(reasons.ready(now, pool.transport)))

    async def _process_loss(self, pool: TunnelPool) -> None:
        self._was_up = False
        error = await pool.wait_lost()  # does not wait: the pool is down
        self._failure = None if self._was_aborted else error.reason
        now = time.monotonic()
        self._failed_at = now
        self._retry_at = now + self._backoff.failed(now, competitors=self._count_dialing())
        self._recorder.advance(state_machine.TunnelLost(error.reason))

    def _disconnect(self, reason: Reason) -> None:
        """Stop using the previous pod for new connections; keep those that it has."""
        self._was_up = False
        if self.pool is not None and self.pool.up:
            self.pool.disconnect(reason)

    def _pool_changed(self) -> None:
        if self.pool is not None and not self.pool.up:
            # At once, not when the task runs: no connection must get a pool that is down.
            self._queue.pause()
        if self.pool is None or self.pool.up != self._was_up:
            self._wake.set()
        self._engine.changed()


def _dial_failure(dial: asyncio.Task[None]) -> TuiForwardError | None:
    """Return why a dial has failed, whatever ended it; None if it has not."""
    if dial.cancelled():
        return TransportError(Reason(code=ReasonCode.TUNNEL_NOT_OPEN))
    error = dial.exception()
    if error is None or isinstance(error, TuiForwardError):
        return error
    _log.error("a dial failed unexpectedly", exc_info=error)
    detail = f"{type(error).__name__}: {error_text(error)}"
    return ForwardError(Reason(code=ReasonCode.INTERNAL_ERROR, detail=detail))


def _waits_for_credentials(reason: Reason) -> bool:
    """Whether this may be because requests wait for credentials, or were refused."""
    return reason.code is ReasonCode.TARGET_RESOLVING or blocked_by(reason) is BlockedBy.CREDENTIALS


def _same_tunnels(one: Resolved, other: Resolution) -> bool:
    """Return whether two resolutions need the same tunnels."""
    return isinstance(other, Resolved) and (one.pod.uid, one.port) == (other.pod.uid, other.port)
