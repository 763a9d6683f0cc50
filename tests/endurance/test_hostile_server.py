"""A malicious or broken server costs the tunnel it is at the other end of, and nothing else."""

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

pytestmark = pytest.mark.timeout(60)

# What a hostile server may make the engine use for a while.
_BOUND = 48 * MIB

# What the state has to say, by attack. Everything else only has to say something.
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
    """An engine between a good cluster and a hostile server."""

    running: EngineProcess
    session: RemoteSession
    server: HostileServer
    good: ForwardHandle
    load: Load

    async def unharmed(self) -> None:
        """The good forward goes on, and has gone on all the time."""
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
    config["users"].append({"name": "nobody", "user": {}})
    config["contexts"].append(
        {"name": "hostile", "context": {"cluster": "hostile", "user": "nobody"}}
    )
    target.write_text(yaml.safe_dump(config))
    return target


def _written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


@pytest.fixture(params=[True, False], ids=["tls", "plain"])
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def battle(
    cluster: ClusterProcess, tmp_path: Path, tls: bool
) -> AsyncIterator[HostileServerScenario]:
    context: ssl.SSLContext | None = None
    authority = ""
    if tls:
        issuer = Authority()
        context = server_context(issuer.issue("server"), tmp_path)
        authority = _written(tmp_path / "ca.pem", issuer.pem)
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


async def failed(line: ForwardHandle) -> Forward:
    def has_failed(forward: Forward) -> bool:
        assert forward.state is not ForwardState.READY
        return forward.retry_at is not None

    return await line.wait_until(has_failed, "a failure that is said")


async def cut_off(line: ForwardHandle) -> None:
    """A connection that ends without an answer."""
    async with asyncio.timeout(15), connected(line.port) as client:
        with contextlib.suppress(ConnectionError):
            await client.send(b"hello")
            assert await client.receive() == b""


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"], indirect=True)
async def test_every_attack_at_once(battle: HostileServerScenario) -> None:
    """All of them beside one another, by SPDY; each forward says what is wrong with its own."""
    rss = battle.running.footprint().rss
    with battle.running.measure_peak_rss() as peak:
        async with asyncio.TaskGroup() as group:
            for name in ATTACKS:
                if name not in ("turns-bad", "endless-websocket"):
                    group.create_task(one_attack(battle, name))
        grown = peak() - rss
    assert grown < 2 * _BOUND, f"{grown / MIB:.0f} MiB"
    await battle.unharmed()


async def one_attack(battle: HostileServerScenario, name: str) -> None:
    async with running_forward(
        battle.session, 80, kind=TargetKind.POD, name=name, namespace=NAMESPACE,
        context="hostile", transport=TransportChoice.SPDY, ready=False,
    ) as line:  # fmt: skip
        forward = await failed(line)
        assert battle.server.attacked[name] >= 1
        assert forward.reason
        assert REASONS.get(name, "") in forward.reason, f"{name}: {forward.reason}"


@pytest.mark.parametrize("tls", [True], ids=["tls"], indirect=True)
@pytest.mark.parametrize(
    "name", ["garbage", "bomb", "many-headers", "large-data", "large-control", "pings"]
)
async def test_memory_during_one_attack(battle: HostileServerScenario, name: str) -> None:
    rss = battle.running.footprint().rss
    with battle.running.measure_peak_rss() as peak:
        await one_attack(battle, name)
        grown = peak() - rss
    assert grown < _BOUND, f"{grown / MIB:.0f} MiB"
    await battle.unharmed()


@pytest.mark.parametrize("tls", [True], ids=["tls"], indirect=True)
@pytest.mark.parametrize("transport", [TransportChoice.WEBSOCKET, TransportChoice.CHANNELS])
async def test_an_endless_message(
    battle: HostileServerScenario, transport: TransportChoice
) -> None:
    rss = battle.running.footprint().rss
    with battle.running.measure_peak_rss() as peak:
        async with running_forward(
            battle.session, 80, kind=TargetKind.POD, name="endless-websocket",
            namespace=NAMESPACE, context="hostile", transport=transport, ready=False,
            queue_timeout_s=2.0,
        ) as line:  # fmt: skip
            if transport is TransportChoice.WEBSOCKET:
                await failed(line)
            else:
                # It asks nothing of a tunnel before there is a connection for it.
                await line.wait_until_ready()
                await cut_off(line)
        grown = peak() - rss
    assert grown < _BOUND, f"{grown / MIB:.0f} MiB"
    await battle.unharmed()


async def test_a_tunnel_that_turns_bad_takes_its_connection_along_and_nothing_else(
    battle: HostileServerScenario,
) -> None:
    async with running_forward(
        battle.session, 80, kind=TargetKind.POD, name="turns-bad", namespace=NAMESPACE,
        context="hostile", transport=TransportChoice.SPDY,
    ) as line:  # fmt: skip
        for _ in range(3):
            await line.wait_until_ready()
            await cut_off(line)
        assert "SPDY" in await line.timeline()
    await battle.unharmed()
