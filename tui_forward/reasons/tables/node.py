"""Reasons of nodes: kubelet and container runtime."""

from __future__ import annotations

from typing import Final

from tui_forward.model import HopKind, ReasonCode
from tui_forward.reasons.entry import RETRIED, Entry

_NODE_HINT: Final = "Check the node and its network: kubectl describe node [{node}|NODE]"
_THE_KUBELET: Final = "[the kubelet of {node}|the node's kubelet]"

TABLE: Final[dict[ReasonCode, Entry]] = {
    ReasonCode.NODE_NOT_READY: Entry(
        "node[ {node}] is NotReady",
        "[node {node}|the node] is NotReady[ since {at}][: {detail}]",
        "Check the node: kubectl describe node [{node}|NODE]",
        HopKind.KUBELET,
    ),
    ReasonCode.NODE_MISSING: Entry(
        "node[ {node}] is gone",
        "[node {node}|the node of the pod] does not exist any more",
        "Delete the pod so that it is created on another node: "
        "kubectl delete pod[ -n {namespace}] [{pod}|POD]",
        HopKind.KUBELET,
    ),
    ReasonCode.KUBELET_UNREACHABLE: Entry(
        "kubelet unreachable",
        f"the API server cannot reach {_THE_KUBELET}[ at {{address}}][: {{detail}}]",
        _NODE_HINT,
        HopKind.KUBELET,
        automatic=RETRIED,
    ),
    ReasonCode.KUBELET_NO_ANSWER: Entry(
        "kubelet does not answer",
        f"the API server answers, but {_THE_KUBELET} does not[ within {{timeout_s}} s]"
        "[: {detail}]",
        "Check the node: kubectl describe node [{node}|NODE]; "
        "otherwise proxies in between, which may not pass upgrades on",
        HopKind.KUBELET,
    ),
    ReasonCode.KUBELET_NO_ADDRESS: Entry(
        "node has no address",
        "[node {node}|the node] has no address yet",
        _NODE_HINT,
        HopKind.KUBELET,
        automatic=RETRIED,
    ),
    ReasonCode.KUBELET_CERTIFICATE: Entry(
        "kubelet cert is not trusted",
        f"the API server does not trust {_THE_KUBELET}[: {{detail}}]",
        "Renew the kubelet's certificate; your kubeconfig is not the cause",
        HopKind.KUBELET,
    ),
    ReasonCode.KUBELET_UNAUTHORIZED: Entry(
        "kubelet refuses API server",
        f"{_THE_KUBELET} refuses the API server's credentials (401)",
        "Check the API server's client certificate for kubelets; yours is not the cause",
        HopKind.KUBELET,
    ),
    ReasonCode.KUBELET_FORBIDDEN: Entry(
        "kubelet forbids API server",
        f"{_THE_KUBELET} does not allow it to the API server[, which it knows as {{user}}] (403)",
        "Allow nodes/proxy to the API server's user; no role of yours is the cause",
        HopKind.KUBELET,
    ),
    ReasonCode.KUBELET_ERROR: Entry(
        "kubelet error",
        f"{_THE_KUBELET} answered[: {{detail}}| with an error]",
        "",
        HopKind.KUBELET,
    ),
    ReasonCode.RUNTIME_UNREACHABLE: Entry(
        "container runtime is down",
        "the container runtime[ of {node}] is down[: {detail}]",
        "Check that the container runtime runs on [{node}|the node]",
        HopKind.RUNTIME,
    ),
    ReasonCode.RUNTIME_BUSY: Entry(
        "container runtime is busy",
        "the container runtime is busy (429)[: {detail}]",
        "Wait a moment",
        HopKind.RUNTIME,
        automatic=RETRIED,
    ),
    ReasonCode.RUNTIME_PLAIN_HTTP: Entry(
        "runtime does not speak TLS",
        "the container runtime[ of {node}] answers WebSocket upgrades in plain HTTP, "
        "as cri-dockerd does",
        "Use SPDY, or set the feature gate ExtendWebSocketsToKubelet=false on the node",
        HopKind.RUNTIME,
    ),
    ReasonCode.RUNTIME_SANDBOX_GONE: Entry(
        "pod sandbox is gone",
        "the pod's sandbox no longer exists",
        "Wait for a new sandbox; if none comes: kubectl delete pod[ -n {namespace}] [{pod}|POD]",
        HopKind.RUNTIME,
    ),
    ReasonCode.RUNTIME_ERROR: Entry(
        "container runtime failed", "the container runtime failed[: {detail}]", "", HopKind.RUNTIME
    ),
}
