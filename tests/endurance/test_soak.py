"""After load with faults, byte counts agree and no resource is left over."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from math import inf

import psutil
import pytest

from tests.endurance.engine_process import wait_until
from tests.endurance.leaks import run_load, run_soak
from tests.support.cluster_process import ClusterProcess
from tui_forward.engine.connections.connection import LocalConnection
from tui_forward.engine.forwards.forward import ActiveForward
from tui_forward.engine.forwards.reconciler import Reconciler
from tui_forward.engine.tunnels.channels_tunnel import ChannelsTunnel, LegacyChannel
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.engine.tunnels.spdy_channel import SpdyChannel
from tui_forward.engine.tunnels.spdy_tunnel import SpdyTunnel
from tui_forward.engine.tunnels.spill_buffer import SpillBuffer
from tui_forward.kube import http_connector
from tui_forward.protocol.portforward import ClientStreamPair
from tui_forward.protocol.spdy.stream import SpdyStream
from tui_forward.session.local import LocalSession
from tui_forward.transport.socket_stream import SocketStream
from tui_forward.transport.tls_stream import TlsStream
from tui_forward.transport.websocket_stream import WebSocketStream

DATA_PATH_TYPES = frozenset({
    ActiveForward, ChannelsTunnel, ClientStreamPair, LegacyChannel, LocalConnection, Reconciler,
    SocketStream, SpdyChannel, SpdyStream, SpdyTunnel, SpillBuffer, TlsStream, TunnelPool,
    WebSocketStream,
})  # fmt: skip
# At a time, in the short test.
_CLIENTS = 10
# Served by the first load, which imports modules and fills caches.
_FIRST_CLIENTS = 10


@pytest.mark.timeout(180)
async def test_short_soak_leaves_no_task_descriptor_or_object(
    cluster: ClusterProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the engine in this process, so that its tasks and objects can be counted."""
    monkeypatch.setattr(http_connector, "_IDLE_S", 1.0)  # of connections kept for requests
    session = LocalSession(cluster.kubeconfig)
    tasks_before = len(asyncio.all_tasks())
    process = psutil.Process()
    try:
        await run_load(
            cluster, session, seed=1, load_s=1, fault_interval_s=inf, concurrent=_CLIENTS,
            min_clients=_FIRST_CLIENTS,
        )  # fmt: skip
        await wait_until(lambda: len(asyncio.all_tasks()) <= tasks_before + 6, "idle tasks")
        objects, files = count_objects(), process.num_fds()
        tasks = len(asyncio.all_tasks())
        result = await run_load(
            cluster, session, seed=15, load_s=3, fault_interval_s=0.75, concurrent=_CLIENTS
        )
        result.check()

        def is_released() -> bool:
            return (
                len(asyncio.all_tasks()) <= tasks
                and process.num_fds() <= files
                and not count_objects() - objects
            )

        try:
            await wait_until(is_released, "the release of all resources", 40.0)
        except AssertionError:
            raise AssertionError(
                f"tasks {tasks} → {len(asyncio.all_tasks())}, descriptors {files} → "
                f"{process.num_fds()}, objects {count_objects() - objects}; "
                f"{[task.get_name() for task in asyncio.all_tasks()]}"
            ) from None
    finally:
        await session.close()
    # The task of this test remains.
    await wait_until(lambda: len(asyncio.all_tasks()) == 1, "the end of all tasks", 60.0)


def count_objects() -> Counter[str]:
    """Count the reachable objects of the data path by type."""
    gc.collect()
    return Counter(
        kind.__name__ for each in gc.get_objects() if (kind := type(each)) in DATA_PATH_TYPES
    )


@pytest.mark.soak
@pytest.mark.timeout(400)
async def test_soak_leaves_no_resource(cluster: ClusterProcess) -> None:
    row = await run_soak(cluster, seed=20260101, load_s=60.0, fault_interval_s=4.0)
    assert "after" in row
