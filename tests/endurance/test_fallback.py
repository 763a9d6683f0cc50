"""Disabled transports: `auto` finds one that works, a forced one fails with its reason."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.processes import Process, environment, program, wait_until
from tests.endurance import toolbox
from tests.endurance.clients import echo
from tests.endurance.engine_process import ForwardHandle, running_forward
from tests.support.cluster_process import ClusterProcess
from tui_forward.model import ForwardState, TransportChoice
from tui_forward.session.local import LocalSession

SPDY, WEBSOCKET, CHANNELS = ORDER = (
    TransportChoice.SPDY,
    TransportChoice.WEBSOCKET,
    TransportChoice.CHANNELS,
)


@pytest.fixture
async def fresh_session(
    cluster: ClusterProcess, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[LocalSession]:
    """Return a session that has not remembered any transport, of an engine in this process."""
    session = LocalSession(cluster.kubeconfig, monitor_system=False)
    try:
        yield session
    finally:
        await session.close()
    records = [*caplog.get_records("call"), *caplog.records]
    assert [one for one in records if one.levelno >= logging.ERROR] == []


async def disable(cluster: ClusterProcess, *transports: TransportChoice, status: int = 400) -> None:
    """Disable these transports and enable all others."""
    names = [transport.value for transport in transports]
    await cluster.fault("transports", disable=names, status=status)


async def check_transport(forward: ForwardHandle, transport: TransportChoice) -> None:
    await echo(forward.port, 100_000)
    assert (await forward.status()).transport is transport


@pytest.mark.parametrize("status", [400, 403, 500, 502])
async def test_auto_uses_the_first_working_transport_and_remembers_it(
    cluster: ClusterProcess, fresh_session: LocalSession, status: int
) -> None:
    for index, transport in enumerate(ORDER):
        await disable(cluster, *ORDER[:index], status=status)
        async with running_forward(fresh_session, toolbox.ECHO) as forward:
            await check_transport(forward, transport)
        # The remembered transport is used although others before it would work again.
        await disable(cluster)
        async with running_forward(fresh_session, toolbox.ECHO) as forward:
            await check_transport(forward, transport)


async def test_auto_changes_when_the_remembered_transport_fails(
    cluster: ClusterProcess, fresh_session: LocalSession
) -> None:
    async with running_forward(fresh_session, toolbox.ECHO) as forward:
        await check_transport(forward, SPDY)
        await disable(cluster, SPDY)
        await cluster.fault("cut", component="kubelet")
        await forward.wait_until(lambda forward: forward.transport is WEBSOCKET, "WebSocket")
        await check_transport(forward, WEBSOCKET)
        await disable(cluster, WEBSOCKET, CHANNELS)
        await cluster.fault("cut", component="kubelet")
        await forward.wait_until(lambda forward: forward.transport is SPDY, "SPDY again")
        await check_transport(forward, SPDY)


async def test_auto_tries_every_transport_again_after_all_failed(
    cluster: ClusterProcess, fresh_session: LocalSession
) -> None:
    await disable(cluster, *ORDER)
    async with running_forward(fresh_session, toolbox.ECHO, ready=False) as forward:
        status = await forward.wait_until(
            lambda forward: forward.retry_at is not None, "a failure with the time of a retry"
        )
        assert status.state is ForwardState.CONNECTING
        assert "spdy is disabled" in status.reason
        await disable(cluster, SPDY, WEBSOCKET)
        await forward.wait_until_ready()
        await check_transport(forward, CHANNELS)


@pytest.mark.parametrize("transport", ORDER, ids=str)
async def test_forced_transport_fails_with_its_reason_and_is_not_replaced(
    cluster: ClusterProcess, fresh_session: LocalSession, transport: TransportChoice
) -> None:
    await disable(cluster, transport)
    async with (
        running_forward(fresh_session, toolbox.ECHO, transport=transport, ready=False) as forced,
        running_forward(fresh_session, toolbox.ECHO) as automatic,
    ):
        status = await forced.wait_until(lambda forward: forward.retry_at is not None, "a failure")
        assert f"{transport} is disabled" in status.reason
        assert "tried" not in status.reason
        assert status.transport is None
        await check_transport(automatic, next(each for each in ORDER if each is not transport))
        await disable(cluster)
        await forced.wait_until_ready()
        await check_transport(forced, transport)


def test_command_reports_the_reason_of_a_forced_transport(
    cluster: ClusterProcess, tmp_path: Path
) -> None:
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
