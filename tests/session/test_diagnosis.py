from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tests.session.factories import (
    DOWN,
    KNOWN,
    NODE,
    POD,
    TARGET,
    blocked,
    connection,
    forward,
    refused,
)
from tui_forward.catalog.port_resolution import (
    PortResolutionError,
    resolve_pod_port,
    resolve_service_port,
)
from tui_forward.catalog.target_resolution import (
    resolve_pod,
    resolve_selected,
    selectorless,
    target_not_found,
)
from tui_forward.kube.api.details import NodeDetails
from tui_forward.model import (
    ConnectionState,
    DeclaredPort,
    Forward,
    ForwardState,
    HopKind,
    PortProtocol,
    Reason,
    ReasonCode,
    Resolution,
    Service,
    TargetKind,
    Unresolved,
)
from tui_forward.protocol.error_stream import (
    PortForwardFailure,
    containerd_sandbox_closed,
    containerd_sandbox_missing,
    forwarding_error,
)
from tui_forward.protocol.http_answer import HttpAnswer
from tui_forward.protocol.upgrade_rejection import FINAL_CODES, parse_rejection
from tui_forward.reasons import blocked_by
from tui_forward.session.diagnosis import HEALTHY, ClusterFacts, diagnose, latest_refusal

LOCAL, API, KUBELET, RUNTIME, POD_HOP, PORT = HopKind
RECONNECTING = ForwardState.RECONNECTING
KUBELET_GONE = "error dialing backend: dial tcp 192.168.0.7:10250: connect: connection refused"
STREAMING_GONE = "error dialing backend: dial tcp 127.0.0.1:35113: connect: connection refused"
UNREPORTED = ClusterFacts(server=KNOWN.server)
"""Facts for a user who may read nothing."""

DIALS: list[tuple[Reason, HopKind]] = [
    (Reason(code=ReasonCode.AUTH_FAILED, text="the token has expired", hint="log in"), API),
    (Reason(code=ReasonCode.CONFIG_INVALID, text="there is no context here"), API),
    (Reason(code=ReasonCode.NETWORK_PROTOCOL, detail="not HTTP"), API),
    (Reason(code=ReasonCode.NETWORK_REFUSED, server="api:6443"), API),
    (Reason(code=ReasonCode.TUNNEL_SILENT, timeout_s=5), API),
    (Reason(code=ReasonCode.RUNTIME_SANDBOX_GONE), RUNTIME),
    (Reason(code=ReasonCode.POD_NOT_RUNNING), POD_HOP),
    (Reason(code=ReasonCode.PORT_REFUSED, port="80"), PORT),
    (Reason(code=ReasonCode.PORT_RESET, port="80"), PORT),
    (Reason(code=ReasonCode.TARGET_NO_POD), POD_HOP),
    (Reason(code=ReasonCode.CONNECTION_TIMEOUT), API),
    (Reason(code=ReasonCode.INTERNAL_ERROR, detail="ValueError: x"), LOCAL),
]
# Status, reason of the Status body and message of a refused upgrade.
REJECTIONS: list[tuple[int, str, str, HopKind]] = [
    (403, "Forbidden", 'User "x" cannot create resource "pods/portforward"', API),
    (403, "Forbidden", 'pods "web-1" is forbidden: ', API),
    (401, "Unauthorized", "Unauthorized", API),
    (404, "NotFound", 'pods "web-1" not found', POD_HOP),
    (404, "", "pod does not exist", POD_HOP),
    (500, "", 'pod not found ("web-1_shop")', POD_HOP),
    (400, "BadRequest", "pod web-1 does not have a host assigned", POD_HOP),
    (404, "", "404 page not found", API),
    (500, "", KUBELET_GONE, KUBELET),
    (500, "", "error dialing backend: No agent available", KUBELET),
    (500, "", "error dialing backend: dial tcp: lookup node-a: no such host", KUBELET),
    (500, "", "error dialing backend: tls: failed to verify certificate: x509: …", KUBELET),
    (403, "", "Forbidden (user=a, verb=create, resource=nodes, subresource(s)=[proxy])", KUBELET),
    (500, "", STREAMING_GONE, RUNTIME),
    (500, "", "no preferred addresses found; known addresses: []", KUBELET),
    (500, "", "error reading backend response: EOF", KUBELET),
    (500, "InternalError", "something broke", API),
    (502, "", "bad gateway", API),
    (500, "", "rpc error: code = Unavailable desc = no such file", RUNTIME),
    (429, "", "rpc error: code = ResourceExhausted desc = too many", RUNTIME),
    (429, "", "too many requests in flight", RUNTIME),
    (429, "TooManyRequests", "slow down", API),
    (500, "", f"rpc error: code = Unknown desc = {containerd_sandbox_missing('s')}", RUNTIME),
    (500, "", containerd_sandbox_closed("s"), RUNTIME),
    (500, "", forwarding_error(80, "s", "sandbox container s is not running"), RUNTIME),
    (500, "", "rpc error: code = Unknown desc = sandbox container is not running", RUNTIME),
    (500, "", "container not running (abc)", POD_HOP),
    (400, "", "unable to upgrade", API),
    (403, "", "a proxy says no", API),
    (407, "", "Proxy Authentication Required", API),
]


