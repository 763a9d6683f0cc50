"""The engine: all forwards of a session, and what they share."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator

import msgspec

from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.engine.connections.listener import (
    InheritedSockets,
    check_addresses,
    raise_file_limit,
)
from tui_forward.engine.context import ClusterProvider
from tui_forward.engine.event_log import EventLog
from tui_forward.engine.forwards.forward import ActiveForward
from tui_forward.engine.host.heap_trimmer import HeapTrimmer
from tui_forward.engine.host.process_lookup import ClientProcessLookup
from tui_forward.engine.host.system_monitor import SystemEvent, SystemMonitor
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.transport_cache import TransportCache
from tui_forward.errors import TuiForwardError, UsageError
from tui_forward.model import (
    Connection,
    Counters,
    Event,
    Forward,
    ForwardSpec,
    ForwardState,
    TimelineEntry,
    TrafficHistory,
    Unresolved,
)

_log = logging.getLogger(__name__)

_LAST_PORT = 65535
# What opening a connection leaves behind in the heap, about.
_BYTES_PER_CONNECTION = 16 * 1024
# How often to look whether the last connection has ended.
_LOOK_S = 0.1
# What is handed over is claimed at once, by forwards that begin with the process.
_CLAIM_S = 10.0
_REMEMBER_S = 1.0  # what flowed is kept by the second
_TRYING = frozenset({ForwardState.CONNECTING, ForwardState.RECONNECTING})


class Engine:
    """Runs forwards. Belongs to one event loop. Implements `world.World`.

    Args:
        clusters: Where API servers and pods come from.
        limits: Bounds of the data path.
        watch_the_machine: Notice sleep and network changes.
    """

    def __init__(
        self,
        clusters: ClusterProvider,
        *,
        limits: Limits | None = None,
        watch_the_machine: bool = True,
    ) -> None:
        self._clusters = clusters
        self._limits = limits if limits is not None else Limits()
        self._transport_cache = TransportCache()
        self._client_names = ClientProcessLookup()
        self._events = EventLog()
        self._forwards: dict[str, ActiveForward] = {}
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._latest_number = 0
        self._inherited_sockets: InheritedSockets = {}
        self._connection_numbers = itertools.count(1)
        self._gone = _Totals()
        self._version = 0
        self._closed = False
        loop = asyncio.get_running_loop()
        self._histories = TrafficHistories()
        self._helpers = [
            loop.create_task(HeapTrimmer(self._activity).run(), name="caretaker"),
            loop.create_task(self._remember(), name="histories"),
        ]
        if watch_the_machine:
            watching = SystemMonitor(self._woken).run()
            self._helpers.append(loop.create_task(watching, name="watchman"))
        limits_of_files = raise_file_limit()
        if limits_of_files is not None and limits_of_files[0] != limits_of_files[1]:
            _log.info("raised the limit of open files from %d to %d", *limits_of_files)

    # ----------------------------------------------------------------------------------
    # Commands
    # ----------------------------------------------------------------------------------

    def start(self, spec: ForwardSpec, *, forward_id: str = "") -> str:
        """Switch a forward on and return its id; everything later is a state.

        Args:
            spec: What is wanted.
            forward_id: The id it had in the engine before, if it is free here.

        Raises:
            UsageError: The spec itself makes no sense.
        """
        validate_spec(spec)
        if self._closed:
            raise UsageError("the session is closed")
        forward_id = self._new_id(forward_id)
        forward = ActiveForward(forward_id, spec, self)
        self._forwards[forward_id] = forward
        forward.begin()
        self.changed()
        return forward_id

    def _new_id(self, wanted: str) -> str:
        number = wanted.removeprefix("f")
        free = wanted.startswith("f") and number.isdecimal() and wanted not in self._forwards
        if not free:
            number = str(self._latest_number + 1)
        self._latest_number = max(self._latest_number, int(number))
        return f"f{number}"

    async def stop(self, forward_id: str) -> None:
        """Switch a forward off and forget it. Takes a few seconds at most.

        Raises:
            UsageError: There is no such forward.
        """
        forward = self._forward(forward_id)
        stopping = self._stopping.get(forward_id)
        if stopping is None:
            stopping = asyncio.create_task(self._stop(forward), name=f"stopping {forward_id}")
            self._stopping[forward_id] = stopping
        # Whoever asked may go away; the forward must not stay, half stopped.
        await asyncio.shield(stopping)

    async def _stop(self, forward: ActiveForward) -> None:
        try:
            await forward.stop()
        finally:
            del self._stopping[forward.id]
            if self._forwards.pop(forward.id, None) is not None:
                self._gone.add(forward.snapshot().counters)
            self.changed()

    async def pause(self, forward_id: str) -> None:
        """Stop forwarding, keep the port.

        Raises:
            UsageError: There is no such forward.
        """
        await self._forward(forward_id).pause()

    async def resume(self, forward_id: str) -> None:
        """Undo `pause`.

        Raises:
            UsageError: There is no such forward.
        """
        await self._forward(forward_id).resume()

    def reconnect(self, forward_id: str) -> None:
        """Give up the present tunnels and any waiting, and try again now.

        Raises:
            UsageError: There is no such forward.
        """
        self._forward(forward_id).reconnect()

    def close_connection(self, connection_id: int) -> None:
        """End one connection. One that has ended already is no error."""
        any(forward.close_connection(connection_id) for forward in self._forwards.values())

    def retry_waiting(self, reason: str) -> None:
        """The world has changed: nobody need wait for the clock, or trust what was true before."""
        self._clusters.refresh()
        for forward in self._forwards.values():
            forward.retry_if_waiting(reason)

    async def close(self) -> None:
        """Stop everything. Idempotent."""
        self._closed = True
        self._disclaim()
        for helper in self._helpers:
            helper.cancel()
        await asyncio.gather(*self._helpers, return_exceptions=True)
        self._helpers.clear()
        forwards = list(self._forwards.values())
        stops = (forward.stop("the program ends") for forward in forwards)
        for result in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(result, Exception):
                _log.error("a forward did not stop in order", exc_info=result)
        await asyncio.gather(*self._stopping.values(), return_exceptions=True)
        self._forwards.clear()
        await self._client_names.close()
        self._events.close()

    # ----------------------------------------------------------------------------------
    # From process to process
    # ----------------------------------------------------------------------------------

    @property
    def inherited_sockets(self) -> InheritedSockets:
        """Listening sockets of the process before that nobody has claimed yet."""
        return self._inherited_sockets

    def adopt_sockets(self, sockets: InheritedSockets) -> None:
        """Take what another process listened on; forwards that begin soon find it."""
        self._inherited_sockets.update(sockets)
        asyncio.get_running_loop().call_later(_CLAIM_S, self._disclaim)

    def _disclaim(self) -> None:
        """A socket that nobody accepts on must not pretend that somebody will."""
        for sock in self._inherited_sockets.values():
            sock.close()
        self._inherited_sockets.clear()

    def pause_accepting(self) -> InheritedSockets:
        """Accept no connections for now; gives all sockets that listen."""
        held: InheritedSockets = {}
        for forward in self._forwards.values():
            held.update(forward.hold())
        return held

    def resume_accepting(self) -> None:
        """Undo `hold`. Idempotent."""
        for forward in self._forwards.values():
            forward.release()

    async def drain(self, longest_s: float) -> None:
        """Listen no more, and wait until the connections there are have ended. Close afterwards."""
        for forward in self._forwards.values():
            forward.detach()
        deadline = time.monotonic() + longest_s
        while self._forwards and time.monotonic() < deadline:
            idle = [forward for forward in self._forwards.values() if forward.is_idle]
            await asyncio.gather(*(self.stop(forward.id) for forward in idle))
            if not idle:
                await asyncio.sleep(_LOOK_S)

    def _forward(self, forward_id: str) -> ActiveForward:
        forward = self._forwards.get(forward_id)
        if forward is None:
            raise UsageError(
                f"there is no forward {forward_id}", hint="`tui-forward ls` shows those there are"
            )
        return forward

    def _activity(self) -> int:
        """How much has happened so far, in bytes; see `Caretaker`."""
        totals = self.totals(self.forwards())
        moved = totals.bytes_from_pod + totals.bytes_to_pod
        return moved + _BYTES_PER_CONNECTION * totals.connections_total

    def _woken(self, woken: SystemEvent) -> None:
        _log.info("%s", woken.text)
        self.retry_waiting(woken.text)

    # ----------------------------------------------------------------------------------
    # Reading
    # ----------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Grows with every change other than counters and rates."""
        return self._version

    def forwards(self) -> tuple[Forward, ...]:
        """All forwards as they stand, oldest first."""
        return tuple(forward.snapshot() for forward in self._forwards.values())

    def forward(self, forward_id: str) -> Forward:
        """One forward as it stands.

        Raises:
            UsageError: There is no such forward.
        """
        return self._forward(forward_id).snapshot()

    def not_ready_cause(self, forward_id: str) -> TuiForwardError | Unresolved | None:
        """What keeps a forward from being ready, for whoever wants more than words.

        None if nothing has failed. Means nothing while the forward is ready or stopped.

        Raises:
            UsageError: There is no such forward.
        """
        return self._forward(forward_id).not_ready_cause

    def totals(self, forwards: tuple[Forward, ...]) -> Counters:
        """The counters of the whole session, those of forwards that are gone included."""
        return self._gone.plus(forwards)

    def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        """Open connections and those that ended a moment ago, oldest first.

        Raises:
            UsageError: There is no such forward.
        """
        chosen = self._forwards.values() if forward_id is None else [self._forward(forward_id)]
        now = time.time()
        found = [connection for forward in chosen for connection in forward.connections(now)]
        found.sort(key=lambda connection: connection.id)
        return tuple(found)

    def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        """What happened to a forward, oldest first.

        Raises:
            UsageError: There is no such forward.
        """
        return self._forward(forward_id).timeline

    def histories(self) -> tuple[TrafficHistory, ...]:
        """What flowed through each forward lately."""
        return self._histories.export()

    async def _remember(self) -> None:
        while True:
            self._histories.sample(self.forwards(), time.monotonic())
            await asyncio.sleep(_REMEMBER_S)

    def events(self, since: int = 0) -> AsyncIterator[Event]:
        """Events after a sequence number, then as they happen."""
        return self._events.read(since)

    # ----------------------------------------------------------------------------------
    # World: what forwards need
    # ----------------------------------------------------------------------------------

    @property
    def clusters(self) -> ClusterProvider:
        """Where API servers and pods come from."""
        return self._clusters

    @property
    def limits(self) -> Limits:
        """Bounds of the data path."""
        return self._limits

    @property
    def transport_cache(self) -> TransportCache:
        """Which transport worked where."""
        return self._transport_cache

    @property
    def client_names(self) -> ClientProcessLookup:
        """Finds the processes of clients."""
        return self._client_names

    def next_connection_id(self) -> int:
        """A number no other connection of the session has."""
        return next(self._connection_numbers)

    def emit(self, event: Event) -> None:
        """Number an event and tell whoever listens."""
        self._events.append(event)

    def changed(self) -> None:
        """Something other than counters and rates is different now."""
        self._version += 1

    def became_ready(self, context: str) -> None:
        """The API server lets us through: others that wait for just that need not."""
        for forward in self._forwards.values():
            if forward.spec.target.context == context:
                forward.cut_backoff()

    def count_connecting(self, context: str) -> int:
        """How many forwards of a context are without a tunnel now, and not by intention."""
        return sum(
            forward.state in _TRYING and forward.spec.target.context == context
            for forward in self._forwards.values()
        )

    @property
    def blocked(self) -> bool:
        """Whether a forward waits for a person."""
        return any(forward.state is ForwardState.BLOCKED for forward in self._forwards.values())

    def own_forward_on(self, port: int) -> str:
        """Which of our own forwards listens on a local port, in words, or ""."""
        for forward in self._forwards.values():
            if any(address.port == port for address in forward.addresses):
                return f"the forward {forward.id} to {forward.spec.target}"
        return ""


