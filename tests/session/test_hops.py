from __future__ import annotations

import time
from dataclasses import replace

import msgspec
import pytest

from tests.session.factories import (
    DOWN,
    HEALTHY,
    KNOWN,
    POD,
    TARGET,
    blocked,
    connection,
    forward,
    refused,
)
from tests.support.reasons import because
from tui_forward.kube.api.details import NodeDetails, PodDetails
from tui_forward.model import (
    ContainerFault,
    DeclaredPort,
    Forward,
    ForwardSpec,
    ForwardState,
    ForwardWarning,
    Hop,
    HopKind,
    HopState,
    PortProtocol,
    Reason,
    ReasonCode,
    TargetKind,
)
from tui_forward.session.diagnosis import ClusterFacts
from tui_forward.session.hops import build_hops

OK, DEGRADED, BAD, UNKNOWN = HopState
LOCAL, API, KUBELET, RUNTIME, POD_HOP, PORT = HopKind


def way(
    of: Forward, obstacle: Reason | None = None, known: ClusterFacts = KNOWN, *refusals: int
) -> dict[HopKind, Hop]:
    found = {
        hop.kind: hop
        for hop in build_hops(of, obstacle, known, tuple(refused(n) for n in refusals))
    }
    assert tuple(found) == tuple(HopKind)
    return found


def states(found: dict[HopKind, Hop]) -> list[HopState]:
    return [hop.state for hop in found.values()]


def test_hops_of_a_ready_forward() -> None:
    found = way(forward())
    assert states(found) == [OK] * 6
    assert [(hop.name, hop.facts, hop.latency_s) for hop in found.values()] == [
        ("127.0.0.1:8080", ("listening", "also [::1]:8080"), None),
        ("api:6443", ("v1.36.2",), 0.012),
        ("node-a", ("192.168.0.7", "Ready", "v1.36.2"), None),
        ("containerd 1.6.20", ("2 tunnels by SPDY, no stream",), 0.0042),
        (
            "web-1",
            ("Running", "ready 2/2", "3 restarts", "10.0.0.1", "owned by Deployment web"),
            None,
        ),
        ("http 8080", ("container main", "4.2 ms through the whole chain"), None),
    ]
    assert not any(hop.error or hop.hint for hop in found.values())


PENDING = Reason(code=ReasonCode.POD_CREATING, pod="web-1")
NO_PORT = Reason(code=ReasonCode.PORT_UNKNOWN_NAME, object="pod web-1", port="x")
FAULTS: list[tuple[Forward, Reason | None, HopKind]] = [
    (blocked(Reason(code=ReasonCode.LOCAL_PORT_TAKEN, port="80"), listening=()), None, LOCAL),
    (forward(ForwardState.RECONNECTING), Reason(code=ReasonCode.NETWORK_REFUSED), API),
    (forward(ForwardState.RECONNECTING), Reason(code=ReasonCode.KUBELET_UNREACHABLE), KUBELET),
    (forward(ForwardState.CONNECTING), Reason(code=ReasonCode.RUNTIME_ERROR), RUNTIME),
    (forward(ForwardState.WAITING), PENDING, POD_HOP),
    (blocked(NO_PORT), NO_PORT, PORT),
]


@pytest.mark.parametrize(("of", "obstacle", "broken"), FAULTS, ids=[hop for _, _, hop in FAULTS])
def test_exactly_one_hop_is_broken(of: Forward, obstacle: Reason | None, broken: HopKind) -> None:
    found = way(of, obstacle)
    place = list(HopKind).index(broken)
    assert states(found) == [OK] * place + [BAD] + [UNKNOWN] * (5 - place)
    assert found[broken].error
    assert found[broken].hint
    assert found[broken].latency_s is None
    assert [kind for kind, hop in found.items() if hop.error] == [broken]


def test_doubtful_pod_degrades_its_hop_and_breaks_none() -> None:
    doubt = Reason(code=ReasonCode.POD_READINESS_GATE, pod="web-1", name="example.com/lb")
    warning = ForwardWarning(code=doubt.code, reason="not Ready")
    found = way(forward(warnings=(warning,)), doubt)
    assert states(found) == [OK, OK, OK, OK, DEGRADED, OK]
    assert (
        found[POD_HOP].error == "pod web-1 is not Ready: readiness gate example.com/lb is not set"
    )
    assert found[POD_HOP].code is ReasonCode.POD_READINESS_GATE
    assert found[POD_HOP].hint
    assert found[RUNTIME].latency_s is not None


def test_pod_without_a_node_has_no_kubelet() -> None:
    pod = msgspec.structs.replace(POD, node="", ip="", status="Pending", ready=False)
    known = ClusterFacts(health=HEALTHY, pod=PodDetails(pod=pod))
    waiting = forward(ForwardState.WAITING, pod=None, remote_port=None)
    found = way(waiting, PENDING, known)
    assert states(found) == [OK, OK, UNKNOWN, UNKNOWN, BAD, UNKNOWN]
    assert found[KUBELET].name == ""
    assert found[PORT].name == "http"
    assert "not ready 2/2" in found[POD_HOP].facts


