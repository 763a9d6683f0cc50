"""The engine: all forwards of a session, and what they share."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from tui_forward.common.clock import steady_time
from tui_forward.common.local_addresses import may_listen_on
from tui_forward.common.tasks import spawn, spawn_restarting
from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.engine.connections.counters import SessionTotals
from tui_forward.engine.connections.local_ports import InheritedSockets, conflict
from tui_forward.engine.context import ClusterProvider, NullSocketHolder, SocketHolder
from tui_forward.engine.event_log import EventLog
from tui_forward.engine.forwards.forward import ActiveForward
from tui_forward.engine.forwards.port_check import check_port
from tui_forward.engine.host.file_limit import raise_file_limit
from tui_forward.engine.host.heap_trimmer import HeapTrimmer
from tui_forward.engine.host.process_lookup import ClientProcessLookup
from tui_forward.engine.host.system_monitor import SystemMonitor
from tui_forward.engine.limits import Limits
from tui_forward.engine.proxy.server import ProxyServer
from tui_forward.engine.spec_validation import validate_spec
from tui_forward.engine.tunnels.late_answers import LateAnswers
from tui_forward.engine.tunnels.transport_cache import TransportCache
from tui_forward.errors import UsageError
from tui_forward.model import (
    ClusterKey,
    Connection,
    Counters,
    Event,
    Forward,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    PortCheck,
    ProxyInfo,
    ProxySpec,
    Reason,
    ReasonCode,
    TimelineEntry,
    TrafficHistory,
)

_log = logging.getLogger(__name__)

# Roughly what opening a connection leaves behind in the heap.
_HEAP_BYTES_PER_CONNECTION = 16 * 1024
# Inherited forwards are started with the process, so they claim their sockets at once.
_CLAIM_TIMEOUT_S = 10.0
_DRAIN_CHECK_INTERVAL_S = 0.1
# More than a forward needs to end its connections.
_STOP_TIMEOUT_S = 8.0
_HISTORY_INTERVAL_S = 1.0
_CONNECTING_STATES = frozenset({ForwardState.CONNECTING, ForwardState.RECONNECTING})


class Engine:
    """Runs forwards. Belongs to one event loop. Implements `EngineContext`.

    Methods that take the id of a forward raise `UsageError` if there is no such forward.
    """

    def __init__(
        self,
        clusters: ClusterProvider,
        *,
        limits: Limits | None = None,
        monitor_system: bool = True,
        socket_holder: SocketHolder | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_change = on_change  # called after every change, and when bytes begin to move
        self.clusters = clusters
        self.socket_holder = socket_holder or NullSocketHolder()
        self.limits = limits if limits is not None else Limits()
        self.transport_cache = TransportCache()
        self.late_answers = LateAnswers()
        self.process_lookup = ClientProcessLookup()
        self._events = EventLog()
        self._forwards: dict[str, ActiveForward] = {}
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._proxies: dict[str, ProxyServer] = {}
        self._latest_number = 0
        self._proxy_numbers = itertools.count(1)
        self.inherited_sockets: InheritedSockets = {}
        self._connection_ids = itertools.count(1)
        self._totals = SessionTotals()
        self._histories = TrafficHistories()
        self._blocked = asyncio.Event()
        self._connected = asyncio.Event()  # set by each new connection
        self.version = 0  # grows with every change, except for counters and rates
        self._closed = False
        self._tasks = [
            spawn_restarting(
                HeapTrimmer(self._heap_activity, wait_for_activity=self._wait_for_connections).run,
                name="heap trimmer",
            ),
            spawn_restarting(self._record_histories, name="traffic histories"),
        ]
        if monitor_system:
            monitor = SystemMonitor(self._system_changed)
            self._tasks.append(spawn_restarting(monitor.run, name="system monitor"))
        before, after = raise_file_limit()
        if before != after:
            _log.info("raised the limit of open files from %d to %d", before, after)

    # --------------------------------------------------------------------------- Commands

    def start(
        self, spec: ForwardSpec, *, forward_id: str = "", clusters: ClusterProvider | None = None
    ) -> str:
        """Start a forward and return its id; later problems become its state.

        `forward_id` is its id in the engine before, used if it is free here. `clusters` are those
        to use instead of the engine's, with other credentials. Raises `UsageError` if the
        specification is invalid.
        """
        if spec.proxy:
            raise UsageError(
                "targets of a cluster proxy cannot be started", hint="connect to them through it"
            )
        return self._start(spec, forward_id, clusters or self.clusters).id

    def _start(
        self, spec: ForwardSpec, forward_id: str, clusters: ClusterProvider
    ) -> ActiveForward:
        validate_spec(spec)
        if self._closed:
            raise UsageError("the session is closed")
        forward_id = self._new_id(forward_id)
        forward = ActiveForward(forward_id, spec, self, clusters)
        self._forwards[forward_id] = forward
        forward.begin()
        self.changed()
        return forward

    def start_proxied(self, spec: ForwardSpec, clusters: ClusterProvider) -> ActiveForward:
        """See `ForwardStarter`."""
        return self._start(spec, "", clusters)

    async def start_proxy(
        self, spec: ProxySpec, *, proxy_id: str = "", clusters: ClusterProvider | None = None
    ) -> str:
        """Start a cluster proxy and return its id once it listens; see `ProxyServer.open`.

        One that is restored or belongs to a profile waits for its port if that is taken, as their
        forwards do. `spec` has context and namespace filled in; for the others see `start`.
        """
        if self._closed:
            raise UsageError("the session is closed")
        waits_for_port = bool(proxy_id or spec.profile)
        if not proxy_id or proxy_id in self._proxies:
            proxy_id = next(
                name
                for name in (f"p{number}" for number in self._proxy_numbers)
                if name not in self._proxies
            )
        proxy = ProxyServer(
            proxy_id, spec, starter=self, engine=self, clusters=clusters or self.clusters
        )
        self._proxies[proxy_id] = proxy
        try:
            await proxy.open(waits_for_port=waits_for_port)
        except BaseException:
            await self._close_proxy(proxy)
            raise
        return proxy_id

    async def stop_proxy(self, proxy_id: str) -> None:
        """Stop a proxy with its targets; UsageError if there is none with that id."""
        proxy = self._proxies.get(proxy_id)
        if proxy is None:
            raise UsageError(
                f"there is no proxy {proxy_id}", hint="list the proxies: tui-forward ls"
            )
        await asyncio.shield(self._close_proxy(proxy))

    async def _close_proxy(self, proxy: ProxyServer) -> None:
        self._proxies.pop(proxy.id, None)
        await proxy.close()
        self.changed()

    def _new_id(self, preferred: str) -> str:
        number = preferred.removeprefix("f")
        is_valid = preferred.startswith("f") and number.isdecimal()
        if not is_valid or preferred in self._forwards:
            number = str(self._latest_number + 1)
        self._latest_number = max(self._latest_number, int(number))
        return f"f{number}"

    async def stop(self, forward_id: str) -> None:
        """Stop a forward and remove it. Takes a few seconds at most."""
        forward = self._forward(forward_id)
        stopping = self._stopping.get(forward_id)
        if stopping is None:
            stopping = spawn(self._stop(forward), name=f"stopping {forward_id}")
            self._stopping[forward_id] = stopping
        # When the caller is canceled, the forward must not stay half stopped.
        await asyncio.shield(stopping)

    async def _stop(
        self, forward: ActiveForward, code: ReasonCode = ReasonCode.FORWARD_STOPPED
    ) -> None:
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await forward.stop(code)
        except TimeoutError:
            # Its port is closed already. What hangs is left to end by itself.
            _log.error("forward %s has not stopped within %g s", forward.id, _STOP_TIMEOUT_S)
        finally:
            self._stopping.pop(forward.id, None)
            if self._forwards.pop(forward.id, None) is not None:
                self._totals.add_stopped(forward.snapshot().counters)
            self._close_unclaimed_of(forward)
            self.changed()

    def _close_unclaimed_of(self, forward: ActiveForward) -> None:
        """Close the sockets of a stopped forward that it has not claimed."""
        unclaimed = self._unneeded_sockets()
        self._close_inherited([one for one in unclaimed if may_listen_on(forward.spec, one)])

    def _unneeded_sockets(self) -> list[LocalAddress]:
        """Return the addresses of unclaimed sockets that no forward needs."""
        specs = [forward.spec for forward in self._forwards.values()]
        return [
            address
            for address in self.inherited_sockets
            if not any(may_listen_on(spec, address) for spec in specs)
        ]

    async def pause(self, forward_id: str) -> None:
        """Stop forwarding, keep the port."""
        await self._forward(forward_id).pause()

    async def resume(self, forward_id: str) -> None:
        """Undo `pause`."""
        await self._forward(forward_id).resume()

    async def use_clusters(self, forward_id: str, clusters: ClusterProvider) -> None:
        """Let a forward use other clusters, with other credentials; this cuts its tunnels."""
        await self._forward(forward_id).use_clusters(clusters)

    def reconnect(self, forward_id: str) -> None:
        """Cut the present tunnels, end any back-off, and connect again now."""
        self._forward(forward_id).reconnect()

    def close_connection(self, connection_id: int) -> None:
        """Close one connection; does nothing if it has ended already."""
        any(forward.close_connection(connection_id) for forward in self._forwards.values())

    def retry_waiting(self, reason: str) -> None:
        """End all back-offs and check all tunnels, after a change of the system."""
        self.clusters.refresh()
        for forward in self._forwards.values():
            forward.retry_if_waiting(reason)

    async def close(self) -> None:
        """Stop everything. Idempotent."""
        self._closed = True
        self._close_inherited(list(self.inherited_sockets))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await asyncio.gather(*map(self._close_proxy, [*self._proxies.values()]))
        forwards = list(self._forwards.values())
        stops = (self._stop(forward, ReasonCode.ENGINE_STOPPED) for forward in forwards)
        for result in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(result, Exception):
                _log.error("a forward did not stop in order", exc_info=result)
        await asyncio.gather(*self._stopping.values(), return_exceptions=True)
        self._forwards.clear()
        await self.process_lookup.close()
        self._events.close()

    # -------------------------------------------------------- Handover to another process

    def adopt_sockets(self, sockets: InheritedSockets) -> None:
        """Take over listening sockets, for forwards that are started soon."""
        self.inherited_sockets.update(sockets)
        for sock in sockets.values():
            self.socket_holder.hold(sock.fileno())
        asyncio.get_running_loop().call_later(_CLAIM_TIMEOUT_S, self._close_unclaimed_sockets)

    def _close_unclaimed_sockets(self) -> None:
        """Close what no forward uses: clients must not wait in a backlog that is not accepted.

        A forward whose kubeconfig cannot be read at the moment has not claimed its socket yet.
        """
        self._close_inherited(self._unneeded_sockets())

    def _close_inherited(self, addresses: Iterable[LocalAddress]) -> None:
        for address in addresses:
            self.inherited_sockets.pop(address).close()
            self.socket_holder.release(address)

    def pause_accepting(self) -> InheritedSockets:
        """Accept no connections for now; return all listening sockets."""
        sockets: InheritedSockets = {}
        for forward in self._forwards.values():
            sockets.update(forward.hold())
        for proxy in self._proxies.values():
            sockets.update(proxy.hold())
        return sockets

    def resume_accepting(self) -> None:
        """Undo `pause_accepting`. Idempotent."""
        for forward in self._forwards.values():
            forward.release()
        for proxy in self._proxies.values():
            proxy.release()

    async def drain(self, timeout_s: float) -> None:
        """Stop listening, and wait until the open connections have ended. Close afterwards."""
        for forward in self._forwards.values():
            forward.detach()
        for proxy in self._proxies.values():
            proxy.detach()
        deadline = time.monotonic() + timeout_s
        while self._forwards and time.monotonic() < deadline:
            idle = [forward for forward in self._forwards.values() if forward.is_idle]
            await asyncio.gather(*(self.stop(forward.id) for forward in idle))
            if not idle:
                await asyncio.sleep(_DRAIN_CHECK_INTERVAL_S)

    # ------------------------------------------------------------------------------ State

    @property
    def blocked(self) -> bool:
        """Whether a forward needs action by the user."""
        return any(forward.state is ForwardState.BLOCKED for forward in self._forwards.values())

    async def wait_blocked(self) -> None:
        """Wait until `blocked` is true. Safe to cancel."""
        await self._blocked.wait()

    def forwards(self) -> tuple[Forward, ...]:
        """Return all forwards, oldest first."""
        return tuple(forward.snapshot() for forward in self._forwards.values())

    def proxies(self) -> tuple[ProxyInfo, ...]:
        """Return all proxies, oldest first."""
        return tuple(proxy.info() for proxy in self._proxies.values())

    def forward(self, forward_id: str) -> Forward:
        """Return one forward."""
        return self._forward(forward_id).snapshot()

    def not_ready_cause(self, forward_id: str) -> Reason | None:
        """Return what keeps a forward from being ready; None if nothing has failed.

        Of a forward that is ready, why it may not serve. Meaningless while it is stopped.
        """
        return self._forward(forward_id).not_ready_cause

    def totals(self, forwards: tuple[Forward, ...]) -> Counters:
        """Return the counters of the whole session, stopped forwards included."""
        return self._totals.sum(forwards)

    def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        """Return open connections and recently closed ones, oldest first."""
        chosen = self._forwards.values() if forward_id is None else [self._forward(forward_id)]
        now = steady_time()
        found = [connection for forward in chosen for connection in forward.connections(now)]
        found.sort(key=lambda connection: connection.id)
        return tuple(found)

    def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        """Return the timeline of a forward, oldest first."""
        return self._forward(forward_id).timeline

    async def check_port(self, addresses: Sequence[str], port: int) -> PortCheck:
        """See `Session.check_port`."""
        return await check_port(addresses, port, self)

    def histories(self) -> tuple[TrafficHistory, ...]:
        """Return the traffic history of each forward."""
        self._histories.sample(self.forwards(), time.monotonic())
        return self._histories.export()

    def events(self, since: int = 0) -> AsyncIterator[Event]:
        """Yield events after a sequence number, then as they happen."""
        return self._events.read(since)

    def _forward(self, forward_id: str) -> ActiveForward:
        forward = self._forwards.get(forward_id)
        if forward is None:
            raise UsageError(
                f"there is no forward {forward_id}", hint="list the forwards: tui-forward ls"
            )
        return forward

    # ------------------------------------------------------------------- Background tasks

    async def _record_histories(self) -> None:
        moved = 0
        while True:
            forwards = self.forwards()
            self._histories.sample(forwards, time.monotonic())
            totals = self.totals(forwards)
            before, moved = moved, totals.bytes_from_pod + totals.bytes_to_pod
            if moved != before:
                self._on_change()
            await self._wait_for_connections()
            # The seconds without a connection are without traffic.
            self._histories.sample(self.forwards(), time.monotonic())
            await asyncio.sleep(_HISTORY_INTERVAL_S)

    async def _wait_for_connections(self) -> None:
        """Wait until a connection is open: without one nothing moves."""
        while all(forward.is_idle for forward in self._forwards.values()):
            self._connected.clear()
            await self._connected.wait()

    def _heap_activity(self) -> int:
        totals = self.totals(self.forwards())
        moved = totals.bytes_from_pod + totals.bytes_to_pod
        return moved + _HEAP_BYTES_PER_CONNECTION * totals.connections_total

    def _system_changed(self, text: str) -> None:
        _log.info("%s", text)
        self.retry_waiting(text)

    def next_connection_id(self) -> int:
        """See `EngineContext`."""
        self._connected.set()
        return next(self._connection_ids)

    def emit(self, event: Event) -> None:
        """See `EngineContext`."""
        self._events.append(event)

    def changed(self) -> None:
        """See `EngineContext`."""
        self.version += 1
        self._on_change()
        if self.blocked:
            self._blocked.set()
        else:
            self._blocked.clear()

    def became_ready(self, cluster: ClusterKey) -> None:
        """See `EngineContext`."""
        for forward in self._forwards.values():
            if forward.spec.target.cluster_key == cluster:
                forward.cut_backoff()

    def count_connecting(self, cluster: ClusterKey) -> int:
        """See `EngineContext`."""
        return sum(
            forward.state in _CONNECTING_STATES and forward.spec.target.cluster_key == cluster
            for forward in self._forwards.values()
        )

    def own_forward_on(self, address: LocalAddress) -> str:
        """See `EngineContext`."""
        for forward in self._forwards.values():
            if any(conflict(address, one) for one in forward.addresses):
                return f"the forward {forward.id} to {forward.spec.target}"
        for proxy in self._proxies.values():
            if any(conflict(address, one) for one in proxy.addresses):
                return f"the cluster proxy {proxy.id}"
        return ""
