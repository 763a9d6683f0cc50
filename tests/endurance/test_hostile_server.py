"""A malicious or broken server costs its own tunnel and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.endurance import toolbox
from tests.endurance.clients import Load, connected
from tests.endurance.engine_process import (
    MIB,
    EngineProcess,
    ForwardHandle,
    open_session,
    running_engine,
    running_forward,
)
from tests.endurance.hostile_server import ATTACKS, NAMESPACE, HostileServer, running_hostile_server
from tests.endurance.outages import wait_for_served
from tests.kube.certificates import Authority, server_context
from tests.support.cluster_process import ClusterProcess
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.model import Forward, ForwardState, ReasonCode, TargetKind, TransportChoice

pytestmark = pytest.mark.timeout(180)

# What a hostile server may make the engine use for a while.
_MAX_GROWTH = 48 * MIB

CODES = {
    "another-protocol": ReasonCode.API_UPGRADE_REFUSED,
    "close": ReasonCode.API_UPGRADE_UNANSWERED,
    "drip": ReasonCode.KUBELET_NO_ANSWER,
    "endless-body": ReasonCode.KUBELET_ERROR,
    "half-a-frame": ReasonCode.TUNNEL_NO_PONG,
    "large-data": ReasonCode.TUNNEL_NO_PONG,
    "silence": ReasonCode.TUNNEL_NO_PONG,
}
"""Codes by attack; that of all others is `NETWORK_PROTOCOL`."""


@dataclass
class HostileServerScenario:
    """An engine with a loaded forward to a good cluster, and a hostile server."""

    engine: EngineProcess
    session: RemoteSession
    server: HostileServer
    neighbor: ForwardHandle
    load: Load

    def start_attack(
        self,
        name: str,
        transport: TransportChoice = TransportChoice.SPDY,
        queue_timeout_s: float = 30.0,
    ) -> AbstractAsyncContextManager[ForwardHandle]:
        """Start a forward to the pod of an attack; stop it at the end."""
        return running_forward(
            self.session, 80, kind=TargetKind.POD, name=name, namespace=NAMESPACE,
            context="hostile", transport=transport, ready=False, queue_timeout_s=queue_timeout_s,
        )  # fmt: skip

    async def check_failure(self, name: str) -> None:
        """Start an attack, and check the reason of the forward."""
        code = CODES.get(name, ReasonCode.NETWORK_PROTOCOL)
        async with self.start_attack(name) as forward:
            # On a busy machine a first attempt may end by a time limit instead.
            await wait_for_failure(forward, code)
            assert self.server.attacked[name] >= 1

    async def check_neighbor(self) -> None:
        """Check that the forward to the good cluster works and was never interrupted."""
        await wait_for_served(self.load, 5)
        assert self.load.failures == []
        assert "reconnecting" not in await self.neighbor.timeline()


@pytest.fixture(params=[True, False], ids=["tls", "plain"])
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def scenario(
    cluster: ClusterProcess, tmp_path: Path, tls: bool
) -> AsyncIterator[HostileServerScenario]:
    ssl_context = ca_file = None
    if tls:
        authority = Authority()
        ssl_context = server_context(authority.issue("server"), tmp_path)
        ca_file = tmp_path / "ca.pem"
        ca_file.write_bytes(authority.pem)
    async with running_hostile_server(tls=ssl_context) as server:
        kubeconfig = tmp_path / "config"
        kubeconfig.write_text(add_hostile_context(cluster.kubeconfig, server, ca_file))
        with running_engine(kubeconfig) as engine:
            async with (
                open_session(engine) as session,
                running_forward(session, toolbox.ECHO) as neighbor,
                Load(neighbor.port, workers=0, interval_s=0.15).running() as load,
            ):
                await wait_for_served(load, 5)
                yield HostileServerScenario(engine, session, server, neighbor, load)
            assert engine.log_errors() == ""


def add_hostile_context(kubeconfig: Path, server: HostileServer, ca_file: Path | None) -> str:
    """Return a kubeconfig with a further context `hostile`."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster = {"server": server.url}
    if ca_file is not None:
        cluster["certificate-authority"] = str(ca_file)
    config["clusters"].append({"name": "hostile", "cluster": cluster})
    config["users"].append({"name": "visitor", "user": {"token": "visitor-token"}})
    config["contexts"].append(
        {"name": "hostile", "context": {"cluster": "hostile", "user": "visitor"}}
    )
    return str(yaml.safe_dump(config))


async def wait_for_failure(forward: ForwardHandle, code: ReasonCode | None = None) -> None:
    """Wait until a forward that is never ready has failed, by default with any code."""

    def has_failed(status: Forward) -> bool:
        assert status.state is not ForwardState.READY
        return status.retry_at is not None and code in (None, status.code)

    await forward.wait_until(has_failed, f"a failure with {code}", 90.0)


async def expect_cut(forward: ForwardHandle) -> None:
    """Connect, and expect the end of the connection without a response."""
    async with asyncio.timeout(60), connected(forward.port) as client:
        with contextlib.suppress(ConnectionError):
            await client.send(b"hello")
            assert await client.receive() == b""


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"], indirect=True)
async def test_concurrent_attacks_fail_with_their_own_reasons(
    scenario: HostileServerScenario,
) -> None:
    memory_growth = scenario.engine.track_memory_growth()
    async with asyncio.TaskGroup() as group:
        for name in ATTACKS.keys() - {"garbage-once-used", "endless-message"}:
            group.create_task(scenario.check_failure(name))
    growth = memory_growth()
    assert growth < 2 * _MAX_GROWTH, f"{growth / MIB:.0f} MiB"
    await scenario.check_neighbor()


@pytest.mark.parametrize("tls", [True], ids=["tls"], indirect=True)
async def test_attacks_do_not_exhaust_memory(scenario: HostileServerScenario) -> None:
    for name in (
        "garbage", "zip-bomb", "many-headers", "large-data", "large-control-frame", "pings",
    ):  # fmt: skip
        memory_growth = scenario.engine.track_memory_growth()
        await scenario.check_failure(name)
        growth = memory_growth()
        assert growth < _MAX_GROWTH, f"{name}: {growth / MIB:.0f} MiB"
        await scenario.check_neighbor()


@pytest.mark.parametrize("tls", [True], ids=["tls"], indirect=True)
@pytest.mark.parametrize("transport", [TransportChoice.WEBSOCKET, TransportChoice.CHANNELS])
async def test_endless_message_does_not_exhaust_memory(
    scenario: HostileServerScenario, transport: TransportChoice
) -> None:
    memory_growth = scenario.engine.track_memory_growth()
    async with scenario.start_attack("endless-message", transport, queue_timeout_s=2.0) as forward:
        if transport is TransportChoice.WEBSOCKET:
            await wait_for_failure(forward)
        else:
            # This transport opens a WebSocket only for a connection.
            await forward.wait_until_ready()
            await expect_cut(forward)
    growth = memory_growth()
    assert growth < _MAX_GROWTH, f"{growth / MIB:.0f} MiB"
    await scenario.check_neighbor()


async def test_tunnel_that_breaks_in_use_cuts_only_its_own_connection(
    scenario: HostileServerScenario,
) -> None:
    async with scenario.start_attack("garbage-once-used") as forward:
        for _ in range(3):
            await forward.wait_until_ready()
            await expect_cut(forward)
        assert "SPDY" in await forward.timeline()
    await scenario.check_neighbor()
