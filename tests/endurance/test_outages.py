"""Outages: no local connect is refused and every queued connection is served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.endurance import outages
from tests.endurance.clients import Load, echo
from tests.endurance.engine_process import (
    EngineProcess,
    ForwardHandle,
    open_session,
    running_engine,
    running_forward,
    wait_until,
)
from tests.endurance.outages import (
    OutageResults,
    OutageScene,
    delete_pod,
    repeat_outage,
    restart_component,
)
from tests.endurance.pod_watch import PodWatch
from tests.support.cluster_process import ClusterProcess
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.model import BlockedBy, ForwardState

pytestmark = pytest.mark.timeout(120)

# Exact times are measured by `make soak`; this limit holds on a busy machine.
_MAX_FIRST_BYTE_S = 5.0


@pytest.fixture
async def scene(cluster: ClusterProcess, session: RemoteSession) -> AsyncIterator[OutageScene]:
    async with (
        PodWatch.open(cluster) as pods,
        running_forward(session, 7000) as line,
        Load(line.port).running() as load,
    ):
        yield OutageScene(cluster, pods, line, load)


def check_outages(seen: OutageResults, *, within_s: float = _MAX_FIRST_BYTE_S) -> None:
    assert seen.wrong == []
    assert seen.held, "no connection was queued, so nothing was tested"
    assert seen.p50_s <= within_s, seen.row()


async def test_connections_survive_deleted_pods(scene: OutageScene) -> None:
    check_outages(await repeat_outage(scene, "pod deleted", delete_pod(1), 2))
    check_outages(await repeat_outage(scene, "pod killed", delete_pod(0), 2))


async def test_connections_survive_crashed_containers(scene: OutageScene) -> None:
    # Only the first restart has no backoff.
    check_outages(await repeat_outage(scene, "container crashed", outages.crash_container, 3))


@pytest.mark.parametrize("hop", ["apiserver", "kubelet", "runtime"])
async def test_hop_restarted(scene: OutageScene, hop: str) -> None:
    seen = await repeat_outage(scene, f"{hop} restarted", restart_component(hop), 2)
    seen.each += (
        await repeat_outage(scene, f"{hop} killed", restart_component(hop, kill=True), 1)
    ).each
    check_outages(seen, within_s=15.0)


async def test_short_stall_cuts_no_connection(scene: OutageScene) -> None:
    seen = OutageResults("network stalled for a while")
    seen.each.append(await outages.measure_outage(scene, outages.stall("kubelet", for_s=2.0)))
    assert seen.wrong == []
    assert scene.load.failures == [], "a connection was cut"
    assert "reconnecting" not in await scene.line.timeline()


async def test_silent_network_is_detected(scene: OutageScene) -> None:
    seen = OutageResults("network silent")
    seen.each.append(await outages.measure_outage(scene, outages.stall_until_detected("apiserver")))
    check_outages(seen, within_s=15.0)
    assert "nothing has come through the tunnel" in await scene.line.timeline()


async def test_connections_survive_a_compacted_watch_history(scene: OutageScene) -> None:
    async def fault(scene: OutageScene) -> outages.OutageTimes:
        await scene.cluster.fault("gone", times=2)
        await scene.cluster.fault("compact")
        await scene.cluster.fault("cut", component="apiserver", what="watches")
        return await delete_pod(0)(scene)

    check_outages(
        await repeat_outage(scene, "history compacted, pod deleted", fault, 2), within_s=15.0
    )


# Credentials --------------------------------------------------------------------------


async def wait_for_blocked(line: ForwardHandle) -> None:
    forward = await line.wait_until(
        lambda forward: forward.state is ForwardState.BLOCKED, "blocked by its credentials"
    )
    assert forward.blocked_by is BlockedBy.CREDENTIALS, forward
    assert forward.reason
    assert forward.hint


async def test_rotated_token_is_reloaded(cluster: ClusterProcess, session: RemoteSession) -> None:
    async with (
        running_forward(session, 7000, context="admin-tokenfile") as line,
        Load(line.port).running() as load,
    ):
        await wait_until(lambda: load.served > 20, "connections before")
        for _ in range(2):
            await cluster.fault("rotate-token", user="admin-tokenfile")
            await cluster.fault("cut", component="apiserver", what="all")
            served = load.served
            await wait_until(lambda served=served: load.served > served + 20, "connections again")  # type: ignore[misc]
        assert load.refused == 0
        assert "credentials" not in await line.timeline(), "credentials were reported"


async def test_expired_token_blocks_and_queues_connections(
    cluster: ClusterProcess, session: RemoteSession
) -> None:
    async with running_forward(
        session, 7000, context="admin-tokenfile", queue_timeout_s=60
    ) as line:
        await echo(line.port)
        await cluster.fault("expire-token")
        await cluster.fault("cut", component="apiserver", what="all")
        await wait_for_blocked(line)
        queued = [asyncio.create_task(echo(line.port)) for _ in range(10)]
        await line.wait_until(lambda forward: forward.queued == 10, "ten queued connections")
        await cluster.fault("rotate-token", user="admin-tokenfile")
        await asyncio.gather(*queued)
        await line.wait_until_ready()


async def test_exec_plugin_is_run_again(cluster: ClusterProcess, tmp_path: Path) -> None:
    token = cluster.folder / "tokens" / "admin-tokenfile.token"
    plugin = tmp_path / "plugin"
    calls = tmp_path / "calls"
    plugin.write_text(
        "#!/bin/sh\n"
        f"echo >> {calls}\n"
        'printf \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
        f'"status":{{"token":"%s"}}}}\' "$(cat {token})"\n'
    )
    plugin.chmod(0o700)
    config = tmp_path / "config"
    config.write_text(
        f"""
apiVersion: v1
kind: Config
current-context: plugin
clusters:
- name: c
  cluster: {{server: "{cluster.server}", certificate-authority: "{cluster.folder}/pki/ca.crt"}}
users:
- name: u
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: {plugin}
      interactiveMode: Never
contexts:
- name: plugin
  context: {{cluster: c, user: u}}
"""
    )
    with running_engine(config) as running:
        async with (
            open_session(running) as session,
            running_forward(session, 7000, context="plugin") as line,
            Load(line.port).running() as load,
        ):
            await wait_until(lambda: load.served > 20, "connections before")
            calls_before = calls.stat().st_size
            await cluster.fault("rotate-token", user="admin-tokenfile")
            await cluster.fault("cut", component="apiserver", what="all")
            served = load.served
            await wait_until(lambda: load.served > served + 20, "connections again")
            assert load.refused == 0
            assert calls.stat().st_size > calls_before
            assert "credentials" not in await line.timeline()


def test_engine_is_running(engine_process: EngineProcess) -> None:
    assert engine_process.footprint().rss > 0
