"""A malicious or broken server affects only its own tunnels."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.endurance.clients import Load, connected
from tests.endurance.engine_process import (
    MIB,
    EngineProcess,
    ForwardHandle,
    open_session,
    running_engine,
    running_forward,
    wait_until,
)
from tests.endurance.hostile_server import ATTACKS, NAMESPACE, HostileServer, running_hostile_server
from tests.kube.certificates import Authority, server_context
from tests.support.cluster_process import ClusterProcess
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.model import Forward, ForwardState, TargetKind, TransportChoice

pytestmark = pytest.mark.timeout(180)

# Memory that a hostile server may make the engine use temporarily.
_MAX_GROWTH = 48 * MIB

# Expected part of the reason, by attack; for others any reason is accepted.
REASONS = {
    "endless-head": "not HTTP",
    "endless-line": "not HTTP",
    "endless-body": "sorry, sorry",
    "silence": "nothing answers",
    "half-a-frame": "nothing answers",
    "drip": "did not answer the upgrade request",
    "closes": "closed the connection without answering",
    "another-protocol": "something.else",
}


@dataclass
class HostileServerScenario:
    """An engine with forwards to an intact cluster and to a hostile server."""

    running: EngineProcess
    session: RemoteSession
    server: HostileServer
    good: ForwardHandle
    load: Load

    async def assert_unaffected(self) -> None:
        """Assert that the forward to the intact cluster works and was never interrupted."""
        served = self.load.served
        await wait_until(lambda: self.load.served > served + 10, "the good forward")
        assert self.load.failures == []
        assert "reconnecting" not in await self.good.timeline()


def _with_hostile(kubeconfig: Path, target: Path, server: HostileServer, authority: str) -> Path:
    config = yaml.safe_load(kubeconfig.read_text())
    cluster = {"server": server.url}
    if authority:
        cluster["certificate-authority"] = authority
    config["clusters"].append({"name": "hostile", "cluster": cluster})
    config["users"].append({"name": "anonymous", "user": {}})
    config["contexts"].append(
        {"name": "hostile", "context": {"cluster": "hostile", "user": "anonymous"}}
    )
    target.write_text(yaml.safe_dump(config))
    return target


def _write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


@pytest.fixture(params=[True, False], ids=["tls", "plain"])
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def scenario(
    cluster: ClusterProcess, tmp_path: Path, tls: bool
) -> AsyncIterator[HostileServerScenario]:
    context: ssl.SSLContext | None = None
    authority = ""
    if tls:
        issuer = Authority()
        context = server_context(issuer.issue("server"), tmp_path)
        authority = _write(tmp_path / "ca.pem", issuer.pem)
    async with running_hostile_server(tls=context) as server:
        config = _with_hostile(cluster.kubeconfig, tmp_path / "config", server, authority)
        with running_engine(config) as running:
            async with (
                open_session(running) as session,
                running_forward(session, 7000) as good,
                Load(good.port, workers=2, every_s=0.05).running() as load,
            ):
                await wait_until(lambda: load.served > 10, "connections before")
                yield HostileServerScenario(running, session, server, good, load)
            assert running.log_errors() == ""


async def wait_for_failure(line: ForwardHandle) -> Forward:
    def has_failed(forward: Forward) -> bool:
        assert forward.state is not ForwardState.READY
        return forward.retry_at is not None

    return await line.wait_until(has_failed, "a failure")


async def expect_cut(line: ForwardHandle) -> None:
    """Expect a connection to end without a response."""
    async with asyncio.timeout(15), connected(line.port) as client:
        with contextlib.suppress(ConnectionError):
            await client.send(b"hello")
            assert await client.receive() == b""


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"], indirect=True)
async def test_concurrent_attacks_are_reported_and_contained(
    scenario: HostileServerScenario,
) -> None:
    """Run all attacks concurrently over SPDY; each forward reports its own reason."""
    rss = scenario.running.footprint().rss
    with scenario.running.measure_peak_rss() as peak:
        async with asyncio.TaskGroup() as group:
            for name in ATTACKS:
                if name not in ("garbage-when-used", "endless-websocket"):
                    group.create_task(run_attack(scenario, name))
        grown = peak() - rss
    assert grown < 2 * _MAX_GROWTH, f"{grown / MIB:.0f} MiB"
    await scenario.assert_unaffected()


async def run_attack(scenario: HostileServerScenario, name: str) -> None:
    async with running_forward(
        scenario.session, 80, kind=TargetKind.POD, name=name, namespace=NAMESPACE,
        context="hostile", transport=TransportChoice.SPDY, ready=False,
    ) as line:  # fmt: skip
        forward = await wait_for_failure(line)
        assert scenario.server.attacked[name] >= 1
        assert forward.reason
        assert REASONS.get(name, "") in forward.reason, f"{name}: {forward.reason}"


@pytest.mark.parametrize("tls", [True], ids=["tls"], indirect=True)
async def test_memory_during_an_attack_is_limited(scenario: HostileServerScenario) -> None:
    for name in ("garbage", "bomb", "many-headers", "large-data", "large-control", "pings"):
        rss = scenario.running.footprint().rss
        with scenario.running.measure_peak_rss() as peak:
            await run_attack(scenario, name)
            grown = peak() - rss
        assert grown < _MAX_GROWTH, f"{name}: {grown / MIB:.0f} MiB"
        await scenario.assert_unaffected()


@pytest.mark.parametrize("tls", [True], ids=["tls"], indirect=True)
@pytest.mark.parametrize("transport", [TransportChoice.WEBSOCKET, TransportChoice.CHANNELS])
async def test_memory_during_an_endless_message_is_limited(
    scenario: HostileServerScenario, transport: TransportChoice
) -> None:
    rss = scenario.running.footprint().rss
    with scenario.running.measure_peak_rss() as peak:
        async with running_forward(
            scenario.session, 80, kind=TargetKind.POD, name="endless-websocket",
            namespace=NAMESPACE, context="hostile", transport=transport, ready=False,
            queue_timeout_s=2.0,
        ) as line:  # fmt: skip
            if transport is TransportChoice.WEBSOCKET:
                await wait_for_failure(line)
            else:
                # This transport opens no tunnel before the first connection.
                await line.wait_until_ready()
                await expect_cut(line)
        grown = peak() - rss
    assert grown < _MAX_GROWTH, f"{grown / MIB:.0f} MiB"
    await scenario.assert_unaffected()


async def test_tunnel_that_becomes_invalid_cuts_only_its_connection(
    scenario: HostileServerScenario,
) -> None:
    async with running_forward(
        scenario.session, 80, kind=TargetKind.POD, name="garbage-when-used", namespace=NAMESPACE,
        context="hostile", transport=TransportChoice.SPDY,
    ) as line:  # fmt: skip
        for _ in range(3):
            await line.wait_until_ready()
            await expect_cut(line)
        assert "SPDY" in await line.timeline()
    await scenario.assert_unaffected()