def rejection(status: int, message: str, status_reason: str = "") -> Reason:
    return parse_rejection(
        HttpAnswer(
            status=status,
            message=message,
            status_reason=status_reason,
            is_status=bool(status_reason),
        )
    )


@pytest.mark.parametrize(("cause", "hop"), DIALS, ids=[cause.code for cause, _ in DIALS])
@pytest.mark.parametrize("facts", [KNOWN, UNREPORTED], ids=["facts", "no facts"])
def test_hop_of_a_failed_dial(cause: Reason, hop: HopKind, facts: ClusterFacts) -> None:
    found = diagnose(forward(RECONNECTING), cause, facts)
    assert (found.hop, found.code) == (hop, cause.code)
    assert found.error
    assert found.hint


@pytest.mark.parametrize(("status", "status_reason", "message", "hop"), REJECTIONS)
@pytest.mark.parametrize("facts", [KNOWN, UNREPORTED], ids=["facts", "no facts"])
def test_hop_of_a_refused_upgrade(
    status: int, status_reason: str, message: str, hop: HopKind, facts: ClusterFacts
) -> None:
    cause = rejection(status, message, status_reason)
    found = diagnose(forward(RECONNECTING), cause, facts)
    assert found.hop is hop
    assert found.error
    assert found.hint


@pytest.mark.parametrize(
    "message",
    [
        "pod web-1 does not have a host assigned",
        "pod does not exist",
        "pod not found",
        KUBELET_GONE,
        "failed to find sandbox",
        "sandbox container is not running",
        "rpc error: code = Unknown",
    ],
)
def test_refusal_by_the_cluster_is_final(message: str) -> None:
    assert rejection(500, message).code in FINAL_CODES


def test_upgrade_timeout_is_the_nodes_if_the_api_server_is_healthy() -> None:
    cause = Reason(code=ReasonCode.API_UPGRADE_TIMEOUT, timeout_s=5)
    found = diagnose(forward(RECONNECTING), cause, KNOWN)
    assert (found.hop, found.code) == (KUBELET, ReasonCode.KUBELET_NO_ANSWER)
    assert found.error == "the API server answers, but the kubelet of node-a does not within 5 s"
    assert diagnose(forward(RECONNECTING), cause, UNREPORTED).hop is API


def test_node_that_is_not_ready_explains_its_kubelet() -> None:
    node = ClusterFacts(node=NodeDetails(name="node-a", ready=False, trouble="it is silent"))
    gone = diagnose(forward(RECONNECTING), rejection(500, KUBELET_GONE), node)
    assert gone.hop is KUBELET
    assert gone.error.endswith("it refuses connections, the node is NotReady, it is silent")
    silent = Reason(code=ReasonCode.KUBELET_NO_ANSWER, timeout_s=5)
    assert diagnose(forward(RECONNECTING), silent, node).error == (
        "the API server answers, but the kubelet of node-a does not within 5 s: "
        "the node is NotReady, it is silent"
    )


