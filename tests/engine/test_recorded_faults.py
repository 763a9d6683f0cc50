"""Every recorded fault that answers tell: state, code, text, hop, hint and retry of the forward.

The recorded bytes go through the real dial path into a real engine. The pod is Ready, as its watch
reports in these recordings.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.engine.fake_cluster import ECHO, FakeAccess, running_cluster
from tests.engine.harness import POD as FAKE_POD
from tests.engine.harness import pool_to
from tests.support.fake_engine import FakeBackend
from tests.support.recorded_faults import load_fault
from tests.support.replayed_answers import RecordedAccess, RecordedServer, recorded_server
from tests.support.waiting import until
from tui_forward.common.arguments import parse_ports
from tui_forward.engine.engine import Engine
from tui_forward.engine.limits import Limits
from tui_forward.errors import UsageError
from tui_forward.model import (
    NO_OPTIONS,
    AccessOptions,
    BlockedBy,
    Forward,
    ForwardSpec,
    ForwardState,
    HopKind,
    PodRef,
    ReasonCode,
    Resolved,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.protocol.error_stream import parse_failure
from tui_forward.reasons import failed_hop, reason_text
from tui_forward.session.diagnosis import ClusterFacts, diagnose
from tui_forward.transport import ServerAccess

Code = ReasonCode
API, KUBELET, RUNTIME, POD_HOP, PORT = (
    HopKind.API,
    HopKind.KUBELET,
    HopKind.RUNTIME,
    HopKind.POD,
    HopKind.PORT,
)
WAITS_BRIEFLY = Limits(upgrade_timeout_s=0.15)
RBAC = "Ask for a role with the verbs get and create on pods/portforward"
NODE = "Check the node and its network: kubectl describe node node1"
RUNTIME_HINT = "Check that the container runtime runs on node1"
YOURS = "your kubeconfig is not the cause"
GATEWAY = "a gateway in front of the API server"


@dataclass(frozen=True)
class Case:
    """What a user sees of a fault while nothing changes."""

    fault: str
    code: ReasonCode
    hop: HopKind
    text: str
    hint: str = ""  # a part of it
    blocked_by: BlockedBy | None = None
    transports: int = 1  # how many of them one dial tries


def forbidden(fault: str, user: str, verb: str = "create") -> Case:
    return Case(
        fault,
        Code.RBAC_FORBIDDEN,
        API,
        f"not allowed to {verb} pods/portforward in namespace faults as {user}",
        RBAC,
        BlockedBy.FORBIDDEN,
        3,
    )


def unscheduled(fault: str, pod: str) -> Case:
    text = f"pod {pod} is not scheduled to a node"
    return Case(
        fault, Code.POD_NOT_SCHEDULED, POD_HOP, text, f"kubectl describe pod -n faults {pod}"
    )


def without_sandbox(fault: str, pod: str) -> Case:
    text = f'pod {pod} does not run: pod not found ("{pod}_faults")'
    return Case(fault, Code.POD_NOT_RUNNING, POD_HOP, text)


def untrusted(fault: str, detail: str, hint: str = YOURS) -> Case:
    text = f"the API server does not trust the kubelet of node1: {detail}"
    return Case(fault, Code.KUBELET_CERTIFICATE, KUBELET, text, hint)


def unreachable(fault: str, where: str) -> Case:
    text = f"the API server cannot reach the kubelet of node1{where}"
    return Case(fault, Code.KUBELET_UNREACHABLE, KUBELET, text, NODE)


def runtime_down(fault: str) -> Case:
    text = (
        "the container runtime of node1 is down: "
        "dial unix /run/x-containerd/containerd.sock: connect: no such file or directory"
    )
    return Case(fault, Code.RUNTIME_UNREACHABLE, RUNTIME, text, RUNTIME_HINT)


def unauthorized(fault: str) -> Case:
    """What only the answer tells; `test_validity` has what the credentials tell."""
    text = "the API server refused the credentials (401)"
    return Case(fault, Code.AUTH_UNAUTHORIZED, API, text, "Log in again", BlockedBy.CREDENTIALS, 2)


def gateway(fault: str, text: str) -> Case:
    text = f"cannot reach pod ok: {GATEWAY} {text}"
    return Case(fault, Code.API_GATEWAY, API, text, "Check the gateway", transports=3)


CASES = (
    unscheduled("002-pending-unschedulable-selector", "unsched"),
    unscheduled("003-pending-unschedulable-cpu", "toobig"),
    unscheduled("004-pending-scheduling-gated", "gated"),
    unscheduled("010-pvc-missing", "nopvc"),
    unscheduled("038-node-cordoned-new-pod", "late"),
    unscheduled("119-scheduler-down", "unscheduled"),
    without_sandbox("012-volume-missing", "novol"),
    without_sandbox("017-start-error-never", "badcmdnever"),
    without_sandbox("018-oomkilled-failed", "oom"),
    without_sandbox("020-failed", "failed"),
    without_sandbox("021-completed", "completed"),
    without_sandbox("022-deadline-exceeded", "deadline"),
    without_sandbox("032-evicted-by-api-mid-connection", "victim2"),
    Case(
        "030-deleted-mid-connection",
        Code.POD_NOT_FOUND,
        POD_HOP,
        "pod mid does not exist in namespace faults",
        "Check the name",
    ),
    Case(
        "031-force-deleted-mid-connection",
        Code.POD_NOT_FOUND,
        POD_HOP,
        "pod victim1 does not exist in namespace faults",
        "Check the name",
    ),
    Case(
        "073-pod-missing",
        Code.POD_NOT_FOUND,
        POD_HOP,
        "pod nosuch does not exist in namespace faults",
        "Check the name",
    ),
    Case(
        "076-namespace-missing",
        Code.POD_NOT_FOUND,
        POD_HOP,
        "pod ok does not exist in namespace faults",
        "and the namespace",
    ),
    Case(
        "034-node-object-missing",
        Code.NODE_MISSING,
        KUBELET,
        "node ghost-missing does not exist any more",
        "kubectl delete pod -n faults on-ghost-missing",
    ),
    Case(
        "036-sandbox-killed-mid-connection",
        Code.RUNTIME_SANDBOX_GONE,
        RUNTIME,
        "the pod's sandbox no longer exists",
        "Wait for a new sandbox",
    ),
    unreachable("039-node-no-route", " at 192.0.2.77:10250: no route to host"),
    forbidden("080-rbac-nothing", "v-nothing"),
    forbidden("081-rbac-getpods", "v-getpods"),
    forbidden("082-rbac-getpods-getpf", "v-getpods-getpf"),
    forbidden("086-rbac-getpf-only", "v-getpf-only"),
    forbidden("090-rbac-glwpods-getpf", "v-glwpods-getpf"),
    forbidden("091-rbac-glwpods-nopf", "v-glwpods-nopf"),
    forbidden("099-token-sa-no-rights", "system:serviceaccount:faults:bot"),
    Case(
        "094-anonymous",
        Code.AUTH_NO_CREDENTIALS,
        API,
        "the kubeconfig has no credentials for the API server",
        "Add a token",
        BlockedBy.CREDENTIALS,
    ),
    *map(
        unauthorized,
        (
            "095-token-unknown",
            "096-token-expired",
            "097-token-not-yet-valid",
            "098-token-bad-signature",
            "120-client-cert-expired",
            "121-client-cert-not-yet-valid",
            "122-client-cert-other-ca",
        ),
    ),
    unreachable("100-kubelet-down-mid-connection", " at 127.0.0.1:10250: it refuses connections"),
    unreachable("101-node-notready", " at 127.0.0.1:10250: it refuses connections"),
    Case(
        "102-kubelet-paused-mid-connection",
        Code.KUBELET_NO_ANSWER,
        KUBELET,
        "the API server answers, but the kubelet of node1 does not within 0.15 s",
        "Check the node: kubectl describe node node1; otherwise proxies",
        transports=3,
    ),
    untrusted("103-kubelet-cert-other-ca", "its certificate is signed by an unknown authority"),
    untrusted("104-kubelet-cert-wrong-name", "its certificate is for node7, not for node1"),
    untrusted("105-kubelet-cert-expired", "its certificate expired at 2026-11-29T11:46:18Z"),
    untrusted(
        "107-node-address-of-another-server",
        "the certificate of the server at 203.0.113.5 is not for that address",
        "Check that the address of the node is its own; " + YOURS,
    ),
    Case(
        "106-kubelet-refuses-apiserver-401",
        Code.KUBELET_UNAUTHORIZED,
        KUBELET,
        "the kubelet of node1 refuses the API server's credentials (401)",
        "yours is not the cause",
    ),
    Case(
        "116-kubelet-refuses-apiserver-403",
        Code.KUBELET_FORBIDDEN,
        KUBELET,
        "the kubelet of node1 does not allow it to the API server, "
        "which it knows as weak-apiserver (403)",
        "no role of yours is the cause",
    ),
    unreachable("108-node-name-unresolvable", ": it cannot resolve ghost.invalid"),
    Case(
        "109-node-without-address",
        Code.KUBELET_NO_ADDRESS,
        KUBELET,
        "node node1 has no address yet",
        NODE,
    ),
    runtime_down("110-containerd-down-mid-connection"),
    runtime_down("112-containerd-restarted-mid-connection"),
    runtime_down("115-containerd-down"),
    Case(
        "113-node-dial-hangs",  # the API server answers after our own limit
        Code.KUBELET_UNREACHABLE,
        KUBELET,
        "the API server cannot reach the kubelet of node1 at 127.0.0.1:38403: "
        "no answer to its connection attempts",
        NODE,
        transports=3,
    ),
    Case(
        "126-api-http-to-https",
        Code.NETWORK_NOT_HTTP,
        API,
        "cannot reach pod ok: "
        "the API server expects TLS, but `server` in the kubeconfig begins with http://",
        "https://",
    ),
    Case(
        "140-gateway-strips-upgrade",
        Code.API_UPGRADE_STRIPPED,
        API,
        "cannot reach pod ok: "
        "something between here and the API server removes the Upgrade header of requests",
        "Check gateways and proxies",
        transports=3,
    ),
    Case(
        "142-gateway-403-on-upgrade",
        Code.API_FORBIDDEN,
        API,
        f"{GATEWAY} (awselb/2.0) forbids the request (403): 403 Forbidden",
        "no role in the cluster is the cause",
        BlockedBy.FORBIDDEN,
        3,
    ),
    gateway("143-gateway-504-on-upgrade", "(nginx) answered 504: 504 Gateway Time-out"),
    gateway("144-gateway-502", "(nginx) answered 502: 502 Bad Gateway"),
    gateway(
        "145-gateway-503-text",
        "(envoy) answered 503: upstream connect error or disconnect/reset before headers. "
        "reset reason: connection failure",
    ),
    gateway("147-gateway-login-page", "answered 200: Sign in"),
    Case(
        "146-gateway-login-redirect",
        Code.API_REDIRECTED,
        API,
        f"cannot reach pod ok: {GATEWAY} redirects to sso.corp.example, "
        "which is not followed: it may be a login page",
        "Log in there",
        transports=3,
    ),
)


def pod_of(fault: str) -> str:
    upgrade = next(r for r in load_fault(fault)["requests"] if r["what"].startswith("upgrade "))
    name: str = upgrade["what"].split("/pods/")[1].split("/")[0]
    return name


class RecordedBackend(FakeBackend):
    """Clusters that resolve every target to one pod behind a recorded server."""

    def __init__(self, server: RecordedServer, pod: str) -> None:
        super().__init__()
        self._access = RecordedAccess(server)
        ref = PodRef(namespace="faults", name=pod, uid="u1", node="node1")
        self.resolutions["x"] = Resolved(pod=ref, port=7000, ready=True)

    def access(self, context: str, options: AccessOptions = NO_OPTIONS) -> ServerAccess:
        return self._access


@contextlib.asynccontextmanager
async def forwarding(server: RecordedServer, pod: str) -> AsyncIterator[tuple[Engine, str]]:
    # An answer may take long on a busy machine; one that is not to come in time is not waited for.
    limits = Limits() if server.is_prompt else WAITS_BRIEFLY
    engine = Engine(RecordedBackend(server, pod), limits=limits, monitor_system=False)
    target = Target(
        context="c", namespace="faults", kind=TargetKind.DEPLOYMENT, name="x", port="7000"
    )
    try:
        yield (
            engine,
            engine.start(ForwardSpec(target=target, local_port=0, addresses=("127.0.0.1",))),
        )
    finally:
        await engine.close()


def only(engine: Engine) -> Forward:
    (forward,) = engine.forwards()
    return forward


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
async def test_refused_upgrade(case: Case) -> None:
    async with (
        recorded_server(case.fault) as server,
        forwarding(server, pod_of(case.fault)) as (engine, forward_id),
    ):
        await until(lambda: only(engine).code is case.code)
        forward = only(engine)
        assert forward.reason == case.text
        assert case.hint in forward.hint
        assert forward.blocked_by is case.blocked_by
        blocked = case.blocked_by is not None
        assert forward.state is (ForwardState.BLOCKED if blocked else ForwardState.CONNECTING)
        cause = engine.not_ready_cause(forward_id)
        found = diagnose(forward, cause, ClusterFacts())
        assert (found.hop, found.code) == (case.hop, case.code)
        assert len(set(server.requests)) == min(case.transports, 3) or blocked
        if blocked:
            assert len(server.requests) <= case.transports
            return
        # It goes on, and what it says stays the same.
        dials = len(server.requests)
        await until(lambda: len(server.requests) >= dials + 2 * case.transports)
        assert (only(engine).code, only(engine).reason) == (case.code, case.text)


PASSES = (
    ("083-rbac-getpods-createpf", TransportChoice.SPDY),
    ("084-rbac-getpods-bothpf", TransportChoice.SPDY),
    ("085-rbac-createpf-only", TransportChoice.SPDY),
    ("087-rbac-bothpf-only", TransportChoice.SPDY),
    ("088-rbac-lwpods-createpf", TransportChoice.SPDY),
    ("089-rbac-glwpods-createpf", TransportChoice.SPDY),
    ("092-rbac-glpods-bothpf", TransportChoice.SPDY),
    ("093-rbac-glwpods-bothpf", TransportChoice.SPDY),
    ("155-api-429", TransportChoice.SPDY),
    ("141-gateway-no-spdy", TransportChoice.WEBSOCKET),
)


@pytest.mark.parametrize(("fault", "transport"), PASSES)
async def test_transport_that_passes_is_used(fault: str, transport: TransportChoice) -> None:
    async with running_cluster() as cluster:
        for request in load_fault(fault)["requests"]:
            kind = request["what"].partition(":")[0].removeprefix("upgrade ")
            status = str(request.get("answer_status"))
            if request["what"].startswith("upgrade ") and " 101 " not in status:
                cluster.refuse[kind] = (int(status.split()[1]), str(request["answer_body"]))
        async with pool_to(cluster, Limits(), access=FakeAccess(cluster)) as pool:
            await pool.connect(FAKE_POD, ECHO)
            assert pool.transport is transport


async def test_missing_answer_is_shown_while_the_next_transport_is_tried() -> None:
    fault = "102-kubelet-paused-mid-connection"
    async with (
        recorded_server(fault) as server,
        forwarding(server, pod_of(fault)) as (engine, forward_id),
    ):
        await until(lambda: only(engine).code is Code.KUBELET_NO_ANSWER)
        entries = [one for one in engine.timeline(forward_id) if one.code is not None]
    states = [(one.code, one.text.partition(":")[0]) for one in entries]
    first = states.index((Code.API_UPGRADE_TIMEOUT, "connecting"))
    last = states.index((Code.KUBELET_NO_ANSWER, "connecting"))
    assert first < last
    assert [code for code, _ in states].count(Code.API_UPGRADE_TIMEOUT) == 1
    # It came with the first of three time-outs.
    assert entries[last].at - entries[first].at > 1.5 * WAITS_BRIEFLY.upgrade_timeout_s


IN_POD = "nothing listens on 127.0.0.1:{port} in the pod"
TEXTS = (
    ("040-port-closed", Code.PORT_REFUSED, IN_POD),
    ("042-port-loopback6-only", Code.PORT_REFUSED, IN_POD),
    ("052-port-udp-only", Code.PORT_REFUSED, IN_POD),
    (
        "048-hostnetwork-port-closed",
        Code.PORT_REFUSED,
        "nothing listens on 127.0.0.1:{port} of the node (host network)",
    ),
    (
        "043-port-rst-on-accept",
        Code.PORT_RESET,
        "the application reset the connection on port {port}",
    ),
    (
        "049-port-closes-at-once",
        Code.PORT_RESET,
        "the application reset the connection on port {port}",
    ),
)


@pytest.mark.parametrize(("fault", "code", "text"), TEXTS)
def test_text_on_the_error_stream(fault: str, code: ReasonCode, text: str) -> None:
    port = next(r["sent"]["port"] for r in load_fault(fault)["requests"] if "port" in r["sent"])
    found = [one["text"] for one in load_fault(fault)["error_stream"] if len(one["text"]) > 2]
    assert found
    for recorded in found:
        # The channels put the port in front of the text.
        failure = parse_failure(recorded[recorded.index("error forwarding") :], port)
        assert failure.code is code
        assert reason_text(failure.reason) == text.format(port=failure.port)
        assert failed_hop(failure.reason) is PORT


# The kubelet and the runtime have accepted the tunnel, and nothing says that a hop has failed: the
# pod object tells why a connection ended, PINGs tell that the path is silent.
SILENT_ENDS = (
    "035-container-killed-mid-connection",
    "041-port-loopback4-only",
    "044-port-never-answers",
    "045-port-answers-after-eof",
    "046-port-late",
    "047-hostnetwork",
    "050-port-closes-at-once-silent-client",
    "051-port-reads-then-closes",
    "053-port-backlog-full",
    "111-containerd-paused-mid-connection",
    "150-api-paused-mid-connection",
)


@pytest.mark.parametrize("fault", SILENT_ENDS)
def test_answers_without_a_fault(fault: str) -> None:
    recording = load_fault(fault)
    upgrades = [one for one in recording["requests"] if one["what"].startswith("upgrade ")]
    answered = [one for one in upgrades if one.get("answer_status")]
    assert answered
    assert all(" 101 " in one["answer_status"] for one in answered)
    # The channels begin with the port.
    late = fault == "046-port-late"
    assert late or all(len(one["text"]) <= 2 for one in recording["error_stream"])


def test_077_impossible_port() -> None:
    with pytest.raises(UsageError, match="70000"):
        parse_ports(("70000",))


def test_070_has_only_objects() -> None:
    recording = load_fault("070-svc-targetport-closed")
    assert not recording["error_stream"], "its text is that of 040-port-closed"
    assert not [one for one in recording["requests"] if one["what"].startswith("upgrade ")]
