"""Hops of a forward's network path, with the facts about each. Pure.

`diagnosis` finds the failed hop; this module formats facts and sets the states. Names and texts
come from a cluster, so control characters are stripped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tui_forward.common.formatting import format_age
from tui_forward.kube.api.log_text import strip_control_characters
from tui_forward.model import (
    ApiHealth,
    Connection,
    ConnectionState,
    Forward,
    ForwardState,
    Hop,
    HopKind,
    HopState,
    PodShareState,
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
    cause: Reason | None,
    facts: ClusterFacts,
    connections: Sequence[Connection] = (),
) -> tuple[Hop, ...]:
    """Return the six hops, in the order of `HopKind`.

    `connections` include recently closed ones, oldest first.
    """
    diagnosis = diagnose(forward, cause, facts, latest_refusal(forward, connections))
    path = _Path(forward, facts, connections)
    return tuple(_with_state(_BUILDERS[kind](path), path, diagnosis) for kind in HopKind)


@dataclass(frozen=True, slots=True)
class _Path:
    forward: Forward
    facts: ClusterFacts
    connections: Sequence[Connection]

    @property
    def node(self) -> str:
        """Return the name of the node; empty while the pod has none."""
        if self.facts.pod is not None:
            return self.facts.pod.pod.node
        return self.forward.pod.node if self.forward.pod is not None else ""


# States -------------------------------------------------------------------------------

_ORDER = tuple(HopKind)


def _with_state(hop: Hop, path: _Path, diagnosis: Diagnosis) -> Hop:
    state = _state(hop.kind, path, diagnosis)
    broken = state in (HopState.BROKEN, HopState.DEGRADED)
    return Hop(
        kind=hop.kind,
        name=_text(hop.name),
        facts=tuple(_text(fact) for fact in _facts(hop, path, state) if fact),
        state=state,
        # That of a broken hop was measured before the failure.
        latency_s=None if state is HopState.BROKEN else hop.latency_s,
        code=diagnosis.code if broken else hop.code,
        error=_text(diagnosis.error if broken else hop.error),
        hint=_text(diagnosis.hint if broken else hop.hint),
    )


def _facts(hop: Hop, path: _Path, state: HopState) -> tuple[str, ...]:
    """Return the facts of a hop; of a port that is not tested, why."""
    if hop.kind is not HopKind.PORT or state is not HopState.UNKNOWN:
        return hop.facts
    details = path.facts.pod
    if details is not None and details.pod.faults:
        return ("not tested: no running container",)
    return ("not tested",)


def _state(kind: HopKind, path: _Path, diagnosis: Diagnosis) -> HopState:
    forward, facts = path.forward, path.facts
    if diagnosis.hop is not None and not diagnosis.is_broken:
        return HopState.DEGRADED if kind is diagnosis.hop else HopState.OK
    if diagnosis.hop is not None:
        distance = _ORDER.index(kind) - _ORDER.index(diagnosis.hop)
        if distance >= 0:
            return HopState.BROKEN if distance == 0 else HopState.UNKNOWN
        # A pod without a node has no kubelet.
        unscheduled = kind in (HopKind.KUBELET, HopKind.RUNTIME) and not path.node
        return HopState.UNKNOWN if unscheduled else HopState.OK
    if forward.state is ForwardState.READY:
        return HopState.OK
    # No hop has failed, and no tunnel is up: OK is only what is certain.
    is_open = bool(forward.listening or forward.spec.proxy)
    if kind is HopKind.LOCAL and is_open:
        return HopState.OK
    answering = facts.health is not None and facts.health.ok is True
    is_active = is_open and forward.state is not ForwardState.STOPPED
    return HopState.OK if kind is HopKind.API and answering and is_active else HopState.UNKNOWN


# Facts --------------------------------------------------------------------------------


def _local(path: _Path) -> Hop:
    forward = path.forward
    spec = forward.spec
    if forward.listening:
        addresses = sorted(forward.listening, key=lambda one: ":" in one.host)  # IPv4 first
        first, *others = map(str, addresses)
        state = "paused: connections are refused" if forward.paused else "listening"
        facts = [state, *(f"also {one}" for one in others)]
    elif spec.proxy:
        first, facts = f"proxy {spec.proxy}", []
    else:
        port = f":{spec.local_port}" if spec.local_port else ""
        first, facts = f"{spec.addresses[0]}{port}", ["not listening"]
    if forward.queued:
        facts.append(f"{_count(forward.queued, 'connection')} queued")
    return Hop(kind=HopKind.LOCAL, name=first, facts=tuple(facts))


def _api(path: _Path) -> Hop:
    health = path.facts.health
    if health is None:
        return Hop(kind=HopKind.API, name=path.facts.server)
    failed = health.ok is False
    return Hop(
        kind=HopKind.API,
        name=(health.server or path.facts.server).removeprefix("https://"),
        facts=(health.version, _validity(health, time.time())),
        latency_s=health.latency_s,
        code=health.code if failed else None,
        error=health.error if failed else "",
        hint=health.hint if failed else "",
    )


def _kubelet(path: _Path) -> Hop:
    node = path.facts.node
    if node is None:
        return Hop(kind=HopKind.KUBELET, name=path.node)
    ready = {True: "Ready", False: "NotReady", None: ""}[node.ready]
    return Hop(kind=HopKind.KUBELET, name=path.node, facts=(node.address, ready, node.kubelet))


def _runtime(path: _Path) -> Hop:
    forward, facts = path.forward, path.facts
    name = facts.node.runtime if facts.node is not None else ""
    if not name and facts.pod is not None:
        name = facts.pod.runtime
    tunnels = ""
    if forward.tunnels:
        by = _TRANSPORTS.get(forward.transport, "") if forward.transport is not None else ""
        tunnels = _count(forward.tunnels, "tunnel") + by
        streams = forward.counters.connections_open - forward.queued
        tunnels += f", {_count(streams, 'stream')}" if streams > 0 else ", no stream"
    # The runtime's streaming server terminates the tunnel and answers its PINGs.
    return Hop(kind=HopKind.RUNTIME, name=name, facts=(tunnels,), latency_s=forward.round_trip_s)


def _pod(path: _Path) -> Hop:
    forward = path.forward
    if path.facts.pod is None:
        target = forward.spec.target
        named = target.name if target.kind is TargetKind.POD else ""
        return Hop(kind=HopKind.POD, name=forward.pod.name if forward.pod is not None else named)
    pod = path.facts.pod.pod
    ready = "ready" if pod.ready else "not ready"
    pods = sum(share.state is PodShareState.READY for share in forward.pods)
    exit_code = next((one.exit_code for one in pod.faults if one.exit_code is not None), None)
    facts = (
        f"one of {pods}" if pods > 1 else "",
        pod.status or pod.phase,
        f"{ready} {pod.containers_ready}/{pod.containers_total}" if not pod.faults else "",
        _count(pod.restarts, "restart") if pod.restarts else "",
        f"exit code {exit_code}" if exit_code is not None else "",
        pod.ip,
        f"owned by {pod.owner.kind} {pod.owner.name}" if pod.owner is not None else "",
    )
    return Hop(kind=HopKind.POD, name=pod.name, facts=facts)


def _port(path: _Path) -> Hop:
    forward = path.forward
    if forward.remote_port is None:
        return Hop(kind=HopKind.PORT, name=forward.spec.target.port)
    name, *facts = _declaration(path, forward.remote_port)
    facts.append(_refused(path))
    if forward.round_trip_s is not None:
        facts.append(f"{_milliseconds(forward.round_trip_s)} through the whole chain")
    shown = f"{name} {forward.remote_port}".strip()
    return Hop(kind=HopKind.PORT, name=shown, facts=tuple(facts))


_BUILDERS: dict[HopKind, Callable[[_Path], Hop]] = {
    HopKind.LOCAL: _local,
    HopKind.API: _api,
    HopKind.KUBELET: _kubelet,
    HopKind.RUNTIME: _runtime,
    HopKind.POD: _pod,
    HopKind.PORT: _port,
}


# Texts --------------------------------------------------------------------------------


def _declaration(path: _Path, port: int) -> tuple[str, ...]:
    """Return the name of a port, which may be empty, and what is known of its container."""
    if path.facts.pod is None:
        return ("",)
    for declared in path.facts.pod.pod.ports:
        if declared.number == port and declared.protocol is PortProtocol.TCP:
            return declared.name, f"container {declared.container}"
    return "", "declared by no container"


def _validity(health: ApiHealth, now: float) -> str:
    """Return how long the credentials are valid; empty if they do not say."""
    end = health.credentials_end_at
    if end is None:
        return ""
    if end <= now:
        return "credentials expired"
    renewed = ", renewed automatically" if health.renews_credentials else ""
    return f"credentials valid {format_age(end - now)}{renewed}"


def _refused(path: _Path) -> str:
    """Return how many of the recently closed connections were refused; empty if none."""
    ended = [one for one in path.connections if one.state is ConnectionState.CLOSED]
    refused = sum(latest_refusal(path.forward, (one,)) is not None for one in ended)
    return f"refused {refused} of the last {_count(len(ended), 'connection')}" if refused else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _milliseconds(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def _text(text: str) -> str:
    line = " ".join(strip_control_characters(text).split())
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 1].rstrip() + "…"
