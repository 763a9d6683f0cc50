"""During every outage local connects succeed, and held connections are served afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.endurance import toolbox
from tests.endurance.clients import Load, echo
from tests.endurance.engine_process import (
    EngineProcess,
    open_session,
    running_engine,
    running_forward,
)
from tests.endurance.outages import (
    OutageResults,
    OutageScene,
    crash_container,
    delete_pod,
    delete_pod_after_compaction,
    open_outage_scene,
    repeat_outage,
    restart_component,
    stall,
    stall_until_detected,
    wait_for_served,
)
from tests.support.cluster_process import ClusterProcess
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.model import BlockedBy, ForwardState

pytestmark = pytest.mark.timeout(120)

# A bound that holds on any machine; `python -m tests.endurance` checks exact figures.
_FIRST_BYTE_S = 20.0


@pytest.fixture
async def scene(cluster: ClusterProcess, session: RemoteSession) -> AsyncIterator[OutageScene]:
    async with open_outage_scene(cluster, session) as scene:
        yield scene


def check(results: OutageResults) -> None:
    assert results.violations == []
    assert results.held, "no connection was held, so the test shows nothing"
    assert results.p50_s <= _FIRST_BYTE_S, results.row()


async def test_deleted_pod_holds_connections(scene: OutageScene) -> None:
    check(await repeat_outage(scene, "pod deleted", delete_pod(1), 2))
    check(await repeat_outage(scene, "pod deleted without grace", delete_pod(0)))


async def test_crashed_container_holds_connections(scene: OutageScene) -> None:
    # The kubelet restarts a container at once the first time, later with a backoff.
    check(await repeat_outage(scene, "container crashed", crash_container, 2))


@pytest.mark.parametrize("component", ["apiserver", "kubelet", "runtime"])
async def test_restarted_component_holds_connections(scene: OutageScene, component: str) -> None:
    results = await repeat_outage(scene, f"{component} restarted", restart_component(component))
    killed = await repeat_outage(
        scene, f"{component} killed", restart_component(component, kill=True)
    )
    results.outages += killed.outages
    check(results)


async def test_short_stall_cuts_no_connection(scene: OutageScene) -> None:
    results = await repeat_outage(scene, "network stalled", stall("kubelet", duration_s=2.0))
    assert results.violations == []
    assert scene.load.failures == []
    assert "reconnecting" not in await scene.forward.timeline()


async def test_silent_network_is_detected(scene: OutageScene) -> None:
    results = await repeat_outage(scene, "network silent", stall_until_detected("apiserver"))
    check(results)
    assert "nothing has come through the tunnel" in await scene.forward.timeline()


async def test_pod_deleted_after_compaction_holds_connections(scene: OutageScene) -> None:
    results = await repeat_outage(
        scene, "history compacted, pod deleted", delete_pod_after_compaction, 2
    )
    check(results)


async def test_rotated_token_is_read_again(cluster: ClusterProcess, session: RemoteSession) -> None:
    async with (
        running_forward(session, toolbox.ECHO, context="admin-tokenfile") as forward,
        Load(forward.port).running() as load,
    ):
        await wait_for_served(load, 21)
        for _ in range(2):
            await rotate_token(cluster)
            await wait_for_served(load, 21)
        assert load.refused == 0
        assert "credentials" not in await forward.timeline()


async def test_expired_token_blocks_the_forward_and_holds_connections(
    cluster: ClusterProcess, session: RemoteSession
) -> None:
    async with running_forward(
        session, toolbox.ECHO, context="admin-tokenfile", queue_timeout_s=60
    ) as forward:
        await echo(forward.port)
        await cluster.fault("expire-token")
        await cluster.fault("cut", component="apiserver", what="all")
        status = await forward.wait_until(
            lambda forward: forward.state is ForwardState.BLOCKED, "blocked by its credentials"
        )
        assert status.blocked_by is BlockedBy.CREDENTIALS, status
        assert status.reason
        assert status.hint
        held = [asyncio.create_task(echo(forward.port)) for _ in range(10)]
        await forward.wait_until(lambda forward: forward.queued == 10, "ten held connections")
        await cluster.fault("rotate-token", user="admin-tokenfile")
        await asyncio.gather(*held)
        await forward.wait_until_ready()


async def test_exec_plugin_runs_again_after_token_rotation(
    cluster: ClusterProcess, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    kubeconfig = write_exec_plugin_kubeconfig(cluster, tmp_path, calls)
    with running_engine(kubeconfig) as engine:
        async with (
            open_session(engine) as session,
            running_forward(session, toolbox.ECHO, context="plugin") as forward,
            Load(forward.port).running() as load,
        ):
            await wait_for_served(load, 21)
            calls_before = calls.stat().st_size
            await rotate_token(cluster)
            await wait_for_served(load, 21)
            assert load.refused == 0
            assert calls.stat().st_size > calls_before
            assert "credentials" not in await forward.timeline()


def test_engine_survives_all_outages(engine: EngineProcess) -> None:
    assert engine.footprint().rss > 0


async def rotate_token(cluster: ClusterProcess) -> None:
    """Replace the token in its file, and cut all connections that used the old one."""
    await cluster.fault("rotate-token", user="admin-tokenfile")
    await cluster.fault("cut", component="apiserver", what="all")


def write_exec_plugin_kubeconfig(cluster: ClusterProcess, folder: Path, calls: Path) -> Path:
    """Write a kubeconfig whose exec plugin prints a token file and appends a line to `calls`."""
    token = cluster.folder / "tokens" / "admin-tokenfile.token"
    plugin = folder / "plugin"
    plugin.write_text(
        "#!/bin/sh\n"
        f"echo >> {calls}\n"
        'printf \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
        f'"status":{{"token":"%s"}}}}\' "$(cat {token})"\n'
    )
    plugin.chmod(0o700)
    kubeconfig = folder / "config"
    kubeconfig.write_text(
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
    return kubeconfig
