"""The scene of `fleet` with a cluster proxy and a forward that spreads its connections.

Four of its forwards are left, all ready.
"""

from __future__ import annotations

from msgspec.structs import replace

from tests.support import fleet
from tui_forward.model import (
    Balance,
    Connection,
    ConnectionState,
    Counters,
    EarlierPods,
    Forward,
    Hop,
    HopKind,
    HopState,
    LocalAddress,
    PodRef,
    PodShare,
    PodShareState,
    ProxyInfo,
    ProxySpec,
    TargetKind,
    TimelineEntry,
    TimelineKind,
)

_PROXY = ProxyInfo(
    id="p1", spec=ProxySpec(context=fleet.STAGING, namespace="shop"),
    listening=(LocalAddress("127.0.0.1", 1080), LocalAddress("::1", 1080)),
    started_at=fleet.NOW - 3600, services=14, refused=2,
)  # fmt: skip
_KEPT = ("f5", "f7", "f8", "f11")
# Host, port, connections, rates from and to the pod.
_TARGETS = (
    ("session-store", "redis", 4, 0.0, 0.0),
    ("orders-queue", "amqp", 2, 12.4e3, 3.1e3),
    ("tax-calculator", "http", 1, 0.0, 0.0),
    ("shipping-rates", "http", 3, 220e3, 18e3),
    ("webhook-relay", "http", 0, 0.0, 0.0),
)
# Ends of the names of the pods of api-gateway; processes, ages and rates of their connections.
_PODS = ("6b8f7c9d5-x2x9k", "7f9b8d6c4-zx4wq", "7f9b8d6c4-8hkmn")
_CLIENTS = (
    ("java (3301)", 760, 1.1e6, 198e3), ("k6 (70112)", 64, 48e3, 9e3),
    ("k6 (70112)", 64, 46e3, 9e3), ("k6 (70112)", 63, 45e3, 8e3),
    ("java (3301)", 759, 0.0, 0.0), ("chrome (2210)", 12, 0.0, 0.0),
)  # fmt: skip


# Before the rollout.
_EARLIER = EarlierPods(
    pods=3, connections_total=402, bytes_from_pod=int(1.9e9), bytes_to_pod=int(3.4e8)
)


def _pod(end: str) -> PodRef:
    name = f"api-gateway-{end}"
    return PodRef(namespace="shop", name=name, uid=name, node="node-b")


def _spread(forward: Forward) -> Forward:
    """Return a forward to api-gateway with connections to all of its pods."""
    target = replace(forward.spec.target, balance=Balance.SPREAD)
    share = len(_CLIENTS) // len(_PODS)
    return replace(
        forward,
        spec=replace(forward.spec, target=target),
        pods=tuple(
            PodShare(
                pod=_pod(end), state=PodShareState.READY, connections_open=share,
                connections_total=214 - number, bytes_from_pod=int(7.7e8 - number * 4e6),
                bytes_to_pod=int(1.377e8 - number * 1e6),
            )
            for number, end in enumerate(_PODS)
        ),
        earlier_pods=_EARLIER,
        counters=replace(
            forward.counters, connections_open=len(_CLIENTS),
            connections_total=sum(214 - number for number in range(len(_PODS)))
            + _EARLIER.connections_total,
            bytes_from_pod=forward.counters.bytes_from_pod + _EARLIER.bytes_from_pod,
            bytes_to_pod=forward.counters.bytes_to_pod + _EARLIER.bytes_to_pod,
        ),
    )  # fmt: skip


def _target(number: int, first: Forward) -> Forward:
    """Return a target of the proxy."""
    name, port, connections, down, up = _TARGETS[number]
    target = replace(
        first.spec.target, kind=TargetKind.SERVICE, name=name, port=port, balance=Balance.SPREAD
    )
    pod = replace(_pod(_PODS[0]), name=f"{name}-{_PODS[0]}")
    return replace(
        first, id=f"f{20 + number}",
        spec=replace(first.spec, target=target, proxy=_PROXY.id, local_port=0, profile=""),
        listening=(), pod=pod,
        started_at=fleet.NOW - 300 + number, since=fleet.NOW - 300 + number,
        counters=Counters(
            rate_from_pod=down, rate_to_pod=up, connections_open=connections,
            connections_total=connections + 3, bytes_from_pod=int(down * 90 + 4e5),
            bytes_to_pod=int(up * 90 + 6e4),
        ),
    )  # fmt: skip


