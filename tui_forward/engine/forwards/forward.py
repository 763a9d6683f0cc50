"""One forward: its listener, the reconciler of its target, and its connections.

The forward is a supervised task: every error in it becomes a state and a retry.
Its listener is opened once and closed by `stop` alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Coroutine, Iterator

import msgspec

from tui_forward.common.clock import correction_s, steady_time
from tui_forward.common.tasks import spawn, spawn_restarting
from tui_forward.engine.connections.client_socket import close_socket
from tui_forward.engine.connections.listener import Listener
from tui_forward.engine.connections.local_ports import InheritedSockets
from tui_forward.engine.connections.proxy_client import ProxyClient
from tui_forward.engine.context import ClusterProvider, EngineContext
from tui_forward.engine.forwards import state_machine
from tui_forward.engine.forwards.auto_reset_event import AutoResetEvent
from tui_forward.engine.forwards.connection_queue import ConnectionQueue
from tui_forward.engine.forwards.connection_table import ConnectionTable
from tui_forward.engine.forwards.open_listener import open_listener, open_missing_addresses
from tui_forward.engine.forwards.pod_monitor import PodMonitor
from tui_forward.engine.forwards.reconciler import Reconciler
from tui_forward.engine.forwards.state_machine import Status
from tui_forward.engine.forwards.status_recorder import StatusRecorder
from tui_forward.model import (
    Connection,
    EventKind,
    Forward,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    Reason,
    ReasonCode,
    TimelineEntry,
    TimelineKind,
    UnansweredConnections,
)
from tui_forward.reasons import expired_at, reason_text, short_reason

# Connections accepted and held in this process while no tunnel is up; more wait in the
# kernel's backlog, where they cost no descriptor of ours.
_MAX_QUEUED = 2048


class ActiveForward:
    """A forward that is active; its spec has context and namespace filled in."""

    def __init__(
        self, forward_id: str, spec: ForwardSpec, engine: EngineContext, clusters: ClusterProvider
    ) -> None:
        self.id = forward_id
        self.spec = spec
        self._engine = engine
        self._wake = AutoResetEvent()
        self._recorder = StatusRecorder(forward_id, spec, engine, on_status=self._status_changed)
        pods = PodMonitor(lambda: self._table.pods_changed())
        self._queue = ConnectionQueue(
            self._recorder,
            pods=pods,
            on_queued=self._queued_changed,
            on_sandbox_gone=lambda failure, pod: self._reconciler.invalidate_pod(failure, pod),
            preconnect=spec.preconnect,
            preconnect_age_s=spec.preconnect_age_s,
        )
        self._reconciler = Reconciler(
            spec,
            queue=self._queue,
            pods=pods,
            recorder=self._recorder,
            wake=self._wake,
            engine=engine,
            clusters=clusters,
            forward_id=forward_id,
        )
        self._table = ConnectionTable(
            forward_id, spec, owner=self._queue, recorder=self._recorder, engine=engine
        )
        self._listener: Listener | None = None
        self._task: asyncio.Task[None] | None = None
        self._lifecycle = asyncio.Lock()  # pause, resume and stop: one after the other
        self._commands: set[asyncio.Task[None]] = set()
        self._is_stopped = False

    # --------------------------------------------------------------------------- Commands

    def begin(self) -> None:
        """Start the forward's task. Call once."""
        self._recorder.begin("started")
        self._start_task()

    async def stop(self, code: ReasonCode = ReasonCode.FORWARD_STOPPED) -> None:
        """Stop it for good, with its connections, within a few seconds. Idempotent."""
        await self._run_to_completion(self._stop(Reason(code=code)))

    async def _stop(self, reason: Reason) -> None:
        # First, so that another program can bind the port at once.
        await self._close_listener()
        async with self._lifecycle:
            if self._is_stopped:
                return
            self._is_stopped = True
            stopped = Reason(code=ReasonCode.CONNECTION_FORWARD_STOPPED)
            self._queue.fail_waiting(stopped)
            await self._cancel_task()
            await self._close_listener()  # opened meanwhile
            await self._table.end_all(stopped)
            await self._reconciler.close()
            self._recorder.advance(state_machine.Stopped(reason))
            self._recorder.emit(EventKind.STOPPED)

    async def _close_listener(self) -> None:
        """Close the port in this process and for the next engine. Idempotent."""
        listener = self._listener
        if listener is None or listener.is_closed:
            return
        listener.close()
        for address in listener.addresses:
            self._engine.socket_holder.release(address)
        await self._engine.socket_holder.flush()

    async def pause(self) -> None:
        """Stop forwarding; keep the forward and its port. Idempotent."""
        await self._run_to_completion(self._pause())

    async def _pause(self) -> None:
        async with self._lifecycle:
            if self._is_stopped or self._recorder.status.paused:
                return
            paused = Reason(code=ReasonCode.CONNECTION_FORWARD_PAUSED)
            self._queue.fail_waiting(paused)
            await self._cancel_task()
            self._reconciler.abort(paused)
            await self._table.end_all(paused)
            self._recorder.advance(state_machine.Paused())
            if self._listener is not None:
                self._listener.resume()  # to refuse, not to leave callers in the backlog

    async def _run_to_completion(self, command: Coroutine[None, None, None]) -> None:
        """Run a command to its end, even if its caller is canceled."""
        task = spawn(command, name=f"forward {self.id}: command")
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)
        await asyncio.shield(task)

    async def resume(self) -> None:
        """Undo `pause`. Idempotent."""
        async with self._lifecycle:
            if self._is_stopped or not self._recorder.status.paused:
                return
            self._queue.clear_failure()
            self._recorder.advance(state_machine.Resumed())
            self._recorder.begin("resumed")
            self._reconciler.retry_now()
            self._start_task()

    async def use_clusters(self, clusters: ClusterProvider) -> None:
        """Connect through other clusters, with other credentials; the tunnels are cut."""
        await self._run_to_completion(self._use_clusters(clusters))

    async def _use_clusters(self, clusters: ClusterProvider) -> None:
        async with self._lifecycle:
            if self._is_stopped:
                return
            await self._cancel_task()
            reason = Reason(code=ReasonCode.FORWARD_RECONNECTING)
            self._recorder.advance(state_machine.TunnelLost(reason))
            await self._reconciler.use_clusters(clusters)
            if not self._recorder.status.paused:
                self._start_task()

    def reconnect(self) -> None:
        """Cut the tunnels, reset every delay, and dial now."""
        if self._is_stopped or self._recorder.status.paused:
            return
        self._recorder.record(TimelineKind.NOTE, "reconnect requested")
        self._reconciler.restart(Reason(code=ReasonCode.FORWARD_RECONNECTING))

    def retry_if_waiting(self, reason: str) -> None:
        """Retry now if it waits, and probe its tunnels if it is ready; the environment changed."""
        status = self._recorder.status
        if self._is_stopped or status.paused:
            return
        if status.retry_at is not None or status.state is ForwardState.BLOCKED:
            self._recorder.record(TimelineKind.NOTE, f"{reason}: trying again")
            self._reconciler.retry_now()
        elif status.admits:
            self._reconciler.probe()

    def cut_backoff(self) -> None:
        """Retry now if it waits for the API server, which another forward has reached."""
        if not self._is_stopped and self._reconciler.waits_for_cluster:
            self._recorder.record(
                TimelineKind.NOTE, "another forward has reached the API server: trying again"
            )
            self._reconciler.retry_now()

    def serve(
        self, sock: socket.socket, client: LocalAddress, local: LocalAddress,
        proxy_client: ProxyClient,
    ) -> None:  # fmt: skip
        """Serve a socket that the cluster proxy has accepted; it belongs to the forward now."""
        if self._recorder.status.paused or self._is_stopped:
            paused = Reason(code=ReasonCode.CONNECTION_FORWARD_PAUSED)
            with contextlib.suppress(OSError):
                sock.send(proxy_client.failed(paused))
            close_socket(sock, reset=False)
            self._recorder.record(TimelineKind.CONNECTION, "refused a connection while paused")
            return
        self._table.add(sock, client, local, proxy_client)

    def close_connection(self, connection_id: int) -> bool:
        """Close one connection; return False if it is not of this forward, or has ended."""
        reason = Reason(code=ReasonCode.CONNECTION_CLOSED_BY_USER)
        return self._table.close(connection_id, reason)

    # -------------------------------------------------------- Handover to another process

    def hold(self) -> InheritedSockets:
        """Stop accepting for now, and return the listening sockets."""
        return self._listener.hold() if self._listener is not None else {}

    def release(self) -> None:
        """Undo `hold`. Idempotent."""
        if self._listener is not None:
            self._listener.release()

    def detach(self) -> None:
        """Close the listener, which another process has taken over; keep the connections."""
        if self._listener is not None:
            self._listener.close()

    @property
    def is_stopped(self) -> bool:
        """Return whether it is stopped for good."""
        return self._is_stopped

    @property
    def is_idle(self) -> bool:
        """Return whether there are no connections."""
        return not len(self._table)

    # ---------------------------------------------------------------------------- Reading

    @property
    def state(self) -> ForwardState:
        """Return the current state."""
        return self._recorder.status.state

    @property
    def reason(self) -> Reason:
        """Return the reason of the current state."""
        return self._recorder.status.reason

    @property
    def addresses(self) -> tuple[LocalAddress, ...]:
        """Return the addresses it listens on."""
        return self._listener.addresses if self._listener is not None else ()

    @property
    def timeline(self) -> tuple[TimelineEntry, ...]:
        """Return the timeline, oldest entry first."""
        return self._recorder.timeline

    @property
    def not_ready_cause(self) -> Reason | None:
        """Return why it is not ready; see `Reconciler.not_ready_cause`."""
        return self._reconciler.not_ready_cause

    def snapshot(self) -> Forward:
        """Return the forward as it is now."""
        recorder, status = self._recorder, self._recorder.status
        pool = self._reconciler.pool if status.admits else None
        correction = correction_s()
        counters = self._queue.counters
        shares, earlier_pods = self._table.count_by_pod(self._reconciler.shares)
        return Forward(
            id=self.id,
            spec=self.spec,
            state=status.state,
            code=status.reason.code,
            reason=reason_text(status.reason),
            short_reason=short_reason(status.reason),
            expired_at=expired_at(status.reason),
            hint=status.hint,
            blocked_by=status.blocked_by,
            since=recorder.since + correction,
            started_at=recorder.started_at + correction,
            retry_at=None if status.retry_at is None else status.retry_at + correction,
            paused=status.paused,
            listening=self.addresses,
            pod=self._reconciler.pod,
            remote_port=recorder.remote_port,
            transport=pool.transport if pool is not None else None,
            tunnels=pool.tunnels if pool is not None else 0,
            round_trip_s=pool.round_trip_s if pool is not None else None,
            queued=self._queue.queued,
            counters=counters.snapshot(),
            first_byte=counters.first_byte.snapshot(),
            first_bytes=counters.first_byte.histogram(),
            reconnects=recorder.reconnects,
            failed_at=None if counters.failed_at is None else counters.failed_at + correction,
            last_event=recorder.last_event,
            insecure=self._reconciler.insecure,
            warnings=recorder.warnings(self._queue.refusals),
            preconnect=self._queue.preconnector.status,
            pods=shares,
            earlier_pods=earlier_pods,
            unanswered=self._unanswered(),
        )

    def _unanswered(self) -> UnansweredConnections | None:
        if self._recorder.status.state is not ForwardState.READY:
            return None
        found, correction = self._table.unanswered(steady_time()), correction_s()
        if found is None or not correction:
            return found
        return msgspec.structs.replace(found, since=found.since + correction)

    def connections(self, now: float) -> Iterator[Connection]:
        """Yield connections closed within the last 30 s, then the open ones."""
        return self._table.snapshot(now)

    # ------------------------------------------------------------------------------- Task

    def _start_task(self) -> None:
        self._task = spawn_restarting(self._run, name=f"forward {self.id}")

    async def _cancel_task(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                watch = self._reconciler.watch()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(
                        self._reconciler.follow_watch(watch), name=f"forward {self.id}: target"
                    )
                    tasks.create_task(self._listen_and_follow(), name=f"forward {self.id}: work")
            except Exception as error:  # noqa: BLE001 - every error becomes a state and a retry
                delay = self._reconciler.record_crash(error)
            finally:
                await self._reconciler.release()
            # What has set it until now belongs to the attempt that failed.
            self._wake.clear()
            await self._wake.wait(delay)

    async def _listen_and_follow(self) -> None:
        if self.spec.proxy:
            await self._reconciler.follow()
            return
        if self._listener is None:
            self._listener = await open_listener(
                self.spec,
                resolution=lambda: self._reconciler.resolution,
                wake=self._wake,
                recorder=self._recorder,
                engine=self._engine,
                on_accept=self._accepted,
            )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                open_missing_addresses(
                    self._listener, self.spec, recorder=self._recorder, engine=self._engine
                ),
                name=f"forward {self.id}: other local addresses",
            )
            await self._reconciler.follow()

    # ------------------------------------------------------------- Callbacks of its parts

    def _accepted(self, sock: socket.socket, client: LocalAddress, local: LocalAddress) -> None:
        if self._recorder.status.paused or self._is_stopped:
            close_socket(sock, reset=True)
            self._recorder.record(TimelineKind.CONNECTION, "refused a connection while paused")
            return
        self._table.add(sock, client, local)

    def _status_changed(self, before: Status, after: Status) -> None:
        if self.spec.proxy:
            self._refuse_while_blocked(before, after)
        if before.admits and not after.admits:
            self._queue.pause()
        if after.admits:
            assert self._reconciler.pool is not None
            self._queue.admit(self._reconciler.pool)
            if self._listener is not None:
                self._listener.resume()
        if after.state is ForwardState.READY:
            self._engine.became_ready(self.spec.target.cluster_key)

    def _refuse_while_blocked(self, before: Status, after: Status) -> None:
        """Answer clients of the proxy at once while only the user can help."""
        if after.state is ForwardState.BLOCKED:
            self._queue.fail_waiting(after.reason)
        elif before.state is ForwardState.BLOCKED and not after.paused:
            self._queue.clear_failure()

    def _queued_changed(self, queued: int) -> None:
        if self._listener is not None:
            if queued >= _MAX_QUEUED:
                self._listener.pause()
            elif queued <= _MAX_QUEUED // 2:
                self._listener.resume()
        self._engine.changed()
