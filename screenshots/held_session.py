"""A frozen session that holds the values of one moment.

On a busy machine facts arrive late, one after the other, and more happens: a probe fails, a
forward dials twice, a queued connection is given up. So the facts of a screenshot are read until
they are complete, and shown unchanged from then on, however long the screen takes.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain

import msgspec

from screenshots.frozen_session import FrozenSession, is_flowing
from tui_forward.model import (
    CatalogScope,
    CatalogView,
    Connection,
    ConnectionState,
    Forward,
    ForwardState,
    Hop,
    HopKind,
    HopState,
    Snapshot,
    TargetKind,
    TimelineEntry,
)
from tui_forward.session import Session
from tui_forward.tui.viewmodel.cluster_state import ClusterState

# Workloads of the embedded cluster that never become ready.
_NEVER_READY = ("payments", "recommender", "search")
# How many facts each hop of a healthy forward has at least.
_FACTS = {HopKind.API: 2, HopKind.KUBELET: 3, HopKind.RUNTIME: 1, HopKind.POD: 5, HopKind.PORT: 3}


class HeldSession(FrozenSession):
    """Shows nothing of the cluster until it is complete, and held values from then on."""

    def __init__(self, real: Session, *, server: str, rates: dict[str, tuple[int, int]]) -> None:
        super().__init__(real, server=server, rates=rates)
        self._snapshot: Snapshot | None = None
        self._connections: dict[str, tuple[Connection, ...]] = {}  # by forward
        self._closed: dict[int, Connection] = {}
        self._timelines: dict[str, tuple[TimelineEntry, ...]] = {}
        self._hops: dict[str, tuple[Hop, ...]] = {}
        self._views: dict[CatalogScope, CatalogView] = {}
        self._missing = ""  # of the scope that was read last
        self._loading: dict[CatalogScope, ClusterState] = {}

    # What is complete ------------------------------------------------------------------------

    async def hold_ready(self, scope: CatalogScope, connections: int) -> str:
        """Hold all facts if all forwards are ready and so many connections open.

        Returns what is missing; empty if the facts are held now. `scope` has all pods.
        """
        await self.catalog(scope)
        if scope not in self._views:
            return self._missing
        snapshot = await super().snapshot()
        for one in snapshot.forwards:
            if not _is_complete(one):
                return f"{one.spec.target}: ready and measured, now {one.state}: {one.reason}"
        opened, hops = {}, {}
        for one in snapshot.forwards:
            opened[one.id] = await super().connections(one.id)
        usable = sum(map(_is_measured, chain.from_iterable(opened.values())))
        counted = sum(one.counters.connections_open for one in snapshot.forwards)
        if usable != connections or counted != connections:
            return f"{connections} open connections with a process, now {usable}, or {counted}"
        for one in snapshot.forwards:
            hops[one.id] = await super().hops(one.id)
            for hop in hops[one.id]:
                if not _is_healthy(hop):
                    return f"{one.spec.target}: all facts about {hop}"
        for one in snapshot.forwards:
            self._timelines[one.id] = await super().timeline(one.id)
        self._connections, self._hops = opened, hops
        self._snapshot = snapshot
        return ""

    async def hold_outage(
        self,
        forward_id: str,
        scope: CatalogScope,
        *,
        reason: str,
        states: Collection[ConnectionState],
    ) -> str:
        """Hold the facts of a forward that has lost its pod if they are complete.

        Returns what is missing; empty if the facts are held now. `reason` is a part of the
        forward's, `states` are those of its connections, oldest first. The owner of the pod has
        no others in `scope`.
        """
        assert self._snapshot is not None
        current = await super().snapshot()
        forward = next(one for one in current.forwards if one.id == forward_id)
        seen = {one.id: one for one in await super().connections(forward_id)}
        # The engine forgets closed connections after a while.
        self._closed |= {key: one for key, one in seen.items() if one.closed_at is not None}
        connections = tuple(one for _, one in sorted((self._closed | seen).items()))
        if forward.state is ForwardState.READY or reason not in forward.reason:
            return f"“{reason}”, now {forward.state}: {forward.reason}"
        found = [one.state for one in connections]
        if found != list(states):
            return f"connections that are {', '.join(states)}, now {', '.join(found)}"
        counted = forward.counters.connections_open
        if counted != len(found) - found.count(ConnectionState.CLOSED):
            return f"the count of open connections, now {counted}"
        if not all(one.process or one.closed_at is not None for one in connections):
            return "the processes of the waiting clients"
        view = await self._settled_view(scope, without=forward.spec.target.name)
        if view is None:
            return self._missing
        self._views[scope] = msgspec.structs.replace(view, version=self._views[scope].version + 1)
        self._connections[forward_id] = connections
        held = tuple(forward if one.id == forward_id else one for one in self._snapshot.forwards)
        self._snapshot = msgspec.structs.replace(
            self._snapshot, version=self._snapshot.version + 1, forwards=held,
            totals=self.totals(held),
        )  # fmt: skip
        return ""

    async def _settled_view(self, scope: CatalogScope, *, without: str = "") -> CatalogView | None:
        """Return the view of a scope if everything in it that can be ready is.

        Else returns None and sets `_missing`. The workload named `without` has no pods.
        """
        state = self._loading.setdefault(scope, ClusterState(scope))
        state.apply(await super().catalog(scope, state.version))
        self._missing = _missing_in(state, without)
        if self._missing:
            return None
        return CatalogView(
            scope=scope,
            version=1,
            complete=True,
            namespaces=tuple(state.namespaces.values()),
            pods=tuple(state.pods.values()),
            services=tuple(state.services.values()),
            workloads=tuple(state.workloads.values()),
            resources=tuple(state.resources.values()),
            health=state.health,
        )

    # Held values -----------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        """See `Session.snapshot`."""
        return self._snapshot if self._snapshot is not None else await super().snapshot()

    async def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        """See `Session.connections`."""
        if forward_id is not None:
            return self._connections[forward_id]
        found = (one for held in self._connections.values() for one in held)
        return tuple(sorted(found, key=lambda one: one.id))

    async def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        """See `Session.timeline`."""
        return self._timelines[forward_id]

    async def hops(self, forward_id: str) -> tuple[Hop, ...]:
        """See `Session.hops`."""
        return self._hops[forward_id]

    async def catalog(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        """See `Session.catalog`."""
        if scope not in self._views:
            view = await self._settled_view(scope)
            if view is None:
                return CatalogView(scope=scope, version=since, complete=False)
            self._views[scope] = view
        held = self._views[scope]
        if held.version != since:
            return held
        return CatalogView(scope=scope, version=since, complete=False, health=held.health)


def _is_complete(forward: Forward) -> bool:
    """Return whether a forward is ready and was measured."""
    return (
        forward.state is ForwardState.READY
        and not forward.warnings
        and forward.tunnels > 0
        and forward.round_trip_s is not None
    )


def _is_measured(connection: Connection) -> bool:
    """Return whether a connection is open, and its client and first byte are known."""
    has_answer = is_flowing(connection) and connection.first_byte_s is not None
    return has_answer and bool(connection.process)


def _missing_in(state: ClusterState, without: str) -> str:
    """Return what is not loaded or not ready yet, for example a workload; else nothing."""
    if state.health is None or state.health.ok is not True:
        return f"a healthy API server, now {state.health}"
    if not state.resources:
        return "the first list"
    for status in state.resources.values():
        if not status.synced or status.error:
            return f"a list of {status.resource}, now {status.error or 'loading'}"
    for key, workload in state.workloads.items():
        if workload.kind is TargetKind.JOB:
            if not workload.ended:
                return f"the end of {key}"
            continue
        expected = 0 if workload.name == without else workload.replicas
        pods = [state.pods[pod] for pod in state.pods_of(key)]
        can_be_ready = workload.name not in _NEVER_READY
        ready = sum(pod.ready for pod in pods)
        if len(pods) != expected or (can_be_ready and not ready == workload.ready == expected):
            return f"{key} with {expected} ready pods, now {len(pods)}, {ready} of them ready"
    return ""


def _is_healthy(hop: Hop) -> bool:
    """Return whether all facts about a hop of a ready forward are known."""
    return hop.state is HopState.OK and bool(hop.name) and len(hop.facts) >= _FACTS.get(hop.kind, 1)
