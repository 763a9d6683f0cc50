"""One forward: a local end, a follower of its target, and the connections between them.

The forward is a supervised task: whatever goes wrong in it becomes a state and a retry.
Its listener is opened once and closed by `stop` alone.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Iterator

from tui_forward.common.tasks import spawn, spawn_restarting
from tui_forward.engine.connections.client_socket import close_socket
from tui_forward.engine.connections.listener import Listener
from tui_forward.engine.connections.local_ports import InheritedSockets
from tui_forward.engine.context import EngineContext
from tui_forward.engine.forwards import state_machine
from tui_forward.engine.forwards.auto_reset_event import AutoResetEvent
from tui_forward.engine.forwards.connection_queue import ConnectionQueue
from tui_forward.engine.forwards.connection_table import ConnectionTable
from tui_forward.engine.forwards.open_listener import open_listener
from tui_forward.engine.forwards.reconciler import Reconciler
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
)
from tui_forward.reasons import reason_text

# Connections accepted and held in this process while no tunnel is up; more wait in the
# kernel's backlog, where they cost no descriptor of ours.
_MAX_QUEUED = 2048


class ActiveForward:
    """A forward that is switched on.

    Args:
        forward_id: Its id in the session.
        spec: What the person asked for, with context and namespace filled in.
        world: The engine around it.
    """

    def __init__(self, forward_id: str, spec: ForwardSpec, world: EngineContext) -> None:
        self.id = forward_id
        self.spec = spec
        self._world = world
        self._alarm = AutoResetEvent()
        self._story = StatusRecorder(forward_id, spec, world, on_state=self._state_changed)
        self._gate = ConnectionQueue(
            self._story,
            on_parked=self._queued_changed,
            on_sandbox_gone=lambda failure: self._follower.invalidate_pod(failure),
        )
        self._follower = Reconciler(
            spec,
            gate=self._gate,
            story=self._story,
            alarm=self._alarm,
            world=world,
            forward_id=forward_id,
        )
        self._table = ConnectionTable(
            forward_id, spec, gate=self._gate, story=self._story, world=world
        )
        self._listener: Listener | None = None
        self._life: asyncio.Task[None] | None = None
        self._lifecycle = asyncio.Lock()  # pause, resume and stop: one after the other
        self._commands: set[asyncio.Task[None]] = set()
        self._over = False

    # ----------------------------------------------------------------------------------
    # Commands
    # ----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the forward's task. Call once."""
        self._story.begin("started")
        self._live_on()

    async def stop(self, code: ReasonCode = ReasonCode.FORWARD_STOPPED) -> None:
        """Stop it for good, with its connections, within a few seconds. Idempotent."""
        await self._to_its_end(self._stop(Reason(code=code)))

    async def _stop(self, reason: Reason) -> None:
        async with self._lifecycle:
            if self._over:
                return
            self._over = True
            # Whoever waits for the port may have it at once.
            if self._listener is not None:
                self._listener.close()
            stopped = Reason(code=ReasonCode.CONNECTION_FORWARD_STOPPED)
            self._gate.fail_waiting(stopped)
            await self._end_life()
            await self._table.end_all(stopped)
            await self._follower.close()
            self._story.advance(state_machine.Stopped(reason))
            self._story.emit(EventKind.STOPPED)

    async def pause(self) -> None:
        """Stop forwarding; keep the forward and its port. Idempotent."""
        await self._to_its_end(self._pause())

    async def _pause(self) -> None:
        async with self._lifecycle:
            if self._over or self._story.status.paused:
                return
            paused = Reason(code=ReasonCode.CONNECTION_FORWARD_PAUSED)
            self._gate.fail_waiting(paused)
            await self._end_life()
            self._follower.abort(paused)
            await self._table.end_all(paused)
            self._story.advance(state_machine.Paused())
            if self._listener is not None:
                self._listener.resume()  # to refuse, not to leave callers in the backlog

    async def _to_its_end(self, command: Coroutine[None, None, None]) -> None:
        """Run a command whole, even if whoever gave it goes away: half a pause is a lie."""
        task = spawn(command, name=f"forward {self.id}: command")
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)
        await asyncio.shield(task)

    async def resume(self) -> None:
        """Undo `pause`. Idempotent."""
        async with self._lifecycle:
            if self._over or not self._story.status.paused:
                return
            self._gate.clear_failure()
            self._story.advance(state_machine.Resumed())
            self._story.begin("resumed")
            self._follower.retry_now()
            self._live_on()

    def reconnect(self) -> None:
        """Cut the tunnels, forget every delay, and try again now."""
        if self._over or self._story.status.paused:
            return
        self._story.record(TimelineKind.NOTE, "reconnect requested")
        self._follower.restart(Reason(code=ReasonCode.FORWARD_RECONNECTING))

    def retry_if_waiting(self, reason: str) -> None:
        """The world has changed: try again if it waits, make sure if it seems to work."""
        status = self._story.status
        if self._over or status.paused:
            return
        if status.retry_at is not None or status.state is ForwardState.BLOCKED:
            self._story.record(TimelineKind.NOTE, f"{reason}: trying again")
            self._follower.retry_now()
        elif status.state is ForwardState.READY:
            self._follower.probe()

    def cut_backoff(self) -> None:
        """Another forward of the same context got through to the API server."""
        if not self._over and self._follower.waits_for_cluster:
            self._story.record(TimelineKind.NOTE, "the API server answers others: trying again")
            self._follower.retry_now()

    def close_connection(self, connection_id: int) -> bool:
        """End one connection; False when it is not one of ours, or has ended."""
        reason = Reason(code=ReasonCode.CONNECTION_CLOSED_BY_USER)
        return self._table.close(connection_id, reason)

    # ----------------------------------------------------------------------------------
    # Being handed over to another process
    # ----------------------------------------------------------------------------------

    def hold(self) -> InheritedSockets:
        """Accept nothing for now; gives the sockets that listen."""
        return self._listener.hold() if self._listener is not None else {}

    def release(self) -> None:
        """Undo `hold`. Idempotent."""
        if self._listener is not None:
            self._listener.release()

    def detach(self) -> None:
        """Listen no more, for another process does; go on for the connections there are."""
        if self._listener is not None:
            self._listener.close()

    @property
    def is_idle(self) -> bool:
        """Whether there are no connections."""
        return not len(self._table)

    # ----------------------------------------------------------------------------------
    # Reading
    # ----------------------------------------------------------------------------------

    @property
    def state(self) -> ForwardState:
        """The state now."""
        return self._story.status.state

    @property
    def addresses(self) -> tuple[LocalAddress, ...]:
        """What it listens on."""
        return self._listener.addresses if self._listener is not None else ()

    @property
    def timeline(self) -> tuple[TimelineEntry, ...]:
        """What happened, oldest first."""
        return self._story.timeline

    @property
    def not_ready_cause(self) -> Reason | None:
        """Why it is not ready; see `Reconciler.not_ready_cause`."""
        return self._follower.not_ready_cause

    def snapshot(self) -> Forward:
        """The forward as it stands."""
        story, status = self._story, self._story.status
        pool = self._follower.pool if status.state is ForwardState.READY else None
        return Forward(
            id=self.id,
            spec=self.spec,
            state=status.state,
            code=status.reason.code,
            reason=reason_text(status.reason),
            hint=status.hint,
            blocked_by=status.blocked_by,
            since=story.since,
            started_at=story.started_at,
            retry_at=status.retry_at,
            paused=status.paused,
            listening=self.addresses,
            pod=self._follower.pod,
            remote_port=story.remote_port,
            transport=pool.transport if pool is not None else None,
            tunnels=pool.tunnels if pool is not None else 0,
            round_trip_s=pool.round_trip_s if pool is not None else None,
            queued=self._gate.queued,
            counters=self._gate.counters.snapshot(),
            last_event=story.last_event,
        )

    def connections(self, now: float) -> Iterator[Connection]:
        """Connections closed within the last half minute, then those that live."""
        return self._table.snapshot(now)

    # ----------------------------------------------------------------------------------
    # Life
    # ----------------------------------------------------------------------------------

    def _live_on(self) -> None:
        self._life = spawn_restarting(self._live, name=f"forward {self.id}")

    async def _end_life(self) -> None:
        life, self._life = self._life, None
        if life is not None:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)

    async def _live(self) -> None:
        while True:
            delay = 0.0
            try:
                watch = self._follower.watch()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(
                        self._follower.follow_watch(watch), name=f"forward {self.id}: target"
                    )
                    tasks.create_task(self._work(), name=f"forward {self.id}: work")
            except Exception as error:  # noqa: BLE001 - whatever it is becomes a state and a retry
                delay = self._follower.record_crash(error)
            finally:
                await self._follower.release()
            await self._alarm.wait(delay)

    async def _work(self) -> None:
        if self._listener is None:
            self._listener = await open_listener(
                self.spec,
                resolution=lambda: self._follower.resolution,
                alarm=self._alarm,
                story=self._story,
                world=self._world,
                on_accept=self._accepted,
            )
        await self._follower.follow()

    # ----------------------------------------------------------------------------------
    # What the parts tell one another
    # ----------------------------------------------------------------------------------

    def _accepted(self, sock: socket.socket, client: LocalAddress, ours: LocalAddress) -> None:
        if self._story.status.paused or self._over:
            close_socket(sock, reset=True)
            self._story.record(TimelineKind.CONNECTION, "refused a connection while paused")
            return
        self._table.add(sock, client, ours)

    def _state_changed(self, before: ForwardState, after: ForwardState) -> None:
        if before is ForwardState.READY:
            self._gate.pause()
        if after is ForwardState.READY:
            assert self._follower.pool is not None
            self._gate.admit(self._follower.pool)
            if self._listener is not None:
                self._listener.resume()
            self._world.became_ready(self.spec.target.context)

    def _queued_changed(self, queued: int) -> None:
        if self._listener is not None:
            if queued >= _MAX_QUEUED:
                self._listener.pause()
            elif queued <= _MAX_QUEUED // 2:
                self._listener.resume()
        self._world.changed()