def test_kubelet_port_distinguishes_kubelet_from_runtime() -> None:
    text = "error dialing backend: dial tcp 127.0.0.1:43493: connect: connection refused"
    cause = rejection(500, text)
    here = ClusterFacts(node=NodeDetails(name="node-a", address="127.0.0.1", port=43493))
    assert diagnose(forward(RECONNECTING), cause, here).hop is KUBELET
    there = ClusterFacts(node=NodeDetails(name="node-a", address="127.0.0.1", port=10250))
    assert diagnose(forward(RECONNECTING), cause, there).hop is RUNTIME


def _reason_of(resolution: Resolution) -> Reason:
    assert isinstance(resolution, Unresolved)
    return resolution.reason


PENDING = Reason(code=ReasonCode.POD_CREATING, pod="web-1")
RUNNING = Reason(code=ReasonCode.POD_LOST, pod="web-1")
RESOLVING = Reason(code=ReasonCode.TARGET_RESOLVING)
UNRESOLVED: list[tuple[Reason, ClusterFacts, HopKind | None]] = [
    (RESOLVING, KNOWN, None),
    (RESOLVING, ClusterFacts(health=DOWN), API),
    (PENDING, KNOWN, POD_HOP),
    (PENDING, ClusterFacts(), POD_HOP),
    (PENDING, ClusterFacts(health=DOWN), API),
    (Reason(code=ReasonCode.API_ERROR, server="api:6443", status="503"), KNOWN, API),
    (
        RUNNING,
        ClusterFacts(
            node=NodeDetails(name="node-a", ready=False, trouble="Kubelet stopped posting")
        ),
        KUBELET,
    ),
    (Reason(code=ReasonCode.AUTH_UNAUTHORIZED), KNOWN, API),
    (Reason(code=ReasonCode.RBAC_FORBIDDEN, action="list pods"), KNOWN, API),
    (Reason(code=ReasonCode.CONFIG_INVALID), KNOWN, API),
    (target_not_found(TARGET).reason, KNOWN, POD_HOP),
    (selectorless(TARGET).reason, KNOWN, POD_HOP),
    (_reason_of(resolve_selected(TARGET, None, [])), KNOWN, POD_HOP),
]


@pytest.mark.parametrize(("cause", "facts", "hop"), UNRESOLVED)
def test_hop_without_a_pod(cause: Reason, facts: ClusterFacts, hop: HopKind | None) -> None:
    of = blocked(cause) if blocked_by(cause) else forward(ForwardState.WAITING)
    found = diagnose(of, cause, facts)
    assert found.hop is hop
    assert bool(found.error) is bool(found.hint) is (hop is not None)


def _port_problems() -> list[Reason]:
    udp = DeclaredPort(number=53, name="dns", protocol=PortProtocol.UDP)
    pod = msgspec.structs.replace(POD, ports=(udp,))
    service = Service(
        namespace="shop", name="web", ports=(DeclaredPort(number=80, name="http", target="web"),)
    )
    calls: list[Callable[[], int]] = [
        lambda: resolve_pod_port(pod, "http"),
        lambda: resolve_pod_port(pod, "53"),
        lambda: resolve_pod_port(pod, "70000"),
        lambda: resolve_service_port(service, pod, "81"),
        lambda: resolve_service_port(service, pod, "https"),
        lambda: resolve_service_port(service, pod, "80"),
    ]
    reasons = []
    for call in calls:
        with pytest.raises(PortResolutionError) as problem:
            call()
        reasons.append(problem.value.reason)
    return reasons


@pytest.mark.parametrize("cause", _port_problems(), ids=lambda cause: cause.code)
def test_port_problem_is_the_ports_fault(cause: Reason) -> None:
    assert diagnose(blocked(cause), cause, KNOWN).hop is PORT


@pytest.mark.parametrize("name", ["port", "has-port", "no-port-number"])
def test_object_named_like_a_port_problem_is_not_one(name: str) -> None:
    target = msgspec.structs.replace(TARGET, kind=TargetKind.POD, name=name)
    missing = resolve_pod(target, None)
    assert isinstance(missing, Unresolved)
    assert diagnose(blocked(missing.reason), missing.reason, KNOWN).hop is POD_HOP