def test_refused_connections() -> None:
    found = way(forward(), None, KNOWN, 1, 2)
    assert states(found) == [OK] * 5 + [BAD]
    assert found[PORT].error == "nothing listens on port 8080 in pod web-1"
    assert found[PORT].hint
    assert "refused 2 of the last 2 connections" in found[PORT].facts
    served = (refused(1), connection(2, first_byte_s=0.1))
    port = build_hops(forward(), None, KNOWN, served)[-1]
    assert port.state is OK
    assert "refused 1 of the last 2 connections" in port.facts


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (forward(ForwardState.STARTING, listening=()), [UNKNOWN] * 6),
        (forward(ForwardState.CONNECTING), [OK, OK] + [UNKNOWN] * 4),
        (forward(ForwardState.STOPPED, paused=True), [OK] + [UNKNOWN] * 5),
    ],
)
def test_hops_are_unknown_before_ready(of: Forward, expected: list[HopState]) -> None:
    assert states(way(of)) == expected


def test_local_hop() -> None:
    paused = way(forward(ForwardState.STOPPED, paused=True))[LOCAL]
    assert paused.facts[0] == "paused: connections are refused"
    closed = way(forward(ForwardState.STARTING, listening=()))[LOCAL]
    assert (closed.name, closed.facts) == ("localhost:8080", ("not listening",))
    queued = way(forward(ForwardState.RECONNECTING, queued=1))[LOCAL]
    assert "1 connection queued" in queued.facts


def test_unhealthy_api_server_behind_a_working_tunnel() -> None:
    found = way(forward(), None, ClusterFacts(server="api:6443", health=DOWN))
    assert states(found) == [OK] * 6
    assert (found[API].name, found[API].error) == ("api:6443", "api:6443 refuses connections")
    assert found[API].hint


def test_hops_without_facts() -> None:
    found = way(forward(), None, ClusterFacts())
    assert [hop.name for hop in found.values()] == [
        "127.0.0.1:8080",
        "",
        "node-a",
        "",
        "web-1",
        "8080",
    ]
    assert found[KUBELET].facts == ()
    assert way(forward(), None, pod_alone())[RUNTIME].name == "containerd"
    named = msgspec.structs.replace(TARGET, kind=TargetKind.POD, name="db-0")
    spec = msgspec.structs.replace(forward().spec, target=named)
    lost = forward(ForwardState.WAITING, pod=None, spec=spec)
    assert way(lost, None, ClusterFacts())[POD_HOP].name == "db-0"


def pod_alone() -> ClusterFacts:
    return ClusterFacts(pod=KNOWN.pod)


def test_undeclared_port() -> None:
    udp = DeclaredPort(number=8080, protocol=PortProtocol.UDP, container="main")
    pod = msgspec.structs.replace(POD, ports=(udp,))
    port = way(forward(), None, ClusterFacts(pod=PodDetails(pod=pod)))[PORT]
    assert port.facts[0] == "declared by no container"


def test_control_characters_are_stripped() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07a\rb\nc\u202ed" + "x" * 1000
    node = NodeDetails(
        name=evil, address=evil, kubelet=evil, runtime=evil, ready=False, trouble=evil
    )
    pod = msgspec.structs.replace(POD, name=evil, status=evil, ip=evil)
    known = ClusterFacts(server=evil, node=node, pod=PodDetails(pod=pod))
    away = forward(ForwardState.RECONNECTING, evil)
    for obstacle in (because(evil, hint=evil), Reason(code=ReasonCode.API_ERROR, detail=evil)):
        for hop in build_hops(away, obstacle, known):
            for text in (hop.name, hop.error, hop.hint, *hop.facts):
                assert text.isprintable()
                assert "[2J" not in text
                assert len(text) <= 300


@pytest.mark.parametrize(
    ("left_s", "renews", "fact"),
    [
        (7 * 3600 + 51 * 60 + 30, False, "credentials valid 7h51m"),
        (2 * 3600 + 30, True, "credentials valid 2h00m, renewed automatically"),
        (-5, False, "credentials expired"), (None, False, None),
    ],
)  # fmt: skip
def test_api_server_tells_how_long_the_credentials_are_valid(
    left_s: float | None, renews: bool, fact: str | None
) -> None:
    assert KNOWN.health is not None
    end = None if left_s is None else time.time() + left_s
    health = msgspec.structs.replace(
        KNOWN.health, credentials_end_at=end, renews_credentials=renews
    )
    facts = way(forward(), None, replace(KNOWN, health=health))[API].facts
    assert facts[1:] == (() if fact is None else (fact,))


def test_port_behind_a_container_that_is_down_is_not_tested() -> None:
    fault = ContainerFault(name="main", waiting="CrashLoopBackOff", exit_code=1, restarts=17)
    assert KNOWN.pod is not None
    pod = msgspec.structs.replace(
        KNOWN.pod.pod, faults=(fault,), status="CrashLoopBackOff", restarts=17, ready=False
    )
    known = replace(KNOWN, pod=msgspec.structs.replace(KNOWN.pod, pod=pod))
    found = way(forward(ForwardState.WAITING), PENDING, known)
    assert found[POD_HOP].facts[:3] == ("CrashLoopBackOff", "17 restarts", "exit code 1")
    assert found[PORT].facts == ("not tested: no running container",)
    assert way(forward(ForwardState.WAITING), PENDING)[PORT].facts == ("not tested",)


def test_a_target_of_a_cluster_proxy_is_reached_through_it() -> None:
    spec = ForwardSpec(target=TARGET, addresses=(), proxy="p1")
    for state in (ForwardState.READY, ForwardState.WAITING):
        local = way(forward(state, spec=spec, listening=()))[LOCAL]
        assert (local.name, local.state) == ("proxy p1", OK)
