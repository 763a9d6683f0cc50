"""Soak tests: load with faults leaks nothing, and all byte counts agree."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

import psutil
import pytest

from tests.endurance.engine_process import wait_until
from tests.endurance.leaks import check_totals, run_load, run_soak
from tests.support.cluster_process import ClusterProcess
from tui_forward.engine.connections.connection import LocalConnection
from tui_forward.engine.forwards.forward import ActiveForward
from tui_forward.engine.forwards.reconciler import Reconciler
from tui_forward.engine.tunnels.channels_tunnel import ChannelsTunnel, LegacyChannel
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.engine.tunnels.spdy_channel import SpdyChannel
from tui_forward.engine.tunnels.spdy_tunnel import SpdyTunnel
from tui_forward.engine.tunnels.spill_buffer import SpillBuffer
from tui_forward.protocol.portforward import ClientStreamPair
from tui_forward.protocol.spdy.stream import SpdyStream
from tui_forward.session.local import LocalSession
from tui_forward.transport.socket_stream import SocketStream
from tui_forward.transport.tls_stream import TlsStream
from tui_forward.transport.websocket_stream import WebSocketStream


@pytest.mark.timeout(180)
async def test_short_soak_leaks_nothing(
    cluster: ClusterProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the engine in this process, so that its tasks and objects can be counted."""
    session = LocalSession(cluster.kubeconfig)
    tasks_before = asyncio.all_tasks()
    process = psutil.Process()
    try:
        await run_load(cluster, session, seed=1, load_s=3, faults_s=1.0)
        await wait_until(lambda: len(asyncio.all_tasks()) <= len(tasks_before) + 6, "idle tasks")
        gc.collect()
        objects, files = count_objects(), process.num_fds()
        tasks = len(asyncio.all_tasks())
        faulty, calm, _ = await run_load(cluster, session, seed=2, load_s=8, faults_s=1.5)
        check_totals(faulty, calm=False)
        check_totals(calm, calm=True)

        def as_before() -> bool:
            gc.collect()
            return (
                len(asyncio.all_tasks()) <= tasks
                and process.num_fds() <= files
                and not count_objects() - objects
            )

        try:
            await wait_until(as_before, "everything to be as before", 40.0)
        except AssertionError:
            gc.collect()
            raise AssertionError(
                f"tasks {tasks} → {len(asyncio.all_tasks())}, descriptors {files} → "
                f"{process.num_fds()}, objects {count_objects() - objects}; "
                f"{[task.get_name() for task in asyncio.all_tasks()]}"
            ) from None
    finally:
        await session.close()
    # Only the task of this test remains.
    await wait_until(lambda: len(asyncio.all_tasks()) == 1, "the end of all tasks", 10.0)


# Objects of the data path; none of them may outlive its connection or tunnel.
_COUNTED = (
    ActiveForward, ChannelsTunnel, ClientStreamPair, LegacyChannel, LocalConnection, Reconciler,
    SocketStream, SpdyChannel, SpdyStream, SpdyTunnel, SpillBuffer, TlsStream, TunnelPool,
    WebSocketStream,
)  # fmt: skip


def count_objects() -> Counter[str]:
    """Return how many objects of the data path exist, by type."""
    return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in _COUNTED)


@pytest.mark.soak
@pytest.mark.timeout(400)
async def test_soak(cluster: ClusterProcess) -> None:
    line = await run_soak(cluster, seed=20260101, load_s=60.0, faults_s=4.0)
    assert "after" in line