class _Totals:
    """Counters of forwards that are gone."""

    def __init__(self) -> None:
        self._counters = Counters()

    def add(self, counters: Counters) -> None:
        """A forward is gone, and its connections with it."""
        ended = msgspec.structs.replace(
            counters, connections_open=0, rate_from_pod=0.0, rate_to_pod=0.0
        )
        self._counters = _sum([self._counters, ended])

    def plus(self, forwards: tuple[Forward, ...]) -> Counters:
        """With those that are not."""
        return _sum([self._counters, *(forward.counters for forward in forwards)])


def _sum(parts: list[Counters]) -> Counters:
    return Counters(
        **{name: sum(getattr(part, name) for part in parts) for name in Counters.__struct_fields__}
    )


def validate_spec(spec: ForwardSpec) -> None:
    """Refuse what can never work.

    Raises:
        UsageError: With what is wrong and a hint.
    """
    target = spec.target
    for what, value in (
        ("context", target.context),
        ("namespace", target.namespace),
        ("name", target.name),
        ("port", target.port),
    ):
        if not value:
            raise UsageError(f"the target has no {what}")
    if target.port.isdecimal() and not 1 <= int(target.port) <= _LAST_PORT:
        raise UsageError(f"there is no port {target.port}", hint=f"ports go from 1 to {_LAST_PORT}")
    if spec.local_port is not None and not 0 <= spec.local_port <= _LAST_PORT:
        raise UsageError(
            f"there is no local port {spec.local_port}",
            hint=f"ports go from 1 to {_LAST_PORT}; 0 means any",
        )
    if spec.queue_timeout_s < 0 or spec.half_close_timeout_s < 0:
        raise UsageError("times cannot be negative")
    check_addresses(spec.addresses)
