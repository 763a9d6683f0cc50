"""A forward that spreads its connections over the replicas of a service of the embedded cluster."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.minicluster.kubectl import Kubectl, kubectls
from tests.support.cluster_process import ONE_NODE, ClusterProcess, running_cluster
from tests.support.echo_load import echo_load
from tests.support.fake_engine import echo
from tui_forward.model import (
    Balance,
    Forward,
    ForwardSpec,
    ForwardState,
    PodShareState,
    ReasonCode,
    Target,
    TargetKind,
    TimelineKind,
)
from tui_forward.session.local import LocalSession

pytestmark = [pytest.mark.timeout(120), pytest.mark.kubectl]

REPLICAS = 3
# Serves for a while after SIGTERM, as programs do that end their requests first.
CONTAINER: dict[str, Any] = {
    "name": "main",
    "image": "local/echo",
    "env": [{"name": "TERM_DELAY_S", "value": "1"}],
    "ports": [{"name": "echo", "containerPort": 7000}],
}


def manifests(affinity_s: int = 0) -> str:
    labels = {"app": "spread"}
    pod = {"terminationGracePeriodSeconds": 5, "containers": [CONTAINER]}
    deployment = {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "spread", "namespace": "shop"},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    spec: dict[str, Any] = {"selector": labels, "ports": [{"port": 80, "targetPort": "echo"}]}
    if affinity_s:
        spec["sessionAffinity"] = "ClientIP"
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": affinity_s}}
    service = {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": "spread", "namespace": "shop"},
        "spec": spec,
    }
    return json.dumps({"kind": "List", "apiVersion": "v1", "items": [deployment, service]})


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterProcess]:
    with running_cluster(*ONE_NODE) as running:
        yield running


class Scenario:
    def __init__(self, session: LocalSession, cluster: ClusterProcess, kubectl: Kubectl) -> None:
        self.session = session
        self.cluster = cluster
        self.kubectl_process = kubectl
        self.forward_id = ""

    async def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return await asyncio.to_thread(self.kubectl_process, "-n", "shop", *arguments, stdin=stdin)

    async def apply(self, affinity_s: int = 0) -> None:
        await self.kubectl("apply", "--validate=false", "-f", "-", stdin=manifests(affinity_s))

    async def start(self) -> int:
        """Start the forward, and return its local port once all pods are connected."""
        target = Target(
            context="",
            namespace="shop",
            kind=TargetKind.SERVICE,
            name="spread",
            port="80",
            balance=Balance.SPREAD,
        )
        spec = ForwardSpec(
            target=target, local_port=0, addresses=("127.0.0.1",), half_close_timeout_s=0.1
        )
        self.forward_id = await self.session.start(spec)
        forward = await self.connected(REPLICAS)
        return forward.listening[0].port

    async def forward(self) -> Forward:
        (forward,) = (await self.session.snapshot()).forwards
        return forward

    async def reached(self, wanted: Callable[[Forward], object]) -> Forward:
        """Return the forward once a condition is true."""
        async with asyncio.timeout(60):
            while True:
                forward = await self.forward()
                if wanted(forward):
                    return forward
                await asyncio.sleep(0.02)

    async def connected(self, pods: int) -> Forward:
        """Wait until connections go to so many pods, and to no others."""

        def is_connected(forward: Forward) -> bool:
            states = [share.state for share in forward.pods]
            is_complete = PodShareState.CONNECTING not in states
            return is_complete and states.count(PodShareState.READY) == pods

        return await self.reached(is_connected)


def ready_pods(forward: Forward) -> set[str]:
    return {share.pod.name for share in forward.pods if share.state is PodShareState.READY}


def open_by_pod(forward: Forward) -> Counter[str]:
    return Counter({share.pod.name: share.connections_open for share in forward.pods})


@pytest.fixture
async def scenario(cluster: ClusterProcess, tmp_path: Path) -> AsyncIterator[Scenario]:
    path = kubectls()[0].values[0]
    session = LocalSession(cluster.kubeconfig)
    made = Scenario(session, cluster, Kubectl(Path(str(path)), cluster, tmp_path))
    try:
        yield made
    finally:
        for forward in (await session.snapshot()).forwards:
            await session.stop(forward.id)
        await session.close()
        await cluster.fault("clear")
        await made.kubectl("delete", "deploy,svc", "spread", "--ignore-not-found", "--wait=false")
        # Fails if they are gone already.
        gone = ("-n", "shop", "wait", "pod", "-l", "app=spread", "--for=delete", "--timeout=60s")
        await asyncio.to_thread(made.kubectl_process.run, *gone)


async def open_connections(port: int, count: int) -> list[asyncio.StreamWriter]:
    writers = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writers.append(writer)
    return writers


async def test_rollout_under_load_fails_no_request(scenario: Scenario) -> None:
    await scenario.apply()
    port = await scenario.start()
    before = ready_pods(await scenario.forward())
    async with echo_load(port) as load:
        await load.serves(50)
        patch = {"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}}
        await scenario.kubectl("patch", "deploy", "spread", "-p", json.dumps(patch))
        await scenario.reached(lambda forward: not ready_pods(forward) & before)
        forward = await scenario.connected(REPLICAS)
        await load.serves(50)
    forward = await scenario.forward()
    timeline = await scenario.session.timeline(scenario.forward_id)
    assert load.failures == [], timeline
    assert forward.counters.connections_failed == 0
    assert all(share.connections_total for share in forward.pods)
    # Pods here are Ready at once: a rollout may be over before the new ones are connected. Their
    # connections wait meanwhile, and none for longer.
    outages = [entry.text for entry in timeline if entry.text.startswith("was down")]
    assert len(outages) == forward.reconnects
    served = ("queued, served", "queued, all served")
    assert all(text.endswith(served) or "queued" not in text for text in outages), outages
    texts = [entry.text for entry in timeline if entry.kind is TimelineKind.POD]
    for name in ready_pods(forward):
        assert any(text.startswith(f"{name} joined") for text in texts)
    for name in before:
        assert any(text.startswith(f"{name} left (terminating)") for text in texts)


async def test_pod_that_is_not_ready_keeps_its_connections(scenario: Scenario) -> None:
    await scenario.apply()
    port = await scenario.start()
    writers = await open_connections(port, REPLICAS)
    assert set(open_by_pod(await scenario.forward()).values()) == {1}
    name = sorted(ready_pods(await scenario.forward()))[0]
    await scenario.cluster.fault("not-ready", namespace="shop", pod=name, ready=False)
    await scenario.connected(REPLICAS - 1)
    writers += await open_connections(port, 4)
    counts = open_by_pod(await scenario.forward())
    assert counts.pop(name) == 1
    assert set(counts.values()) == {3}
    await scenario.cluster.fault("not-ready", namespace="shop", pod=name, ready=True)
    await scenario.connected(REPLICAS)
    writers += await open_connections(port, 2)
    assert set(open_by_pod(await scenario.forward()).values()) == {3}
    for writer in writers:
        writer.close()


async def test_without_ready_pods_it_is_amber(scenario: Scenario) -> None:
    await scenario.apply()
    port = await scenario.start()
    for name in ready_pods(await scenario.forward()):
        await scenario.cluster.fault("not-ready", namespace="shop", pod=name, ready=False)
    forward = await scenario.reached(
        lambda one: ReasonCode.POD_NOT_READY in [warning.code for warning in one.warnings]
    )
    assert forward.state is ForwardState.READY
    assert await echo(port) == b"hello"


async def test_killed_pod_costs_only_its_own_connections(scenario: Scenario) -> None:
    await scenario.apply()
    port = await scenario.start()
    writers = await open_connections(port, REPLICAS)
    name = sorted(ready_pods(await scenario.forward()))[0]
    await scenario.cluster.fault("delete-pod", namespace="shop", pod=name, grace=0)
    await scenario.reached(lambda forward: name not in ready_pods(forward))
    for _ in range(6):
        assert await echo(port) == b"hello"
    forward = await scenario.connected(REPLICAS)
    assert (forward.state, forward.reconnects) == (ForwardState.READY, 0)
    await scenario.reached(lambda one: open_by_pod(one).total() == REPLICAS - 1)
    for writer in writers:
        writer.close()


async def test_scale_to_zero_and_back(scenario: Scenario) -> None:
    await scenario.apply()
    port = await scenario.start()
    await scenario.kubectl("scale", "deploy/spread", "--replicas=0")
    await scenario.reached(lambda forward: forward.state is not ForwardState.READY)
    waiting = asyncio.create_task(echo(port))
    await scenario.kubectl("scale", "deploy/spread", f"--replicas={REPLICAS}")
    assert await waiting == b"hello"
    forward = await scenario.connected(REPLICAS)
    assert forward.counters.connections_failed == 0


async def test_service_with_affinity_keeps_its_client(scenario: Scenario) -> None:
    await scenario.apply(affinity_s=600)
    port = await scenario.start()
    writers = await open_connections(port, 5)
    counts = open_by_pod(await scenario.forward())
    assert sorted(counts.values()) == [0, 0, 5]
    (name,) = (name for name, count in counts.items() if count)
    await scenario.cluster.fault("not-ready", namespace="shop", pod=name, ready=False)
    await scenario.connected(REPLICAS - 1)
    writers += await open_connections(port, 2)
    counts = open_by_pod(await scenario.forward())
    assert sorted(counts.values()) == [0, 2, 5]
    assert counts[name] == 5
    for writer in writers:
        writer.close()
