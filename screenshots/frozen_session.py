"""A session with reproducible values for screenshots.

The values come from a real engine on an embedded cluster. Those that vary between runs (times,
measurements, ports, process ids) are replaced by fixed ones.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import TypeVar

import msgspec

from tui_forward.model import (
    ApiHealth,
    CatalogScope,
    CatalogView,
    Connection,
    ConnectionState,
    Counters,
    Forward,
    ForwardState,
    Hop,
    HopKind,
    LocalAddress,
    Pod,
    PodRef,
    Service,
    Snapshot,
    TimelineEntry,
    TrafficHistory,
    TransportChoice,
    Workload,
)
from tui_forward.session import Session
from tui_forward.session.delegating import DelegatingSession

NOW = 1_767_268_800.0  # 2026-01-01 12:00 UTC
_MIB = 1 << 20
_DAY_S = 86_400.0
_API_S, _ROUND_TRIP_S = 0.0042, 0.0013
_LATENCIES = {HopKind.API: _API_S, HopKind.PORT: _ROUND_TRIP_S}
_VARYING = (
    # The unit of an outage depends on the load of the machine.
    (re.compile(r"\b(ready after|was down) \d+(\.\d+)? ms\b"), r"\1 0.4 s"),
    (re.compile(r"\b\d+(\.\d+)? ms\b"), "1.3 ms"),
    (re.compile(r"\b\d+(\.\d+)? s\b"), "0.4 s"),
    (re.compile(r"\b\d+ tunnels?\b"), "2 tunnels"),
    # An upgrade that is not answered in time is tried with the other protocol.
    (re.compile(r"\bby WebSocket\b"), "by SPDY"),
    (re.compile(r"\b\d+ restarts?\b"), "0 restarts"),
    (re.compile(r"\b10\.\d+\.\d+\.\d+\b"), "10.244.1.7"),
)
# What a start records, oldest first.
_START = (
    "started",
    "starting: looking for",
    "listening on",
    "connecting: connecting to",
    "ready: forwarding to",
    "ready after",
)
_PORT = re.compile(r"((?:127\.0\.0\.1|\[::1\]):|\bport )(\d+)\b")
_PROCESS = re.compile(r"^(\D+?)[\d.]* \(\d+\)$")


def _stable_number(text: str, below: int, *more: str) -> int:
    """Return a number below `below` that depends on the texts only."""
    return zlib.crc32("|".join((text, *more)).encode()) % below


class FrozenSession(DelegatingSession):
    """Implements `tui_forward.session.Session` on top of another.

    Args:
        real: Source of all values.
        server: `host:port` of the cluster's API server.
        rates: Bytes per second from and to the pod, by target.
    """

    def __init__(self, real: Session, *, server: str, rates: dict[str, tuple[int, int]]) -> None:
        super().__init__(real)
        self._server = server
        self._rates = rates
        self._ports: dict[int, int] = {}  # shown ports by real local port
        self._names: dict[str, str] = {}  # shown names by address or process
        self._pods: dict[str, Pod] = {}  # by key
        self._aliases: dict[str, dict[str, str]] = {}  # by forward: shown pods and nodes

    # Replacements ----------------------------------------------------------------------------

    def _stable_text(self, forward_id: str, text: str) -> str:
        text = text.replace(self._server, "127.0.0.1:6443")
        for real, alias in self._aliases.get(forward_id, {}).items():
            text = text.replace(real, alias)
        # In one pass: the real port of a forward may be the shown port of another.
        text = _PORT.sub(lambda found: found[1] + self._shown_port(found[2]), text)
        for pattern, fixed in _VARYING:
            text = pattern.sub(fixed, text)
        return text

    def _shown_port(self, port: str) -> str:
        return str(self._ports.get(int(port), port))

    def _pod(self, forward: Forward) -> PodRef | None:
        """Return the first ready pod of the owner in place of the pod in use.

        Which of several replicas is used depends on which one was ready first.
        """
        used = forward.pod
        pod = self._pods.get(f"pods/{used.namespace}/{used.name}") if used is not None else None
        if used is None or pod is None or pod.owner is None:
            return used
        replicas = [one for one in self._pods.values() if one.owner == pod.owner and one.ready]
        first = min(replicas, key=lambda one: one.name, default=pod)
        if first.name != pod.name:
            self._aliases[forward.id] = {pod.name: first.name, pod.node: first.node}
        return msgspec.structs.replace(used, name=first.name, node=first.node)

    def _listening(self, forward: Forward) -> tuple[LocalAddress, ...]:
        for address in forward.listening:
            shown_port = max(forward.remote_port or address.port, 1024)
            while address.port not in self._ports and shown_port in self._ports.values():
                shown_port += 1
            self._ports.setdefault(address.port, shown_port)
        return tuple(LocalAddress(a.host, self._ports[a.port]) for a in forward.listening)

    def _stable_name(self, kind: str, real: str, name: Callable[[int], str]) -> str:
        if real not in self._names:
            count = sum(1 for one in self._names if one.startswith(kind))
            self._names[real] = name(count)
        return self._names[real]

    # Replaced values ----------------------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        """See `Session.snapshot`."""
        real = await self.below.snapshot()
        forwards = tuple(self._forward(forward) for forward in real.forwards)
        health = tuple(msgspec.structs.replace(one, latency_s=_API_S) for one in real.health)
        return msgspec.structs.replace(
            real, forwards=forwards, totals=self.totals(forwards), at=NOW, notices=(), health=health
        )

    @staticmethod
    def totals(forwards: tuple[Forward, ...]) -> Counters:
        """Return the sums over forwards."""
        return Counters(
            rate_from_pod=sum(forward.counters.rate_from_pod for forward in forwards),
            rate_to_pod=sum(forward.counters.rate_to_pod for forward in forwards),
            connections_open=sum(forward.counters.connections_open for forward in forwards),
        )

    def _forward(self, forward: Forward) -> Forward:
        target = str(forward.spec.target)
        down, up = self._rates.get(target, (0, 0))
        ready = forward.state is ForwardState.READY
        age = 600 + _stable_number(target, 9_000) if ready else 4.0
        counters = msgspec.structs.replace(
            forward.counters,
            rate_from_pod=float(down) if ready else 0.0,
            rate_to_pod=float(up) if ready else 0.0,
            bytes_from_pod=down * 700 + _stable_number(target, _MIB, "down") if down else 0,
            bytes_to_pod=up * 700 + _stable_number(target, _MIB, "up") if up else 0,
        )
        pod = self._pod(forward)
        return msgspec.structs.replace(
            forward,
            spec=msgspec.structs.replace(forward.spec, local_port=None),
            pod=pod,
            listening=self._listening(forward),
            reason=self._stable_text(forward.id, forward.reason),
            hint=self._stable_text(forward.id, forward.hint),
            last_event="" if ready else self._stable_text(forward.id, forward.last_event),
            since=NOW - age,
            started_at=NOW - 11_000,
            retry_at=NOW + 2 if forward.retry_at is not None else None,
            round_trip_s=_ROUND_TRIP_S if forward.round_trip_s is not None else None,
            transport=TransportChoice.SPDY if forward.transport is not None else None,
            tunnels=2 if forward.tunnels else 0,
            counters=counters,
        )

    async def histories(self) -> tuple[TrafficHistory, ...]:
        """See `Session.histories`; screenshots have fixed ones."""
        return ()

    async def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        """See `Session.connections`."""
        forwards = {one.id: one for one in (await self.snapshot()).forwards}
        shown = []
        connections = await self.below.connections(forward_id)
        flowing = sum(map(is_flowing, connections))
        for place, one in enumerate(connections):
            down, up = self._rates.get(str(forwards[one.forward_id].spec.target), (0, 0))
            flows = is_flowing(one)
            age = 40 + _stable_number(one.forward_id, 900, str(place))
            if one.state is ConnectionState.QUEUED:
                age = 2 + place  # shorter than the outage
            share = (1 + place) / (flowing * (flowing + 1) / 2) if flows else 0.0
            shown.append(
                msgspec.structs.replace(
                    one,
                    client=self._stable_name(
                        "127", one.client, lambda n: f"127.0.0.1:{50_412 + 7 * n}"
                    ),
                    process=self._process(one.process),
                    opened_at=NOW - age,
                    closed_at=NOW - age + 3 if one.closed_at is not None else None,
                    first_byte_s=0.0019 if one.first_byte_s is not None else None,
                    bytes_from_pod=int(down * age * share) if flows else one.bytes_from_pod,
                    bytes_to_pod=int(up * age * share) if flows else one.bytes_to_pod,
                    rate_from_pod=down * share,
                    rate_to_pod=up * share,
                    pod=self._stable_text(one.forward_id, one.pod),
                    close_reason=self._stable_text(one.forward_id, one.close_reason),
                )
            )
        return tuple(shown)

    def _process(self, process: str) -> str:
        found = _PROCESS.match(process)
        if found is None:
            return process
        return self._stable_name(found[1], process, lambda n: f"{found[1]} ({4_211 + 12 * n})")

    async def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        """See `Session.timeline`; what else happens on a busy machine is left out."""
        entries = await self.below.timeline(forward_id)
        starts = [next((e for e in entries if e.text.startswith(text)), None) for text in _START]
        shown = [entry for entry in starts if entry is not None]
        return tuple(
            msgspec.structs.replace(
                entry,
                at=NOW - 60 - 97 * (len(shown) - place),
                text=self._stable_text(forward_id, entry.text),
            )
            for place, entry in enumerate(shown)
        )

    async def hops(self, forward_id: str) -> tuple[Hop, ...]:
        """See `Session.hops`."""
        return tuple(
            msgspec.structs.replace(
                hop,
                name=self._stable_text(forward_id, hop.name),
                facts=tuple(self._stable_text(forward_id, fact) for fact in hop.facts),
                latency_s=_LATENCIES.get(hop.kind) if hop.latency_s is not None else None,
                error=self._stable_text(forward_id, hop.error),
                hint=self._stable_text(forward_id, hop.hint),
            )
            for hop in await self.below.hops(forward_id)
        )

    async def catalog(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        """See `Session.catalog`."""
        view = await self.below.catalog(scope, since)
        if view.complete:
            self._pods.clear()
        for key in view.removed:
            self._pods.pop(key, None)
        self._pods.update({f"pods/{pod.namespace}/{pod.name}": pod for pod in view.pods})
        return msgspec.structs.replace(
            view,
            pods=tuple(map(_pod, view.pods)),
            services=tuple(map(_with_fixed_age, view.services)),
            workloads=tuple(map(_workload, view.workloads)),
            health=_health(view.health),
        )


def is_flowing(connection: Connection) -> bool:
    """Return whether a connection is open and has brought bytes."""
    return connection.state is ConnectionState.OPEN and bool(connection.bytes_from_pod)


# Pods whose status changes all the time are shown with their most frequent one.
_STATUS = {"payments": "CrashLoopBackOff", "recommender": "ImagePullBackOff"}


def _pod(pod: Pod) -> Pod:
    crashes = "payments" in pod.name
    return msgspec.structs.replace(
        pod,
        created_at=NOW - 3_600 - _stable_number(pod.name, int(9 * _DAY_S)),
        ready_since=NOW - 1_800,
        status=_STATUS.get(pod.name.partition("-")[0], pod.status),
        restarts=17 if crashes else 0,
        ready=not crashes and pod.ready,
        containers_ready=0 if crashes else pod.containers_ready,
    )


def _workload(workload: Workload) -> Workload:
    crashes = workload.name == "payments"
    return _with_fixed_age(msgspec.structs.replace(workload, ready=0) if crashes else workload)


Aged = TypeVar("Aged", Service, Workload)


def _with_fixed_age(item: Aged) -> Aged:
    return msgspec.structs.replace(
        item, created_at=NOW - 30 * _DAY_S - _stable_number(item.name, 999)
    )


def _health(health: ApiHealth | None) -> ApiHealth | None:
    if health is None or health.latency_s is None:
        return health
    return msgspec.structs.replace(health, latency_s=_API_S)
