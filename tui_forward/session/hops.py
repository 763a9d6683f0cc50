"""The way of a forward's connections as stations, with what is known of each. Pure.

What is broken is `verdict`'s business; this puts facts into words and marks the stations.
Names and texts come from a cluster, so nothing leaves here with control characters in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tui_forward.kube.api.log_text import strip_control_characters
from tui_forward.model import (
    Connection,
    ConnectionState,
    Forward,
    ForwardState,
    Hop,
    HopKind,
    HopState,
    PortProtocol,
    Reason,
    TargetKind,
    TransportChoice,
)
from tui_forward.session.diagnosis import (
    ClusterFacts,
    Diagnosis,
    diagnose,
    latest_refusal,
)

_TRANSPORTS = {
    TransportChoice.SPDY: " by SPDY",
    TransportChoice.WEBSOCKET: " by WebSocket",
    TransportChoice.CHANNELS: " by WebSocket channels",
}
_MAX_TEXT = 300


def build_hops(
    forward: Forward,
    obstacle: Reason | None,
    known: ClusterFacts,
    connections: Sequence[Connection] = (),
) -> tuple[Hop, ...]:
    """The six stations, in the order of `HopKind`.

    Args:
        forward: The forward as it stands.
        obstacle: What keeps it from being ready.
        known: What the API server tells.
        connections: Its connections, the recently closed ones included, oldest first.
    """
    verdict = diagnose(forward, obstacle, known, latest_refusal(forward, connections))
    way = _HopBuilder(forward, known, connections)
    return tuple(_marked(_DRAWN[kind](way), way, verdict) for kind in HopKind)


@dataclass(frozen=True, slots=True)
class _HopBuilder:
    forward: Forward
    known: ClusterFacts
    connections: Sequence[Connection]

    @property
    def node(self) -> str:
        """Name of the node; empty while the pod has none."""
        if self.known.pod is not None:
            return self.known.pod.pod.node
        return self.forward.pod.node if self.forward.pod is not None else ""


# Marks --------------------------------------------------------------------------------

_ORDER = tuple(HopKind)


def _marked(hop: Hop, way: _HopBuilder, verdict: Diagnosis) -> Hop:
    state = _state(hop.kind, way, verdict)
    broken = state is HopState.BROKEN
    return Hop(
        kind=hop.kind,
        name=_text(hop.name),
        facts=tuple(_text(fact) for fact in hop.facts if fact),
        state=state,
        latency_s=None if broken else hop.latency_s,  # it was measured before
        code=verdict.code if broken else hop.code,
        error=_text(verdict.error if broken else hop.error),
        hint=_text(verdict.hint if broken else hop.hint),
    )


def _state(kind: HopKind, way: _HopBuilder, verdict: Diagnosis) -> HopState:
    forward, known = way.forward, way.known
    if verdict.hop is not None:
        distance = _ORDER.index(kind) - _ORDER.index(verdict.hop)
        if distance >= 0:
            return HopState.BROKEN if distance == 0 else HopState.UNKNOWN
        # A pod that no node was found for has no kubelet that could be all right.
        nowhere = kind in (HopKind.KUBELET, HopKind.RUNTIME) and not way.node
        return HopState.UNKNOWN if nowhere else HopState.OK
    if forward.state is ForwardState.READY:
        return HopState.OK
    # Nothing is broken, and nothing has come through: as far as is known.
    if kind is HopKind.LOCAL and forward.listening:
        return HopState.OK
    answers = known.health is not None and known.health.ok is True
    on = forward.listening and forward.state is not ForwardState.STOPPED
    return HopState.OK if kind is HopKind.API and answers and on else HopState.UNKNOWN


# Facts --------------------------------------------------------------------------------


def _local(way: _HopBuilder) -> Hop:
    forward = way.forward
    spec = forward.spec
    if forward.listening:
        first, *others = (str(address) for address in forward.listening)
        facts = ["paused: connections are refused" if forward.paused else "listening", *others]
    else:
        port = f":{spec.local_port}" if spec.local_port else ""
        first, facts = f"{spec.addresses[0]}{port}", ["not listening"]
    if forward.queued:
        facts.append(f"{_count(forward.queued, 'connection')} waiting")
    return Hop(kind=HopKind.LOCAL, name=first, facts=tuple(facts))


def _api(way: _HopBuilder) -> Hop:
    health = way.known.health
    context = f"context {way.forward.spec.target.context}"
    if health is None:
        return Hop(kind=HopKind.API, name=way.known.server, facts=(context,))
    ill = health.ok is False
    return Hop(
        kind=HopKind.API,
        name=health.server or way.known.server,
        facts=(health.version, context),
        latency_s=health.latency_s,
        code=health.code if ill else None,
        error=health.error if ill else "",
        hint=health.hint if ill else "",
    )


def _kubelet(way: _HopBuilder) -> Hop:
    node = way.known.node
    if node is None:
        return Hop(kind=HopKind.KUBELET, name=way.node)
    ready = {True: "Ready", False: "NotReady", None: ""}[node.ready]
    version = f"kubelet {node.kubelet}" if node.kubelet else ""
    return Hop(kind=HopKind.KUBELET, name=way.node, facts=(node.address, version, ready))


def _runtime(way: _HopBuilder) -> Hop:
    forward, known = way.forward, way.known
    name = known.node.runtime if known.node is not None else ""
    if not name and known.pod is not None:
        name = known.pod.runtime
    tunnels = ""
    if forward.tunnels:
        by = _TRANSPORTS.get(forward.transport, "") if forward.transport is not None else ""
        tunnels = _count(forward.tunnels, "tunnel") + by
    # Whoever ends the tunnel answers its PINGs, and that is the runtime's streaming server.
    return Hop(kind=HopKind.RUNTIME, name=name, facts=(tunnels,), latency_s=forward.round_trip_s)


def _pod(way: _HopBuilder) -> Hop:
    forward = way.forward
    if way.known.pod is None:
        target = forward.spec.target
        named = target.name if target.kind is TargetKind.POD else ""
        return Hop(kind=HopKind.POD, name=forward.pod.name if forward.pod is not None else named)
    pod = way.known.pod.pod
    ready = "ready" if pod.ready else "not ready"
    facts = (
        pod.status or pod.phase,
        f"{ready} {pod.containers_ready}/{pod.containers_total}",
        pod.ip,
        _count(pod.restarts, "restart"),
        f"owned by {pod.owner.kind} {pod.owner.name}" if pod.owner is not None else "",
    )
    return Hop(kind=HopKind.POD, name=pod.name, facts=facts)


def _port(way: _HopBuilder) -> Hop:
    forward = way.forward
    if forward.remote_port is None:
        return Hop(kind=HopKind.PORT, name=forward.spec.target.port)
    facts = [*_declaration(way, forward.remote_port), _refused(way)]
    if forward.round_trip_s is not None:
        facts.append(f"{_milliseconds(forward.round_trip_s)} through the whole chain")
    return Hop(kind=HopKind.PORT, name=str(forward.remote_port), facts=tuple(facts))


_DRAWN: dict[HopKind, Callable[[_HopBuilder], Hop]] = {
    HopKind.LOCAL: _local,
    HopKind.API: _api,
    HopKind.KUBELET: _kubelet,
    HopKind.RUNTIME: _runtime,
    HopKind.POD: _pod,
    HopKind.PORT: _port,
}


# Words --------------------------------------------------------------------------------


def _declaration(way: _HopBuilder, port: int) -> tuple[str, ...]:
    """Name of a port and its container, where a container declares it."""
    if way.known.pod is None:
        return ()
    for declared in way.known.pod.pod.ports:
        if declared.number == port and declared.protocol is PortProtocol.TCP:
            return declared.name, f"container {declared.container}"
    return ("declared by no container",)


def _refused(way: _HopBuilder) -> str:
    """How many of the connections that ended lately were refused; empty if none was."""
    ended = [one for one in way.connections if one.state is ConnectionState.CLOSED]
    refused = sum(latest_refusal(way.forward, (one,)) is not None for one in ended)
    return f"refused {refused} of the last {_count(len(ended), 'connection')}" if refused else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _milliseconds(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def _text(text: str) -> str:
    line = " ".join(strip_control_characters(text).split())
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 1].rstrip() + "…"