def _hops() -> tuple[Hop, ...]:
    """Return the chain of the forward to api-gateway."""
    return (
        Hop(kind=HopKind.LOCAL, name="127.0.0.1:8080", facts=("listening", "also [::1]:8080"),
            state=HopState.OK),
        Hop(kind=HopKind.API, name="staging.k8s.internal:6443", latency_s=0.004,
            facts=("v1.36.2", "token valid 7h51m"), state=HopState.OK),
        Hop(kind=HopKind.KUBELET, name="node-b", facts=("10.20.4.17", "Ready"), state=HopState.OK),
        Hop(kind=HopKind.RUNTIME, name="containerd 1.6.20", latency_s=0.002, state=HopState.OK,
            facts=("3 tunnels by SPDY",)),
        Hop(kind=HopKind.POD, name=_pod(_PODS[0]).name, facts=("Running", "Ready"),
            state=HopState.OK),
        Hop(kind=HopKind.PORT, name="http 8080", latency_s=0.002, facts=("accepts connections",),
            state=HopState.OK),
    )  # fmt: skip


def _timeline() -> tuple[TimelineEntry, ...]:
    """Return a rollout of api-gateway, oldest entry first."""
    old = "api-gateway-5c4d3b2a1-"
    rows = (
        *((70 - 9 * n, f"{_pod(end).name} joined: 4 pods") for n, end in enumerate(_PODS)),
        *((69 - 9 * n, f"{old}{end} left (terminating): 3 pods")
          for n, end in enumerate(("qt7vd", "l8s2n", "mm4hz"))),
    )  # fmt: skip
    return tuple(
        TimelineEntry(at=fleet.NOW - ago, kind=TimelineKind.POD, text=text)
        for ago, text in sorted(rows, reverse=True)
    )


def _connections() -> list[Connection]:
    return [
        Connection(
            id=100 + number, forward_id="f5", client=f"127.0.0.1:{51_000 + number}",
            process=process, state=ConnectionState.OPEN, opened_at=fleet.NOW - age,
            rate_from_pod=down, rate_to_pod=up, bytes_from_pod=int(down * age + 6e5),
            bytes_to_pod=int(up * age + 9e4), first_byte_s=0.0021 + number / 10_000,
            pod=_pod(_PODS[number % len(_PODS)]).name,
        )
        for number, (process, age, down, up) in enumerate(_CLIENTS)
    ]  # fmt: skip


def fleet_before_proxy() -> fleet.FleetSession:
    """Return a fake session of the scene before the proxy is started."""
    session = fleet_with_proxy()
    session.proxies = {}
    session.forwards = {one: session.forwards[one] for one in _KEPT}
    return session


def add_targets(session: fleet.FleetSession, count: int) -> None:
    """Open the first targets of the proxy."""
    first = session.forwards["f5"]
    for number in range(count):
        target = _target(number, first)
        session.forwards[target.id] = replace(
            target, pods=(), earlier_pods=None, started_at=fleet.NOW - 5, since=fleet.NOW - 5
        )


def fleet_with_proxy() -> fleet.FleetSession:
    """Return a fake session of the scene."""
    session = fleet.fleet()
    kept = {one: session.forwards[one] for one in _KEPT}
    targets = (_target(number, kept["f5"]) for number in range(len(_TARGETS)))
    kept["f5"] = _spread(kept["f5"])
    session.forwards = {**kept, **{one.id: one for one in targets}}
    session.proxies = {_PROXY.id: _PROXY}
    session.hop_list = _hops()
    session.timeline_entries = _timeline()
    own = _connections()
    rest = [one for one in session.connection_list if one.forward_id in ("f7", "f8", "f11")]
    session.connection_list = sorted([*own, *rest], key=lambda one: one.opened_at)
    return session
