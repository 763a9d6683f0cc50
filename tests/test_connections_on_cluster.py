"""Connections on the embedded cluster while things happen to their pods."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.cluster_process import ONE_NODE, ClusterProcess, running_cluster
from tests.support.fake_engine import echo
from tui_forward.model import (
    Connection,
    ConnectionState,
    Forward,
    ForwardSpec,
    ForwardState,
    ReasonCode,
    Target,
    TargetKind,
)
from tui_forward.session.local import LocalSession

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterProcess]:
    with running_cluster(*ONE_NODE) as running:
        yield running


@dataclass
class Scenario:
    session: LocalSession
    cluster: ClusterProcess
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def start(self, name: str, port: str, kind: TargetKind = TargetKind.DEPLOYMENT) -> int:
        target = Target(context="", namespace="shop", kind=kind, name=name, port=port)
        await self.session.start(ForwardSpec(target=target, local_port=0, addresses=("127.0.0.1",)))
        forward = await self.forward(lambda one: one.state is ForwardState.READY)
        return forward.listening[0].port

    async def forward(self, wanted: Callable[[Forward], object]) -> Forward:
        async with asyncio.timeout(60):
            while True:
                (forward,) = (await self.session.snapshot()).forwards
                if wanted(forward):
                    return forward
                await asyncio.sleep(0.01)

    async def pod(self) -> str:
        pod = (await self.forward(lambda one: one.pod)).pod
        assert pod is not None
        return pod.name

    async def connection(self, wanted: Callable[[Connection], object]) -> Connection:
        last: tuple[Connection, ...] = ()
        deadline = time.monotonic() + 60
        while not any(map(wanted, last)):
            assert time.monotonic() < deadline, last
            await asyncio.sleep(0.01)
            # One that has ended is listed for 30 s.
            last = await self.session.connections() or last
        (connection,) = last
        return connection

    async def open(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection that ends with the test at the latest."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.writers.append(writer)
        return reader, writer

    async def open_echo(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection that the application has answered."""
        reader, writer = await self.open(port)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        return reader, writer

    async def fault(self, name: str, **fields: object) -> None:
        await self.cluster.control.request(name, namespace="shop", pod=await self.pod(), **fields)


def create_pod(cluster: ClusterProcess, name: str, **env: str) -> None:
    """Create a pod that echoes on port 7000."""
    import kubernetes  # takes long, which workers that run none of these tests are spared

    container = {
        "name": "echo",
        "image": "local/echo",
        "env": [{"name": key, "value": value} for key, value in env.items()],
    }
    config: Any = kubernetes.config  # its functions have no annotations
    api: Any = kubernetes.client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    api.create_namespaced_pod(
        "shop", {"metadata": {"name": name}, "spec": {"containers": [container]}}
    )


@pytest.fixture
async def scenario(cluster: ClusterProcess) -> AsyncIterator[Scenario]:
    session = LocalSession(cluster.kubeconfig, monitor_system=False)
    running = Scenario(session, cluster)
    try:
        yield running
    finally:
        for writer in running.writers:
            writer.close()
        await cluster.control.request("clear")
        await session.close()


@pytest.mark.parametrize(
    ("fault", "fields", "codes"),
    [
        ("delete-pod", {"grace": 0}, {ReasonCode.CONNECTION_POD_DELETED}),
        (
            "crash-pod", {},
            {ReasonCode.CONNECTION_CONTAINER_RESTARTED, ReasonCode.CONNECTION_CONTAINER_ENDED},
        ),
        ("stop-sandbox", {}, {ReasonCode.CONNECTION_SANDBOX_RECREATED}),
    ],
)  # fmt: skip
async def test_end_names_what_happened_to_the_pod(
    scenario: Scenario, fault: str, fields: dict[str, object], codes: set[ReasonCode]
) -> None:
    port = await scenario.start("echo", "echo")
    reader, _ = await scenario.open_echo(port)
    await scenario.fault(fault, **fields)
    assert await reader.read() == b""
    ended = await scenario.connection(lambda one: one.close_code in codes)
    assert not ended.failed


async def test_connection_shows_that_its_pod_terminates_and_lives(scenario: Scenario) -> None:
    pod = "slow-to-end"
    await asyncio.to_thread(create_pod, scenario.cluster, pod, TERM_DELAY_S="60")
    port = await scenario.start(pod, "7000", kind=TargetKind.POD)
    reader, writer = await scenario.open_echo(port)
    await scenario.fault("delete-pod", grace=60)
    going = await scenario.connection(lambda one: one.code is not None)
    assert (going.state, going.code) == (ConnectionState.OPEN, ReasonCode.POD_TERMINATING)
    assert going.pod == pod
    assert going.ends_by is not None
    writer.write(b"y")
    assert await reader.readexactly(1) == b"y"


async def test_connection_to_a_pod_that_is_not_ready_lives(scenario: Scenario) -> None:
    port = await scenario.start("web", "http")
    pod = await scenario.pod()
    reader, writer = await scenario.open(port)
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    writer.write(request)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    await scenario.fault("not-ready", ready=False)
    await scenario.forward(lambda one: one.pod is not None and one.pod.name != pod)
    await scenario.forward(lambda one: one.state is ForwardState.READY)
    writer.write(request)
    async with asyncio.timeout(60):
        while b"HTTP/1.1 200" not in await reader.read(65536):
            pass
    connection = await scenario.connection(lambda one: one.bytes_from_pod)
    assert (connection.state, connection.pod) == (ConnectionState.OPEN, pod)


async def test_refused_port_marks_the_forward(scenario: Scenario) -> None:
    port = await scenario.start("echo", "7999")
    for _ in range(2):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await echo(port)
    forward = await scenario.forward(lambda one: one.warnings and one.warnings[0].count == 2)
    assert (forward.state, forward.code) == (ForwardState.READY, ReasonCode.PORT_REFUSED)
    assert "7999" in forward.reason
