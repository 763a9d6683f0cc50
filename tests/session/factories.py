"""Forwards, connections and facts about a cluster."""

from __future__ import annotations

from typing import Any

from tui_forward.kube.api.details import NodeDetails, PodDetails
from tui_forward.model import (
    ApiHealth,
    Connection,
    ConnectionState,
    DeclaredPort,
    Forward,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    OwnerRef,
    Pod,
    PodRef,
    Reason,
    ReasonCode,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.reasons import blocked_by, reason_hint, reason_text
from tui_forward.session.diagnosis import ClusterFacts

TARGET = Target(
    context="here", namespace="shop", kind=TargetKind.DEPLOYMENT, name="web", port="http"
)
POD = Pod(
    namespace="shop",
    name="web-1",
    uid="uid-web-1",
    phase="Running",
    status="Running",
    ready=True,
    containers_ready=2,
    containers_total=2,
    restarts=3,
    node="node-a",
    ip="10.0.0.1",
    owner=OwnerRef("Deployment", "web"),
    ports=(
        DeclaredPort(number=9090, name="metrics", container="exporter"),
        DeclaredPort(number=8080, name="http", container="main"),
    ),
    container_ids=("containerd://abc",),
)
NODE = NodeDetails(
    name="node-a",
    address="192.168.0.7",
    port=10250,
    kubelet="v1.36.2",
    runtime="containerd 1.6.20",
    ready=True,
)
HEALTHY = ApiHealth(context="here", server="api:6443", ok=True, latency_s=0.012, version="v1.36.2")
DOWN = ApiHealth(
    context="here",
    ok=False,
    code=ReasonCode.NETWORK_REFUSED,
    error="api:6443 refuses connections",
    hint="Check that it runs",
)
KNOWN = ClusterFacts(
    server="api:6443",
    health=HEALTHY,
    pod=PodDetails(pod=POD, containers=("main", "exporter")),
    node=NODE,
)
LISTENING = (LocalAddress("127.0.0.1", 8080), LocalAddress("::1", 8080))


def forward(
    state: ForwardState = ForwardState.READY,
    reason: str = "because",
    code: ReasonCode = ReasonCode.FORWARD_CONNECTING,
    **more: Any,
) -> Forward:
    fields: dict[str, Any] = {
        "id": "f1",
        "spec": ForwardSpec(target=TARGET, local_port=8080),
        "listening": LISTENING,
        "pod": PodRef(namespace="shop", name="web-1", uid="uid-web-1", node="node-a"),
        "remote_port": 8080,
    }
    if state is ForwardState.READY:
        fields |= {"tunnels": 2, "round_trip_s": 0.0042, "transport": TransportChoice.SPDY}
    return Forward(state=state, code=code, reason=reason, **(fields | more))


def blocked(reason: Reason, **more: Any) -> Forward:
    return forward(
        ForwardState.BLOCKED,
        reason_text(reason),
        reason.code,
        hint=reason_hint(reason),
        blocked_by=blocked_by(reason),
        **more,
    )


def connection(number: int, **more: Any) -> Connection:
    fields: dict[str, Any] = {
        "state": ConnectionState.CLOSED,
        "close_code": ReasonCode.CONNECTION_CLOSED,
        "close_reason": "closed",
    }
    return Connection(id=number, forward_id="f1", client="127.0.0.1:5", **(fields | more))


def refused(number: int) -> Connection:
    reason = Reason(code=ReasonCode.PORT_REFUSED, port="8080")
    return connection(number, close_code=reason.code, close_reason=reason_text(reason), failed=True)
