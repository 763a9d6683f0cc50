"""Connections of one forward: open ones, and recently closed ones."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import deque
from collections.abc import Iterator

import msgspec

from tui_forward.common.clock import correction_s, steady_time
from tui_forward.engine.connections.connection import LocalConnection
from tui_forward.engine.connections.owner import ConnectionOwner
from tui_forward.engine.connections.pod_history import REPORT_LAG_S
from tui_forward.engine.connections.proxy_client import ProxyClient
from tui_forward.engine.context import EngineContext
from tui_forward.engine.forwards.pod_tally import PodTally
from tui_forward.engine.forwards.status_recorder import StatusRecorder
from tui_forward.engine.forwards.unanswered import UnansweredTracker
from tui_forward.engine.host.socket_owners import SocketPair
from tui_forward.model import (
    Balance,
    Connection,
    EarlierPods,
    EventKind,
    ForwardSpec,
    LocalAddress,
    PodShare,
    Reason,
    ReasonCode,
    UnansweredConnections,
)

_log = logging.getLogger(__name__)

# Closed connections stay visible for this long.
_RECENT_S = 30.0
_RECENT_MAX = 200
_END_TIMEOUT_S = 2.0
_UNEXPLAINED_MAX = 200


class ConnectionTable:
    """Serves each accepted socket as a `LocalConnection`."""

    def __init__(
        self,
        forward_id: str,
        spec: ForwardSpec,
        *,
        owner: ConnectionOwner,
        recorder: StatusRecorder,
        engine: EngineContext,
    ) -> None:
        self._forward_id = forward_id
        self._spec = spec
        self._owner = owner
        self._recorder = recorder
        self._engine = engine
        self._live: dict[int, tuple[LocalConnection, SocketPair]] = {}
        self._all_ended = asyncio.Event()  # cleared by `end_all`
        # With the correction of the clock that their times contain.
        self._recent: deque[tuple[float, Connection]] = deque(maxlen=_RECENT_MAX)
        # Closed ones whose cause the pod may still tell, with when to stop waiting for it.
        self._unexplained: dict[int, tuple[LocalConnection, float]] = {}
        self._explain_timer: asyncio.TimerHandle | None = None
        self._codes: dict[int, ReasonCode] = {}  # of open ones, as published
        self._tally = PodTally() if spec.target.balance is Balance.SPREAD else None
        self._unanswered = UnansweredTracker()

    def __len__(self) -> int:
        return len(self._live)

    def add(
        self, sock: socket.socket, client: LocalAddress, local: LocalAddress,
        proxy_client: ProxyClient | None = None,
    ) -> None:  # fmt: skip
        """Serve an accepted socket."""
        number = self._engine.next_connection_id()
        connection = LocalConnection(
            sock,
            connection_id=number,
            forward_id=self._forward_id,
            client=str(client),
            owner=self._owner,
            limits=self._engine.limits,
            queue_timeout_s=self._spec.queue_timeout_s,
            half_close_timeout_s=self._spec.half_close_timeout_s,
            on_closed=lambda: self._ended(number),
            proxy_client=proxy_client,
        )
        counters = self._owner.counters
        counters.connections_open += 1
        counters.connections_total += 1
        # First: whatever follows makes the client wait.
        connection.start()
        ends = SocketPair((client.host, client.port), (local.host, local.port))
        self._live[number] = (connection, ends)
        self._recorder.emit(
            EventKind.CONNECTION_OPENED, connection=connection.snapshot(steady_time())
        )

    def _ended(self, number: int) -> None:
        connection, _ = self._live.pop(number)
        if not self._live:
            self._all_ended.set()
        self._owner.counters.connections_open -= 1
        if self._tally is not None:
            self._tally.add(connection)
        self._engine.process_lookup.forget(number)
        self._codes.pop(number, None)
        if connection.record.explain_end():
            self._unexplained[number] = (connection, time.monotonic() + REPORT_LAG_S)
            self._explain()
        else:
            self._publish_end(connection)

    def _publish_end(self, connection: LocalConnection) -> None:
        last = connection.snapshot(steady_time())
        self._unanswered.add(last, self._owner.counters.bytes_from_pod)
        self._recent.append((correction_s(), last))
        self._recorder.emit(EventKind.CONNECTION_CLOSED, connection=last)

    def _explain(self, *, wait: bool = True) -> None:
        """Publish the ends whose cause is known, or waited for long enough."""
        now = time.monotonic()
        excess = len(self._unexplained) - _UNEXPLAINED_MAX
        for index, (number, (connection, until)) in enumerate(list(self._unexplained.items())):
            if not (connection.record.explain_end() and wait and now < until and index >= excess):
                del self._unexplained[number]
                self._publish_end(connection)
        if self._explain_timer is not None:
            self._explain_timer.cancel()
            self._explain_timer = None
        if self._unexplained:
            _, until = next(iter(self._unexplained.values()))
            loop = asyncio.get_running_loop()
            self._explain_timer = loop.call_later(max(0.01, until - now), self._explain)

    def pods_changed(self) -> None:
        """Process a report about the pods of connections."""
        self._explain()
        for number, (connection, _) in self._live.items():
            going = connection.record.pod_condition
            if going is not None and self._codes.get(number) is not going.code:
                self._codes[number] = going.code
                changed = connection.snapshot(steady_time())
                self._recorder.emit(EventKind.CONNECTION_CHANGED, connection=changed)

    def close(self, number: int, reason: Reason) -> bool:
        """Close one connection; return False if it is not in the table, or has ended."""
        entry = self._live.get(number)
        if entry is None:
            return False
        entry[0].abort(reason)
        return True

    async def end_all(self, reason: Reason) -> None:
        """Reset all connections, and wait for their end for a bounded time."""
        for connection, _ in list(self._live.values()):
            connection.abort(reason)
        self._explain(wait=False)
        if await self._wait_all_ended():
            return
        late = [connection for connection, _ in self._live.values()]
        _log.warning("%d connections of %s did not end in time", len(late), self._forward_id)
        for connection in late:
            connection.cancel()
        await self._wait_all_ended()

    async def _wait_all_ended(self) -> bool:
        """Wait until no connection is left; return False if some are after a while."""
        try:
            async with asyncio.timeout(_END_TIMEOUT_S):
                while self._live:
                    self._all_ended.clear()
                    await self._all_ended.wait()
        except TimeoutError:
            return False
        return True

    def count_by_pod(
        self, shares: list[PodShare]
    ) -> tuple[tuple[PodShare, ...], EarlierPods | None]:
        """Return the shares of pods with their counters, and what pods had that are no more used.

        There are none if the forward does not spread.
        """
        if self._tally is None:
            return (), None
        return self._tally.fill(shares, (connection for connection, _ in self._live.values()))

    def unanswered(self, now: float) -> UnansweredConnections | None:
        """Return the hint that recent connections got no byte back; `now` is `steady_time`."""
        live = (connection.snapshot(now) for connection, _ in self._live.values())
        return self._unanswered.hint(live, self._owner.counters.bytes_from_pod, now)

    def snapshot(self, now: float) -> Iterator[Connection]:
        """Yield connections closed in the 30 s before `now` (`steady_time`), then the open ones."""
        recent, correction = self._recent, correction_s()
        while recent and (recent[0][1].closed_at or 0.0) - recent[0][0] < now - _RECENT_S:
            recent.popleft()
        for before, closed in recent:
            yield closed if before == correction else _shifted(closed, correction - before)
        for connection, _ in self._unexplained.values():
            yield connection.snapshot(now)
        for connection, ends in self._live.values():
            if not connection.record.process:
                self._engine.process_lookup.request(connection.id, ends, connection.record)
            yield connection.snapshot(now)


def _shifted(closed: Connection, by_s: float) -> Connection:
    """Return a closed connection with its times in the system clock as it is set now."""
    return msgspec.structs.replace(
        closed, opened_at=closed.opened_at + by_s, closed_at=(closed.closed_at or 0.0) + by_s
    )
