"""Unavailable transports: `auto` falls back, a forced transport reports the reason."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.processes import Process, environment, program, wait_until
from tests.endurance.clients import echo
from tests.endurance.engine_process import (
    ForwardHandle,
    open_session,
    running_engine,
    running_forward,
)
from tests.support.cluster_process import ClusterProcess
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.model import ForwardState, TransportChoice

pytestmark = pytest.mark.timeout(60)

SPDY, WEBSOCKET, CHANNELS = (
    TransportChoice.SPDY,
    TransportChoice.WEBSOCKET,
    TransportChoice.CHANNELS,
)
ORDER = (SPDY, WEBSOCKET, CHANNELS)


@pytest.fixture
async def fresh(cluster: ClusterProcess) -> AsyncIterator[RemoteSession]:
    """Return a client of a new engine, which has cached no transport."""
    with running_engine(cluster.kubeconfig) as running:
        async with open_session(running) as session:
            yield session
        assert running.log_errors() == ""


async def assert_transport(line: ForwardHandle, transport: TransportChoice) -> None:
    await echo(line.port, 100_000)
    assert (await line.forward()).transport is transport


@pytest.mark.parametrize("status", [400, 403, 500, 502])
async def test_auto_uses_and_caches_the_first_available_transport(
    cluster: ClusterProcess, fresh: RemoteSession, status: int
) -> None:
    disabled: list[str] = []
    for transport in ORDER:
        await cluster.fault("transports", disable=disabled, status=status)
        async with running_forward(fresh, 7000) as line:
            await assert_transport(line, transport)
        # All transports are available again; the cached one is used.
        await cluster.fault("transports", disable=[])
        async with running_forward(fresh, 7000) as line:
            await assert_transport(line, transport)
        disabled.append(transport.value)


async def test_auto_replaces_a_cached_transport_that_fails(
    cluster: ClusterProcess, fresh: RemoteSession
) -> None:
    async with running_forward(fresh, 7000) as line:
        await assert_transport(line, SPDY)
        await cluster.fault("transports", disable=["spdy"])
        await cluster.fault("cut", component="kubelet")
        await line.wait_until(lambda forward: forward.transport is WEBSOCKET, "the WebSocket")
        await assert_transport(line, WEBSOCKET)
        await cluster.fault("transports", disable=["websocket", "channels"])
        await cluster.fault("cut", component="kubelet")
        await line.wait_until(lambda forward: forward.transport is SPDY, "SPDY again")
        await assert_transport(line, SPDY)


async def test_failure_names_all_transports_that_were_tried(
    cluster: ClusterProcess, fresh: RemoteSession
) -> None:
    await cluster.fault("transports", disable=["spdy", "websocket", "channels"])
    async with running_forward(fresh, 7000, ready=False) as line:
        forward = await line.wait_until(
            lambda forward: forward.retry_at is not None, "a failure with a retry time"
        )
        assert forward.state is ForwardState.CONNECTING
        assert "spdy is disabled" in forward.reason
        assert "tried spdy, websocket, channels" in forward.reason
        await cluster.fault("transports", disable=["spdy", "websocket"])
        await line.wait_until_ready()
        await assert_transport(line, CHANNELS)


@pytest.mark.parametrize("transport", ORDER, ids=str)
async def test_forced_transport_reports_its_failure_without_fallback(
    cluster: ClusterProcess, fresh: RemoteSession, transport: TransportChoice
) -> None:
    await cluster.fault("transports", disable=[transport.value])
    async with (
        running_forward(fresh, 7000, transport=transport, ready=False) as forced,
        running_forward(fresh, 7000) as line,
    ):
        forward = await forced.wait_until(lambda forward: forward.retry_at is not None, "a failure")
        assert f"{transport} is disabled" in forward.reason
        assert "tried" not in forward.reason
        assert forward.transport is None
        # A forward with automatic choice works meanwhile.
        await assert_transport(line, next(one for one in ORDER if one is not transport))
        await cluster.fault("transports", disable=[])
        await forced.wait_until_ready()
        await assert_transport(forced, transport)


def test_json_output_contains_the_reason(cluster: ClusterProcess, tmp_path: Path) -> None:
    cluster.control.send("transports", disable=["spdy"])

    def reasons(process: Process) -> list[str]:
        return [json.loads(line).get("reason", "") for line in process.out]

    with program(
        *("forward", "deploy/toolbox", ":7000", "-n", "ops", "--transport", "spdy", "--json"),
        env=environment(tmp_path, KUBECONFIG=str(cluster.kubeconfig)),
    ) as process:
        wait_until(
            lambda: any("spdy is disabled" in reason for reason in reasons(process)),
            "the reason",
        )
        cluster.control.send("transports", disable=[])
        wait_until(lambda: any('"state":"ready"' in line for line in process.out), "ready")
