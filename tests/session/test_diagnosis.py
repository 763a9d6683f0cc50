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
    no_usable_pod_reason,
    resolve_pod,
    selectorless,
    target_not_found,
)
from tui_forward.engine.tunnels.dialer import FINAL_REFUSALS
from tui_forward.errors import (
    ApiError,
    AuthError,
    ConfigError,
    ForwardError,
    ForwardErrorCause,
    ProtocolError,
    TransportError,
    TuiForwardError,
    UpgradeError,
)
from tui_forward.kube.api.details import NodeDetails
from tui_forward.model import (
    BlockedBy,
    ConnectionState,
    DeclaredPort,
    Forward,
    ForwardState,
    HopKind,
    PortProtocol,
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
from tui_forward.session.diagnosis import HEALTHY, ClusterFacts, diagnose, latest_refusal

LOCAL, API, KUBELET, RUNTIME, POD_HOP, PORT = HopKind
RECONNECTING = ForwardState.RECONNECTING
KUBELET_GONE = "error dialing backend: dial tcp 192.168.0.7:10250: connect: connection refused"
STREAMING_GONE = "error dialing backend: dial tcp 127.0.0.1:35113: connect: connection refused"


def server_error(message: str, status: int = 500, reason: str = "") -> ApiError:
    return ApiError(message, status=status, reason=reason)


DIALS: list[tuple[TuiForwardError, HopKind]] = [
    (AuthError("the token has expired", hint="log in"), API),
    (ConfigError("there is no context here"), API),
    (ProtocolError("the answer is not HTTP"), API),
    (TransportError("the API server at api:6443 refuses connections"), API),
    (TransportError("nothing has come through the tunnel for 5 s"), API),
    (TransportError("the API server did not answer the upgrade request within 5 s"), KUBELET),
    (server_error('User "x" cannot create resource "pods/portforward"', 403, "Forbidden"), API),
    (server_error("Unauthorized", 401), API),
    (server_error('pods "web-1" not found', 404, "NotFound"), POD_HOP),
    (server_error("pod does not exist", 404), POD_HOP),
    (server_error('pod not found ("web-1_shop")'), POD_HOP),
    (server_error("pod web-1 does not have a host assigned", 400, "BadRequest"), POD_HOP),
    (server_error("404 page not found", 404), API),
    (server_error(KUBELET_GONE), KUBELET),
    (server_error(f"{KUBELET_GONE} (tried spdy, websocket)"), KUBELET),
    (server_error("error dialing backend: No agent available"), KUBELET),
    (server_error("error dialing backend: dial tcp: lookup node-a: no such host"), KUBELET),
    (server_error(STREAMING_GONE), RUNTIME),
    (server_error("no preferred addresses found; known addresses: []"), KUBELET),
    (server_error("error reading backend response: EOF"), KUBELET),
    (server_error("something broke", 500, "InternalError"), API),
    (server_error("bad gateway", 502), API),
    (server_error("rpc error: code = Unavailable desc = no such file"), RUNTIME),
    (server_error("rpc error: code = ResourceExhausted desc = too many", 429), RUNTIME),
    (server_error("too many requests in flight", 429), RUNTIME),
    (server_error("slow down", 429, "TooManyRequests"), API),
    (server_error(f"rpc error: code = Unknown desc = {containerd_sandbox_missing('s')}"), RUNTIME),
    (server_error(containerd_sandbox_closed("s")), RUNTIME),
    (server_error(forwarding_error(80, "s", "sandbox container s is not running")), RUNTIME),
    (server_error("container not running (abc)"), POD_HOP),
    (UpgradeError("unable to upgrade", status=400), API),
    (UpgradeError("a proxy says no", status=403), API),
    (ForwardError("gone", cause=ForwardErrorCause.SANDBOX_GONE), RUNTIME),
    (ForwardError("gone", cause=ForwardErrorCause.POD_GONE), POD_HOP),
    (ForwardError("refused", cause=ForwardErrorCause.REFUSED), PORT),
    (ForwardError("reset", cause=ForwardErrorCause.RESET), PORT),
    (ForwardError("taken", cause=ForwardErrorCause.PORT_TAKEN), LOCAL),
    (ForwardError("nothing", cause=ForwardErrorCause.NO_TARGET), POD_HOP),
    (ForwardError("late", cause=ForwardErrorCause.TIMEOUT), API),
    (TuiForwardError("the program failed (ValueError: x)"), LOCAL),
]


@pytest.mark.parametrize(("error", "hop"), DIALS, ids=lambda value: str(value)[:60])
def test_where_an_error_arose(error: TuiForwardError, hop: HopKind) -> None:
    for known in (KNOWN, told_nothing(KNOWN)):
        verdict = diagnose(forward(RECONNECTING), error, known)
        if known is KNOWN or "upgrade request" not in error.message:
            assert verdict.hop is hop
        assert verdict.error
        assert verdict.hint


def told_nothing(known: ClusterFacts) -> ClusterFacts:
    """With nothing the API server tells, as for a person who may read nothing."""
    return ClusterFacts(server=known.server)


@pytest.mark.parametrize("words", FINAL_REFUSALS)
def test_every_last_word_of_the_dialler_is_placed(words: str) -> None:
    verdict = diagnose(forward(RECONNECTING), server_error(f"{words} and more"), KNOWN)
    assert verdict.hop in (KUBELET, RUNTIME, POD_HOP)


def test_the_kubelets_port_tells_it_from_its_runtime() -> None:
    text = "error dialing backend: dial tcp 127.0.0.1:43493: connect: connection refused"
    here = ClusterFacts(node=NodeDetails(name="node-a", address="127.0.0.1", port=43493))
    assert diagnose(forward(RECONNECTING), server_error(text), here).hop is KUBELET
    there = ClusterFacts(node=NodeDetails(name="node-a", address="127.0.0.1", port=10250))
    assert diagnose(forward(RECONNECTING), server_error(text), there).hop is RUNTIME


UNRESOLVED: list[tuple[Unresolved, ClusterFacts, HopKind | None]] = [
    (Unresolved(reason="looking for shop/deploy/web:http", is_loading=True), KNOWN, None),
    (Unresolved(reason="looking for a pod", is_loading=True), ClusterFacts(health=DOWN), API),
    (Unresolved(reason="web-1 is Pending"), KNOWN, POD_HOP),
    (Unresolved(reason="web-1 is Pending"), ClusterFacts(), POD_HOP),
    (Unresolved(reason="web-1 is Pending"), ClusterFacts(health=DOWN), API),
    (Unresolved(reason="api:6443 answered 503 to list pods"), KNOWN, API),
    (
        Unresolved(reason="web-1 is Running"),
        ClusterFacts(
            node=NodeDetails(name="node-a", ready=False, trouble="Kubelet stopped posting")
        ),
        KUBELET,
    ),
    (Unresolved(reason="expired", blocked_by=BlockedBy.CREDENTIALS), KNOWN, API),
    (Unresolved(reason="may not list pods", blocked_by=BlockedBy.FORBIDDEN), KNOWN, API),
    (Unresolved(reason="no kubeconfig", blocked_by=BlockedBy.CONFIG), KNOWN, API),
    (target_not_found(TARGET), KNOWN, POD_HOP),
    (selectorless(TARGET, service=True), KNOWN, POD_HOP),
    (Unresolved(reason=no_usable_pod_reason(TARGET, None, [])), KNOWN, POD_HOP),
]


@pytest.mark.parametrize(("obstacle", "known", "hop"), UNRESOLVED)
def test_no_pod_to_go_to(obstacle: Unresolved, known: ClusterFacts, hop: HopKind | None) -> None:
    by = obstacle.blocked_by
    stuck = blocked(by, obstacle.reason) if by else forward(ForwardState.WAITING, obstacle.reason)
    verdict = diagnose(stuck, obstacle, known)
    assert verdict.hop is hop
    assert bool(verdict.error) is bool(verdict.hint) is (hop is not None)


def _port_problems() -> list[str]:
    udp = DeclaredPort(number=53, name="dns", protocol=PortProtocol.UDP)
    pod = msgspec.structs.replace(POD, ports=(udp,))
    service = Service(
        namespace="shop", name="web", ports=(DeclaredPort(number=80, name="http", target="web"),)
    )
    asks: list[Callable[[], int]] = [
        lambda: resolve_pod_port(pod, "http"),
        lambda: resolve_pod_port(pod, "53"),
        lambda: resolve_pod_port(pod, "70000"),
        lambda: resolve_service_port(service, pod, "81"),
        lambda: resolve_service_port(service, pod, "https"),
        lambda: resolve_service_port(service, pod, "80"),
    ]
    found = []
    for ask in asks:
        with pytest.raises(PortResolutionError) as problem:
            ask()
        found.append(problem.value.reason)
    return found


@pytest.mark.parametrize("reason", _port_problems())
def test_no_such_port_is_the_ports_trouble(reason: str) -> None:
    obstacle = Unresolved(reason=reason, blocked_by=BlockedBy.TARGET)
    assert diagnose(blocked(BlockedBy.TARGET, reason), obstacle, KNOWN).hop is PORT


@pytest.mark.parametrize("name", ["port", "has-port", "no-port-number"])
def test_an_object_named_like_a_port_is_not_one(name: str) -> None:
    target = msgspec.structs.replace(TARGET, kind=TargetKind.POD, name=name)
    obstacle = resolve_pod(target, None)
    assert isinstance(obstacle, Unresolved)
    assert diagnose(blocked(BlockedBy.TARGET), obstacle, KNOWN).hop is POD_HOP


@pytest.mark.parametrize(
    ("stuck", "obstacle", "hop"),
    [
        (blocked(BlockedBy.PORT, "port 8080 is taken by nginx (7)", listening=()), None, LOCAL),
        (
            blocked(BlockedBy.PORT, "port 8080 is taken", listening=()),
            Unresolved(reason="web-1 is Pending"),
            LOCAL,
        ),
        (blocked(BlockedBy.CONFIG, "no such address", listening=()), None, LOCAL),
        (blocked(BlockedBy.CONFIG, listening=()), ConfigError("no such context"), API),
        (
            blocked(BlockedBy.CONFIG, listening=()),
            Unresolved(reason="no such context", blocked_by=BlockedBy.CONFIG),
            API,
        ),
        (blocked(BlockedBy.CREDENTIALS), None, API),
        (blocked(BlockedBy.TARGET), None, POD_HOP),
    ],
)
def test_what_needs_a_person(stuck: Forward, obstacle: Unresolved | None, hop: HopKind) -> None:
    verdict = diagnose(stuck, obstacle, KNOWN)
    assert verdict.hop is hop
    assert verdict.error
    assert verdict.hint


def test_nothing_is_broken_that_has_not_failed() -> None:
    for state in (ForwardState.STARTING, ForwardState.CONNECTING, RECONNECTING):
        assert diagnose(forward(state), None, KNOWN) == HEALTHY
    for state in (ForwardState.READY, ForwardState.STOPPED):
        assert (
            diagnose(forward(state), TransportError("an old story"), ClusterFacts(health=DOWN))
            == HEALTHY
        )


def test_the_words_for_people() -> None:
    away = forward(RECONNECTING)
    kubelet = diagnose(away, server_error(KUBELET_GONE), KNOWN)
    assert kubelet.error == (
        "the API server cannot reach the kubelet of node-a: "
        "dial tcp 192.168.0.7:10250: connect: connection refused"
    )
    assert "kubectl describe node node-a" in kubelet.hint
    runtime = diagnose(away, server_error("rpc error: code = Unavailable desc = x"), KNOWN)
    assert runtime.error.startswith("the kubelet cannot reach the container runtime: rpc error")
    assert "node-a" in runtime.hint
    gone = PortForwardFailure(ForwardErrorCause.SANDBOX_GONE, "", 80).to_error()
    sandbox = diagnose(away, gone, KNOWN)
    assert sandbox.error == "the pod's sandbox no longer exists"
    assert "kubectl delete pod -n shop web-1" in sandbox.hint
    pending = diagnose(away, Unresolved(reason="web-1 is Pending"), KNOWN)
    assert "kubectl describe pod -n shop web-1" in pending.hint
    node = ClusterFacts(node=NodeDetails(name="node-a", ready=False, trouble="it is silent"))
    silent = diagnose(away, Unresolved(reason="web-1 is Running"), node)
    assert silent.error == "node node-a is NotReady: it is silent"
    forbidden = diagnose(
        blocked(BlockedBy.FORBIDDEN, "not allowed to create pods/portforward in namespace shop"),
        ApiError("pods is forbidden: blah", status=403, hint="ask for a Role"),
        KNOWN,
    )
    assert forbidden.error == "not allowed to create pods/portforward in namespace shop"
    assert forbidden.hint == "ask for a Role"
    silent_node = "the API server did not answer the upgrade request within 5 s"
    assert "but nothing comes from" in diagnose(away, TransportError(silent_node), KNOWN).error
    assert NODE.name in diagnose(away, TransportError(silent_node), KNOWN).error


# Refusals -----------------------------------------------------------------------------------


def test_the_latest_connection_with_a_say_decides() -> None:
    ready = forward()
    served = connection(3, first_byte_s=0.1)
    reset = connection(4, failed=True, close_reason="the application reset the connection")
    silent = connection(5, state=ConnectionState.OPEN, close_reason="")
    talking = connection(6, state=ConnectionState.OPEN, close_reason="", first_byte_s=0.2)
    for connections, is_refused in (
        ([], False),
        ([refused(1)], True),
        ([served, refused(4)], True),
        ([refused(1), served], False),
        ([refused(1), connection(2)], False),
        ([refused(1), reset, silent], True),
        ([refused(1), talking], False),
        ([refused(1, port=9999)], False),
    ):
        refusal = latest_refusal(ready, connections)
        assert (refusal is not None) is is_refused
        verdict = diagnose(ready, None, KNOWN, refusal)
        assert verdict.hop is (PORT if is_refused else None)
        assert bool(verdict.error) is bool(verdict.hint) is is_refused
    assert latest_refusal(forward(remote_port=None), [refused(1)]) is None


def test_a_refusal_is_known_by_the_words_the_engine_gives_it() -> None:
    failure = PortForwardFailure(ForwardErrorCause.REFUSED, "connection refused", 8080)
    assert refused(1).close_reason == failure.to_error().message
