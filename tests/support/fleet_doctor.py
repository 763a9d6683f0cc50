"""Results of a doctor for the forward of the scene that reconnects."""

from __future__ import annotations

from tui_forward.model import (
    DoctorHop,
    DoctorOutcome,
    DoctorResult,
    Reason,
    ReasonCode,
    TransportChoice,
)
from tui_forward.reasons import diagnosis_hint, reason_text

_UNREACHABLE = Reason(
    code=ReasonCode.KUBELET_UNREACHABLE, node="node-c", address="10.20.0.13:10250",
    detail="it refuses connections",
)  # fmt: skip


def _good(hop: DoctorHop, milliseconds: float, tried: str, *facts: str) -> DoctorResult:
    return DoctorResult(
        hop=hop, outcome=DoctorOutcome.GOOD, tried=tried, duration_s=milliseconds / 1000,
        facts=facts,
    )  # fmt: skip


def _passed_on(transport: TransportChoice, name: str) -> DoctorResult:
    return DoctorResult(
        hop=DoctorHop.UPGRADE, outcome=DoctorOutcome.NOTE, transport=transport,
        tried=f"open a tunnel by {name}", duration_s=0.011,
        facts=("the API server passed it on; it was refused behind",),
    )  # fmt: skip


def doctor_results() -> tuple[DoctorResult, ...]:
    """Return the final results, in order."""
    hop = DoctorHop
    lost = tuple(
        DoctorResult(hop=one, outcome=DoctorOutcome.NOT_REACHED, broken=hop.KUBELET)
        for one in (hop.RUNTIME, hop.PORT)
    )
    return (
        _good(hop.KUBECONFIG, 4, "read ~/.kube/config", "context prod-eu: line 31",
              "cluster prod-eu: line 12", "user dev@prod-eu: line 48"),
        _good(hop.CREDENTIALS, 212, "run the exec plugin aws", "program /usr/local/bin/aws",
              "valid 14m02s, renewed automatically"),
        _good(hop.DNS, 9, "resolve prod-eu.k8s.internal", "10.20.0.5, 10.20.0.6"),
        _good(hop.PROXY, 0.1, "use no proxy", "HTTPS_PROXY does not apply to prod-eu.k8s.internal"),
        _good(hop.TCP, 18, "connect to prod-eu.k8s.internal:6443", "connected to 10.20.0.5"),
        _good(hop.TLS, 41, "TLS handshake as prod-eu.k8s.internal", "TLSv1.3",
              "certificate issued by kubernetes", "valid 287d"),
        _good(hop.API, 19, "get the version of prod-eu.k8s.internal:6443", "v1.36.2"),
        _good(hop.IDENTITY, 20, "ask who the user is (SelfSubjectReview)", "jane@example.com",
              "groups developers, system:authenticated"),
        _good(hop.PERMISSIONS, 22,
              "ask what the user may do in namespace shop (SelfSubjectRulesReview)",
              "allowed: SPDY, WebSocket, WebSocket channels"),
        _good(hop.TARGET, 44,
              "find a pod for deploy/inventory-sync-scheduler-jobs in namespace shop",
              "pod inventory-sync-scheduler-jobs-5d6f7b8c9-hx2lp: Running, 1/1 ready on node-c",
              "port 8083 (http) of container worker", "2 of 2 pods are ready"),
        _passed_on(TransportChoice.SPDY, "SPDY"),
        _passed_on(TransportChoice.WEBSOCKET, "WebSocket"),
        _passed_on(TransportChoice.CHANNELS, "WebSocket channels"),
        DoctorResult(
            hop=hop.KUBELET, outcome=DoctorOutcome.FAULT, tried="reach the kubelet of node-c",
            duration_s=0.02, facts=("Ready", "10.20.0.13", "kubelet v1.36.2", "containerd 2.1.4"),
            code=_UNREACHABLE.code, cause=reason_text(_UNREACHABLE),
            fix=diagnosis_hint(_UNREACHABLE),
        ),
        *lost,
    )  # fmt: skip
