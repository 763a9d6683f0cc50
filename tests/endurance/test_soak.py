"""Load and faults for a while; then nothing is left over, and all books agree."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

import psutil
import pytest

from tests.endurance.engine_process import wait_until
from tests.endurance.leaks import check_totals, run_load, run_soak
from tests.support.cluster_process import ClusterProcess
from tui_forward.session.local import LocalSession


@pytest.mark.timeout(180)
async def test_a_short_soak_in_this_process(
    cluster: ClusterProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an engine in this very process, so that its tasks and objects can be counted."""
    session = LocalSession(cluster.kubeconfig)
    tasks_before = asyncio.all_tasks()
    process = psutil.Process()
    try:
        await run_load(cluster, session, seed=1, load_s=3, faults_s=1.0)
        await wait_until(lambda: len(asyncio.all_tasks()) <= len(tasks_before) + 6, "idle tasks")
        gc.collect()
        objects, files = census(), process.num_fds()
        tasks = len(asyncio.all_tasks())
        troubled, calm, _ = await run_load(cluster, session, seed=2, load_s=8, faults_s=1.5)
        check_totals(troubled, calm=False)
        check_totals(calm, calm=True)

        def as_before() -> bool:
            gc.collect()
            return (
                len(asyncio.all_tasks()) <= tasks
                and process.num_fds() <= files
                and not census() - objects
            )

        try:
            await wait_until(as_before, "everything to be as before", 40.0)
        except AssertionError:
            gc.collect()
            raise AssertionError(
                f"tasks {tasks} → {len(asyncio.all_tasks())}, descriptors {files} → "
                f"{process.num_fds()}, objects {census() - objects}; "
                f"{[task.get_name() for task in asyncio.all_tasks()]}"
            ) from None
    finally:
        await session.close()
    # This test itself is the one that is left.
    await wait_until(lambda: len(asyncio.all_tasks()) == 1, "the end of all tasks", 10.0)


def census() -> Counter[str]:
    """How many objects of the data path there are, by type."""
    counted = {
        "LocalConnection", "SpdyChannel", "SpdyTunnel", "ChannelsTunnel", "LegacyChannel",
        "TunnelPool", "SpillBuffer", "SpdyStream", "ClientStreamPair", "ActiveForward",
        "Reconciler", "TlsStream", "SocketStream", "WebSocketStream",
    }  # fmt: skip
    return Counter(name for each in gc.get_objects() if (name := type(each).__name__) in counted)


@pytest.mark.soak
@pytest.mark.timeout(400)
async def test_soak(cluster: ClusterProcess) -> None:
    line = await run_soak(cluster, seed=20260101, load_s=60.0, faults_s=4.0)
    assert "after" in line