TAKEN = Reason(code=ReasonCode.LOCAL_PORT_TAKEN, port="8080", process="nginx (7)")
NO_CONTEXT = Reason(code=ReasonCode.CONFIG_CONTEXT_MISSING, name="prod")


@pytest.mark.parametrize(
    ("of", "cause", "hop"),
    [
        (blocked(TAKEN, listening=()), None, LOCAL),
        (blocked(TAKEN, listening=()), PENDING, LOCAL),
        (
            blocked(
                Reason(code=ReasonCode.LOCAL_ADDRESS_UNAVAILABLE, address="10.9.9.9"), listening=()
            ),
            None,
            LOCAL,
        ),
        (blocked(NO_CONTEXT, listening=()), NO_CONTEXT, API),
        (blocked(Reason(code=ReasonCode.AUTH_FAILED)), None, API),
        (blocked(target_not_found(TARGET).reason), None, POD_HOP),
    ],
)
def test_hop_of_a_blocked_forward(of: Forward, cause: Reason | None, hop: HopKind) -> None:
    found = diagnose(of, cause, KNOWN)
    assert found.hop is hop
    assert found.error
    assert found.hint


def test_no_hop_has_failed_without_a_cause() -> None:
    for state in (ForwardState.STARTING, ForwardState.CONNECTING, RECONNECTING):
        assert diagnose(forward(state), None, KNOWN) == HEALTHY
    stale = Reason(code=ReasonCode.NETWORK_REFUSED)
    for state in (ForwardState.READY, ForwardState.STOPPED):
        assert diagnose(forward(state), stale, ClusterFacts(health=DOWN)) == HEALTHY


def test_texts_name_node_and_pod() -> None:
    of = forward(RECONNECTING)
    kubelet = diagnose(of, rejection(500, KUBELET_GONE), KNOWN)
    assert kubelet.error == (
        "the API server cannot reach the kubelet of node-a at 192.168.0.7:10250: "
        "it refuses connections"
    )
    assert "kubectl describe node node-a" in kubelet.hint
    runtime = diagnose(of, rejection(500, "rpc error: code = Unavailable desc = x"), KNOWN)
    assert runtime.error.startswith("the container runtime of node-a is down: rpc error")
    assert NODE.name in runtime.hint
    failure = PortForwardFailure(ReasonCode.RUNTIME_SANDBOX_GONE, 80)
    sandbox = diagnose(of, failure.reason, KNOWN)
    assert sandbox.error == "the pod's sandbox no longer exists"
    assert "kubectl delete pod -n shop web-1" in sandbox.hint
    pending = diagnose(of, PENDING, KNOWN)
    assert "kubectl describe pod -n shop web-1" in pending.hint
    node = ClusterFacts(node=NodeDetails(name="node-a", ready=False, trouble="it is silent"))
    assert diagnose(of, RUNNING, node).error == "node node-a is NotReady: it is silent"
    forbidden = rejection(403, 'User "x" cannot create resource "pods/portforward"')
    found = diagnose(blocked(forbidden), forbidden, KNOWN)
    assert found.error == "not allowed to create pods/portforward in namespace shop as x"
    assert "pods/portforward" in found.hint


# Refusals -----------------------------------------------------------------------------------


def test_latest_conclusive_connection_decides() -> None:
    ready = forward()
    served = connection(3, first_byte_s=0.1)
    reset = connection(4, failed=True, close_code=ReasonCode.PORT_RESET)
    silent = connection(5, state=ConnectionState.OPEN, close_code=None)
    active = connection(6, state=ConnectionState.OPEN, close_code=None, first_byte_s=0.2)
    for connections, is_refused in (
        ([], False),
        ([refused(1)], True),
        ([served, refused(4)], True),
        ([refused(1), served], False),
        ([refused(1), connection(2)], False),
        ([refused(1), reset, silent], True),
        ([refused(1), active], False),
    ):
        refusal = latest_refusal(ready, connections)
        assert (refusal is not None) is is_refused
        found = diagnose(ready, None, KNOWN, refusal)
        assert found.hop is (PORT if is_refused else None)
        assert bool(found.error) is bool(found.hint) is is_refused
    assert latest_refusal(forward(remote_port=None), [refused(1)]) is None
