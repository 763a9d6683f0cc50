"""Both implementations of the session on the embedded cluster, with faults."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from tests.endurance.engine_process import EngineProcess, running_engine
from tests.minicluster.kubectl import Kubectl, kubectls
from tests.support.cluster_process import ONE_NODE, ClusterProcess, running_cluster
from tests.support.fake_engine import echo
from tests.support.waiting import until
from tui_forward.common.log_source import log_source_of
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.errors import ApiError, ForwardError
from tui_forward.model import (
    BlockedBy,
    CatalogScope,
    DoctorHop,
    DoctorOutcome,
    DoctorQuery,
    Forward,
    ForwardSpec,
    ForwardState,
    Hop,
    HopKind,
    HopState,
    PodLog,
    ReasonCode,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.session import Session
from tui_forward.session.local import LocalSession

pytestmark = pytest.mark.timeout(120)


# Clients that a load runs at once, so many connections can be open when something breaks.
_CLIENTS = 3
_PAUSE_S = 0.05


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterProcess]:
    # Tests wait until a container that crashes is started again.
    with running_cluster(*ONE_NODE, "--max-container-restart-period", "3") as running:
        yield running


@pytest.fixture(scope="module")
def engine(cluster: ClusterProcess) -> Iterator[EngineProcess]:
    """Run the engine of all remote sessions; it outlives the tests of local ones in between."""
    with running_engine(cluster.kubeconfig, idle_timeout_s=1800) as running:
        yield running


@dataclass
class Scenario:
    session: Session
    cluster: ClusterProcess

    async def start(self, name: str, port: str, **more: object) -> str:
        target = Target(
            context=str(more.pop("context", "")),
            namespace=str(more.pop("namespace", "shop")),
            kind=TargetKind(str(more.pop("kind", TargetKind.DEPLOYMENT))),
            name=name,
            port=port,
            pin=bool(more.pop("pin", False)),
        )
        spec = ForwardSpec(
            target=target, local_port=0, addresses=("127.0.0.1",), half_close_timeout_s=0.1
        )
        return await self.session.start(msgspec.structs.replace(spec, **more))

    async def forward(self, forward_id: str) -> Forward:
        snapshot = await self.session.snapshot()
        return next(forward for forward in snapshot.forwards if forward.id == forward_id)

    async def read_log(self, forward_id: str, container: str = "", lines: int = 200) -> PodLog:
        source = log_source_of(await self.forward(forward_id), container)
        return await self.session.read_log(source, lines=lines)

    async def reached(
        self, forward_id: str, wanted: ForwardState | Callable[[Forward], object]
    ) -> Forward:
        async with asyncio.timeout(60):
            while True:
                forward = await self.forward(forward_id)
                if forward.state is wanted if isinstance(wanted, ForwardState) else wanted(forward):
                    return forward
                await asyncio.sleep(0.02)

    async def ready(self, name: str, port: str, **more: object) -> tuple[str, int]:
        forward_id = await self.start(name, port, **more)
        forward = await self.reached(forward_id, ForwardState.READY)
        return forward_id, forward.listening[0].port

    @asynccontextmanager
    async def under_load(self, port: int) -> AsyncIterator[Load]:
        """Run clients that connect, echo and disconnect repeatedly."""
        load = Load()
        stop = asyncio.Event()

        async def client() -> None:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    async with asyncio.timeout(40):
                        await echo(port, b"some words")
                    load.served += 1
                except ConnectionRefusedError:
                    load.refused += 1
                except (OSError, asyncio.IncompleteReadError, TimeoutError):
                    load.broken += 1
                load.slowest_s = max(load.slowest_s, time.monotonic() - began)
                await asyncio.sleep(_PAUSE_S)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(_CLIENTS):
                tasks.create_task(client())
            try:
                yield load
            finally:
                stop.set()


@dataclass
class Load:
    served: int = 0
    refused: int = 0
    broken: int = 0  # ended in the middle: what was under hops when the pod or a hop died
    slowest_s: float = 0.0

    async def serves(self, more: int = 20) -> None:
        goal = self.served + more
        await until(lambda: self.served >= goal, 60)


def _connections_to(cluster: ClusterProcess) -> list[object]:
    """Return the connections of this process to the API server."""
    port = int(cluster.server.rpartition(":")[2])
    connections = psutil.Process().net_connections("tcp")
    return [one for one in connections if len(one.raddr) and one.raddr[1] == port]


async def _stop_forwards(session: Session) -> None:
    for forward in (await session.snapshot()).forwards:
        await session.stop(forward.id)


@pytest.fixture(params=["local", "remote"])
async def scenario(
    request: pytest.FixtureRequest, cluster: ClusterProcess
) -> AsyncIterator[Scenario]:
    async with AsyncExitStack() as undo:
        session: Session
        if request.param == "local":
            # A TLS connection of the HTTP client closes in its own time, a moment later.
            undo.push_async_callback(until, lambda: not _connections_to(cluster))
            session = LocalSession(cluster.kubeconfig)
        else:
            engine: EngineProcess = request.getfixturevalue("engine")
            session = await RemoteSession.open(engine.socket)
        undo.push_async_callback(session.close)
        undo.push_async_callback(_stop_forwards, session)
        yield Scenario(session, cluster)


@pytest.mark.parametrize("transport", [*TransportChoice])
async def test_bytes_flow_by_every_transport(
    scenario: Scenario, transport: TransportChoice
) -> None:
    forward_id, port = await scenario.ready("echo", "echo", transport=transport)
    data = os.urandom(200_000)
    assert await echo(port, data) == data
    forward = await scenario.reached(forward_id, lambda f: not f.counters.connections_open)
    assert forward.counters.bytes_from_pod == forward.counters.bytes_to_pod == len(data)
    assert forward.remote_port == 7000
    assert forward.pod is not None
    assert forward.pod.name.startswith("echo-")


@pytest.mark.parametrize(
    ("kind", "name", "port", "namespace"),
    [
        (TargetKind.SERVICE, "echo", "7", "shop"),
        (TargetKind.SERVICE, "echo", "echo", "shop"),
        (TargetKind.POD, "echo", "7000", "default"),
        (TargetKind.SELECTOR, "app=echo", "7000", "shop"),
    ],
)
async def test_targets(
    scenario: Scenario, kind: TargetKind, name: str, port: str, namespace: str
) -> None:
    _, local = await scenario.ready(name, port, kind=kind, namespace=namespace)
    assert await echo(local) == b"hello"


# With a session over the socket: `tests/endurance/test_outages.py`.
LOCAL_ONLY = pytest.mark.parametrize("scenario", ["local"], indirect=True)


@LOCAL_ONLY
async def test_pod_deleted_under_load(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready("echo", "echo")
    async with scenario.under_load(port) as load:
        for _ in range(2):
            await load.serves()
            before = (await scenario.forward(forward_id)).pod
            assert before is not None
            await scenario.cluster.control.request(
                "delete-pod", namespace="shop", pod=before.name, grace=0
            )
            await scenario.reached(
                forward_id,
                lambda f, before=before: f.state is ForwardState.READY and f.pod != before,  # type: ignore[misc]
            )
        await load.serves()
    assert load.refused == 0
    assert load.broken <= 2 * _CLIENTS, "at most what was under hops at each deletion"
    texts = [entry.text for entry in await scenario.session.timeline(forward_id)]
    assert sum(" → " in text for text in texts) == 2
    forward = await scenario.forward(forward_id)
    assert forward.listening[0].port == port
    assert not any("given up" in text for text in texts)


@LOCAL_ONLY
async def test_container_crash_under_load(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready("echo", "echo")
    pod = (await scenario.forward(forward_id)).pod
    assert pod is not None
    async with scenario.under_load(port) as load:
        await load.serves()
        await scenario.cluster.control.request("crash-pod", namespace="shop", pod=pod.name)
        await load.serves()
        await scenario.reached(forward_id, ForwardState.READY)
    assert load.refused == 0
    assert load.broken <= _CLIENTS, "at most what was under hops"
    after = (await scenario.forward(forward_id)).pod
    assert after is not None
    assert after.uid == pod.uid, "the pod is the same, its container is new"


@LOCAL_ONLY
@pytest.mark.parametrize("hop", ["apiserver", "kubelet", "runtime"])
async def test_component_restarted_under_load(scenario: Scenario, hop: str) -> None:
    forward_id, port = await scenario.ready("echo", "echo")
    async with scenario.under_load(port) as load:
        await load.serves()
        await scenario.cluster.control.request("restart-component", component=hop)
        await load.serves()
        await scenario.reached(forward_id, ForwardState.READY)
    assert load.refused == 0
    assert load.broken <= 2 * _CLIENTS
    timeline = [entry.text for entry in await scenario.session.timeline(forward_id)]
    assert any(text.startswith("was down ") for text in timeline), timeline


@LOCAL_ONLY
async def test_connection_cut_under_load(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready("echo", "echo")
    async with scenario.under_load(port) as load:
        await load.serves()
        await scenario.cluster.control.request("cut", component="apiserver")
        await load.serves()
        await scenario.reached(forward_id, ForwardState.READY)
    assert load.refused == 0
    assert load.broken <= _CLIENTS


async def test_expired_token_blocks_until_it_is_replaced(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready("echo", "echo", context="admin-tokenfile")
    await scenario.cluster.control.request("expire-token")
    try:
        assert await echo(port) == b"hello", "a tunnel that is up outlives its credentials"
        await scenario.session.reconnect(forward_id)
        forward = await scenario.reached(forward_id, ForwardState.BLOCKED)
        assert forward.blocked_by is BlockedBy.CREDENTIALS
        assert forward.hint
        assert forward.listening
        waiting = asyncio.create_task(echo(port))
        await scenario.reached(forward_id, lambda f: f.queued)
    finally:
        await scenario.cluster.control.request("clear")
        await scenario.cluster.control.request("rotate-token")
    assert await waiting == b"hello"
    await scenario.reached(forward_id, ForwardState.READY)


async def test_forbidden_names_verb_and_resource(scenario: Scenario) -> None:
    forward_id = await scenario.start("echo", "echo", context="viewer")
    forward = await scenario.reached(forward_id, ForwardState.BLOCKED)
    assert forward.blocked_by is BlockedBy.FORBIDDEN
    assert "create pods/portforward in namespace shop" in forward.reason
    assert forward.hint


async def test_unknown_targets_are_reported(scenario: Scenario) -> None:
    ids = [
        await scenario.start("nothing", "80"),
        await scenario.start("nothing", "80", kind=TargetKind.POD),
        await scenario.start("nothing", "80", kind=TargetKind.SERVICE),
        await scenario.start("echo", "nothing", kind=TargetKind.SERVICE),
    ]
    for forward_id in ids:
        forward = await scenario.reached(forward_id, ForwardState.BLOCKED)
        assert forward.blocked_by is BlockedBy.TARGET
        assert "nothing" in forward.reason


async def test_pending_pod_is_waited_for_with_its_reason(scenario: Scenario) -> None:
    forward_id = await scenario.start("search", "8080")
    forward = await scenario.reached(
        forward_id,
        lambda f: f.state is ForwardState.WAITING and f.code is ReasonCode.POD_NOT_SCHEDULED,
    )
    assert forward.listening, "the port is there already"


def is_crash_looping(forward: Forward) -> bool:
    """Whether it waits for a container that is down."""
    waits = forward.state is ForwardState.WAITING
    return waits and forward.code is ReasonCode.POD_CRASH_LOOPING


async def test_crashing_container_is_awaited_also_after_it_was_ready(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready("echo", "echo")
    pod = (await scenario.forward(forward_id)).pod
    assert pod is not None

    async def crash_loops() -> Forward:
        # The first restart is immediate, the ones after it are delayed.
        while not is_crash_looping(forward := await scenario.forward(forward_id)):
            with contextlib.suppress(ApiError):  # it does not run at the moment
                await scenario.cluster.fault("crash-pod", namespace="shop", pod=pod.name)
            await asyncio.sleep(0.1)  # each crash is a request to the kubelet
        return forward

    async with asyncio.timeout(60):
        forward = await crash_loops()
    assert forward.reason.startswith(f"container echo of pod {pod.name} is down (exit 137")
    assert "next start about" in forward.reason or "restarted" not in forward.reason
    assert forward.hint.startswith(f"Check its log: kubectl logs -n shop {pod.name} -c echo")
    client = asyncio.create_task(echo(port))
    assert (await scenario.read_log(forward_id)).container == "echo"
    assert await client == b"hello", "it waits for the container"
    await scenario.reached(forward_id, ForwardState.READY)


async def test_forward_to_a_crash_loop_is_never_ready(scenario: Scenario) -> None:
    forward_id = await scenario.start("payments", "http")
    await scenario.reached(forward_id, lambda f: f.code is ReasonCode.POD_UNSTABLE)
    seen = len(await scenario.session.timeline(forward_id))
    for _ in range(2):
        down = await scenario.reached(forward_id, is_crash_looping)
        runs = await scenario.reached(forward_id, lambda f: f.code is ReasonCode.POD_UNSTABLE)
        for forward in (down, runs):
            assert forward.short_reason.startswith("pod crash-loops")
        await _wait_for_hops(scenario, forward_id, lambda hops: _broken(hops) is HopKind.POD)
    states = {entry.state for entry in (await scenario.session.timeline(forward_id))[seen:]}
    assert states - {None} == {ForwardState.WAITING}


async def test_container_that_only_crashes_breaks_the_pod_hop(scenario: Scenario) -> None:
    forward_id = await scenario.start("payments", "http")
    await scenario.reached(forward_id, lambda f: is_crash_looping(f) and "restarted" in f.reason)
    hops = await _wait_for_hops(
        scenario, forward_id, lambda hops: _broken(hops) is HopKind.POD and hops[HopKind.POD].facts
    )
    assert "container payments of pod payments-" in hops[HopKind.POD].error
    assert "kubectl logs -n shop payments-" in hops[HopKind.POD].hint
    assert hops[HopKind.PORT].state is HopState.UNKNOWN


@pytest.mark.parametrize(
    ("kind", "name", "port", "state", "code"),
    [
        (TargetKind.JOB, "migrate", "80", ForwardState.BLOCKED, ReasonCode.TARGET_COMPLETED),
        (TargetKind.DEPLOYMENT, "recommender", "http", ForwardState.WAITING,
         ReasonCode.POD_IMAGE_PULL),
        (TargetKind.SERVICE, "partner", "80", ForwardState.BLOCKED,
         ReasonCode.TARGET_EXTERNAL_NAME),
    ],
)  # fmt: skip
async def test_targets_that_cannot_be_forwarded_now(
    scenario: Scenario, kind: TargetKind, name: str, port: str, state: ForwardState,
    code: ReasonCode,
) -> None:  # fmt: skip
    forward_id = await scenario.start(name, port, kind=kind)
    forward = await scenario.reached(forward_id, state)
    assert forward.code is code
    assert forward.hint


DEPLOYMENT: dict[str, Any] = {
    "kind": "Deployment",
    "apiVersion": "apps/v1",
    "spec": {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "template": {"spec": {"terminationGracePeriodSeconds": 1}},
    },
}


def _deployment(name: str, image: str) -> str:
    """Return a manifest whose container ends at once, or serves echo at port 7000."""
    made = copy.deepcopy(DEPLOYMENT)
    made["metadata"] = {"name": name, "namespace": "shop"}
    made["spec"]["selector"] = {"matchLabels": {"app": name}}
    container = {
        "name": "main",
        "image": image,
        "env": [{"name": "LIFE_S", "value": "0"}],
        "ports": [{"containerPort": 7000}],
    }
    made["spec"]["template"]["metadata"] = {"labels": {"app": name}}
    made["spec"]["template"]["spec"]["containers"] = [container]
    return json.dumps(made)


@pytest.mark.kubectl
@pytest.mark.parametrize("path", kubectls()[:1])
@LOCAL_ONLY
async def test_deployment_that_crashes_is_awaited_until_it_is_fixed(
    scenario: Scenario, path: Path, tmp_path: Path
) -> None:
    kubectl = Kubectl(path, scenario.cluster, tmp_path)
    name = f"t{uuid.uuid4().hex[:8]}"

    async def apply(image: str) -> None:
        manifest = _deployment(name, image)
        await asyncio.to_thread(kubectl, "apply", "--validate=false", "-f", "-", stdin=manifest)

    await apply("local/crash-loop")
    forward_id = await scenario.start(name, "7000")
    crashed = await scenario.reached(
        forward_id, lambda f: is_crash_looping(f) and "restarted" in f.reason
    )
    port = crashed.listening[0].port
    await apply("local/echo")
    await scenario.reached(forward_id, ForwardState.READY)
    assert await echo(port) == b"hello"
    await apply("local/crash-loop")
    await scenario.reached(forward_id, is_crash_looping)
    await apply("local/echo")
    assert await echo(port) == b"hello", "it waits for the pod that works"
    await asyncio.to_thread(kubectl, "-n", "shop", "delete", "deploy", name, "--wait=false")


@pytest.mark.kubectl
@pytest.mark.parametrize("path", kubectls()[:1])
async def test_node_that_is_not_ready_is_named(
    scenario: Scenario, path: Path, tmp_path: Path
) -> None:
    kubectl = Kubectl(path, scenario.cluster, tmp_path)
    forward_id, _ = await scenario.ready("echo", "echo")
    pod = (await scenario.forward(forward_id)).pod
    assert pod is not None

    async def set_conditions(*what: str, **condition: str) -> None:
        """Do what the node controller does 50 s after the last report of a kubelet."""
        condition = {"type": "Ready", "lastTransitionTime": "2026-01-01T00:00:00Z", **condition}
        patch = json.dumps({"status": {"conditions": [condition]}})
        arguments = ("patch", *what, "--subresource=status", "--type=merge", "-p", patch)
        await asyncio.to_thread(kubectl, *arguments)

    await scenario.cluster.fault("stop-component", component="kubelet", node=pod.node)
    try:
        await scenario.reached(forward_id, ForwardState.RECONNECTING)
        await set_conditions("node", pod.node, status="Unknown", message="Kubelet stopped")
        await set_conditions("-n", "shop", "pod", pod.name, status="False")
        forward = await scenario.reached(forward_id, lambda f: "is NotReady" in f.reason)
        assert f"node {pod.node} is NotReady since 2026-01-01" in forward.reason
    finally:
        await scenario.cluster.fault("start-component", component="kubelet", node=pod.node)
    again = await scenario.reached(
        forward_id, lambda f: f.state is ForwardState.READY and f.code is ReasonCode.FORWARD_READY
    )
    assert again.pod == pod


async def test_missing_namespace_is_named(scenario: Scenario) -> None:
    forward_id = await scenario.start("echo", "80", namespace="nosuch")
    forward = await scenario.reached(forward_id, ForwardState.BLOCKED)
    assert forward.code is ReasonCode.TARGET_NAMESPACE_NOT_FOUND


async def test_forwards_of_several_contexts(scenario: Scenario) -> None:
    forward_id, one = await scenario.ready("echo", "echo", context="minicluster")
    _, other = await scenario.ready("echo", "echo", context="admin-token")
    for port in (one, other):
        assert await echo(port) == b"hello"
    # `porter` may reach pods in its namespace, and may read neither deployments nor services.
    pod = (await scenario.forward(forward_id)).pod
    assert pod is not None
    _, third = await scenario.ready(pod.name, "7000", kind=TargetKind.POD, context="porter")
    assert await echo(third) == b"hello"


async def test_catalog_of_the_cluster(scenario: Scenario) -> None:
    scope = CatalogScope("", "shop")
    async with asyncio.timeout(60):
        while True:
            view = await scenario.session.catalog(scope)
            if view.pods:
                break
            await asyncio.sleep(0.01)
    assert view.scope.context == "minicluster"
    changes = await scenario.session.catalog(view.scope, view.version)
    assert not changes.complete
    async with asyncio.timeout(60):
        while True:
            await scenario.session.catalog(scope)
            if any(health.ok for health in (await scenario.session.snapshot()).health):
                break
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("scenario", ["remote"], indirect=True)
async def test_a_thousand_connections_at_once(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready("echo", "echo", half_close_timeout_s=0.0)
    answers = await asyncio.gather(*(echo(port, b"%04d" % number) for number in range(1000)))
    assert answers == [b"%04d" % number for number in range(1000)]
    forward = await scenario.reached(forward_id, lambda f: not f.counters.connections_open)
    assert forward.counters.connections_total == 1000
    assert forward.counters.connections_failed == 0
    assert forward.counters.bytes_from_pod == 4000


# The hops of a connection ----------------------------------------------------------------


async def _wait_for_hops(
    scenario: Scenario, forward_id: str, wanted: Callable[[dict[HopKind, Hop]], object]
) -> dict[HopKind, Hop]:
    """Wait until the hops meet a condition; return them."""
    hops: dict[HopKind, Hop] = {}
    try:
        async with asyncio.timeout(60):
            while True:
                hops = {hop.kind: hop for hop in await scenario.session.hops(forward_id)}
                assert tuple(hops) == tuple(HopKind)
                if wanted(hops):
                    return hops
                await asyncio.sleep(0.1)  # each look is requests to all hops
    except TimeoutError:
        raise AssertionError((hops, await scenario.forward(forward_id))) from None


def _broken(hops: dict[HopKind, Hop]) -> HopKind | None:
    """Return the broken hop; assert that the state of those after it is unknown."""
    bad = [kind for kind, hop in hops.items() if hop.state is HopState.BROKEN]
    if not bad:
        return None
    (kind,) = bad
    assert hops[kind].error
    assert hops[kind].hint
    order = list(HopKind)
    for other in order[order.index(kind) + 1 :]:
        assert hops[other].state is HopState.UNKNOWN
    return kind


async def test_all_hops_of_a_working_forward(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready("echo", "echo")
    assert await echo(port) == b"hello"
    hops = await _wait_for_hops(scenario, forward_id, lambda hops: hops[HopKind.KUBELET].facts)
    assert all(hop.state is HopState.OK and not hop.error for hop in hops.values()), hops
    forward = await scenario.forward(forward_id)
    assert forward.pod is not None
    assert hops[HopKind.LOCAL].name == f"127.0.0.1:{port}"
    assert hops[HopKind.API].name.endswith(scenario.cluster.server.removeprefix("https://"))
    assert hops[HopKind.API].facts[0].startswith("v1.")
    assert hops[HopKind.API].latency_s is not None
    assert hops[HopKind.KUBELET].name == forward.pod.node
    assert hops[HopKind.KUBELET].facts == ("127.0.0.1", "Ready", "v1.36.2-minicluster")
    name, version = hops[HopKind.RUNTIME].name.split(" ")
    assert name
    assert version[0].isdigit()
    assert hops[HopKind.RUNTIME].latency_s is not None
    assert hops[HopKind.POD].name == forward.pod.name
    assert hops[HopKind.POD].facts[:2] == ("Running", "ready 1/1")
    assert hops[HopKind.PORT].name == "echo 7000"
    assert hops[HopKind.PORT].facts[0] == "container echo"


@pytest.mark.parametrize(
    ("hop", "kind"),
    [
        ("apiserver", HopKind.API),
        ("kubelet", HopKind.KUBELET),
        ("runtime", HopKind.RUNTIME),
    ],
)
async def test_stopped_component_is_the_broken_hop(
    scenario: Scenario, hop: str, kind: HopKind
) -> None:
    forward_id, _ = await scenario.ready("echo", "echo")
    await _wait_for_hops(scenario, forward_id, lambda hops: hops[HopKind.KUBELET].facts)
    await scenario.cluster.control.request("stop-component", component=hop)
    try:
        hops = await _wait_for_hops(scenario, forward_id, lambda hops: _broken(hops) is kind)
        order = list(HopKind)
        assert all(hops[one].state is HopState.OK for one in order[: order.index(kind)])
        began = time.monotonic()
        await scenario.session.hops(forward_id)
        assert time.monotonic() - began < 8.0
    finally:
        await scenario.cluster.control.request("start-component", component=hop)
    await _wait_for_hops(
        scenario, forward_id, lambda hops: all(hop.state is HopState.OK for hop in hops.values())
    )


async def test_unschedulable_pod_breaks_its_hop(scenario: Scenario) -> None:
    forward_id = await scenario.start("search", "8080")
    hops = await _wait_for_hops(
        scenario, forward_id, lambda hops: _broken(hops) is HopKind.POD and hops[HopKind.POD].facts
    )
    assert hops[HopKind.POD].name.startswith("search-")
    assert hops[HopKind.POD].facts[0] == "Pending"
    assert "is not scheduled to a node" in hops[HopKind.POD].error
    assert hops[HopKind.API].state is HopState.OK
    assert hops[HopKind.KUBELET].state is HopState.UNKNOWN, "there is none"


async def test_closed_port_breaks_its_hop(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready("legacy", "http")
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello")
    hops = await _wait_for_hops(scenario, forward_id, lambda hops: _broken(hops) is HopKind.PORT)
    assert hops[HopKind.PORT].error.startswith("nothing listens on 127.0.0.1:8081 in pod legacy-")
    assert "refused 1 of the last 1 connection" in hops[HopKind.PORT].facts
    writer.close()


async def test_missing_permission_breaks_the_api_server_hop(scenario: Scenario) -> None:
    forward_id = await scenario.start("echo", "echo", context="viewer")
    hops = await _wait_for_hops(scenario, forward_id, lambda hops: _broken(hops) is HopKind.API)
    assert "create pods/portforward in namespace shop" in hops[HopKind.API].error


async def test_facts_of_nodes_are_omitted_without_permission(scenario: Scenario) -> None:
    forward_id, _ = await scenario.ready("echo", "echo")
    pod = (await scenario.forward(forward_id)).pod
    assert pod is not None
    third, _ = await scenario.ready(pod.name, "7000", kind=TargetKind.POD, context="porter")
    hops = await _wait_for_hops(scenario, third, lambda hops: hops[HopKind.POD].facts)
    assert all(hop.state is HopState.OK and not hop.error for hop in hops.values()), hops
    assert (hops[HopKind.KUBELET].name, hops[HopKind.KUBELET].facts) == (pod.node, ())
    assert hops[HopKind.RUNTIME].name, "the pod's containers tell"
    with pytest.raises(ApiError, match="get pods/log") as failed:
        await scenario.read_log(third)
    assert failed.value.forbidden
    assert failed.value.hint


async def test_log_of_the_pod_of_a_forward(scenario: Scenario) -> None:
    forward_id, _ = await scenario.ready("web", "metrics")
    pod = (await scenario.forward(forward_id)).pod
    assert pod is not None
    log = await scenario.read_log(forward_id)
    assert (log.pod, log.container) == (pod.name, "exporter")
    assert log.containers == ("web", "exporter", "admin")
    other = await scenario.read_log(forward_id, "web", lines=1)
    assert other.container == "web"
    assert len(other.lines) == 1
    assert other.lines[0]
    with pytest.raises(ApiError, match="nothing"):
        await scenario.read_log(forward_id, "nothing")


async def test_log_of_a_crashing_container(scenario: Scenario) -> None:
    forward_id = await scenario.start("payments", "http")
    await scenario.reached(forward_id, lambda f: f.state is not ForwardState.STARTING)
    log = await scenario.read_log(forward_id)
    assert log.pod.startswith("payments-")
    assert log.container == "payments"
    with pytest.raises((ApiError, ForwardError)):
        await scenario.read_log(await scenario.start("nothing", "80"))


HEALTHY = (
    ("svc", "web", "shop", "http"), ("deploy", "web", "shop", ""), ("svc", "db", "data", ""),
    ("sts", "db", "data", "sql"), ("pod", "echo", "default", ""),
    ("selector", "app=web", "shop", "http"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("scenario", "kind", "name", "namespace", "port"),
    [*(("local", *target) for target in HEALTHY), ("remote", *HEALTHY[0])],
    indirect=["scenario"],
)
async def test_a_doctor_raises_no_false_alarm(
    scenario: Scenario, kind: str, name: str, namespace: str, port: str
) -> None:
    target = Target(context="", namespace=namespace, kind=TargetKind(kind), name=name, port=port)
    query = DoctorQuery(namespace=namespace, target=target)
    async with aclosing(scenario.session.diagnose(query)) as results:
        found = [one async for one in results if one.outcome is not DoctorOutcome.RUNNING]
    assert [one for one in found if one.outcome is not DoctorOutcome.GOOD] == []
    assert {one.hop for one in found} == set(DoctorHop)


async def test_a_doctor_leaves_an_active_forward_alone(scenario: Scenario) -> None:
    forward_id, port = await scenario.ready("echo", "echo")
    before = await scenario.forward(forward_id)
    query = DoctorQuery(target=before.spec.target, forward=forward_id)
    async with aclosing(scenario.session.diagnose(query)) as results:
        found = [one async for one in results if one.outcome is not DoctorOutcome.RUNNING]
    assert {one.outcome for one in found} == {DoctorOutcome.GOOD}
    after = await scenario.forward(forward_id)
    assert (after.state, after.tunnels, after.reconnects) == (before.state, before.tunnels, 0)
    assert await echo(port, b"still here") == b"still here"
