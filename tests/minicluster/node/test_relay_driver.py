"""The driver `relay`: a helper process in the pod, with the words and habits of dockershim."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest

from tests.minicluster.node.harness import RuntimeHarness, RuntimeProcess, received
from tests.support.waiting import until

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(
        shutil.which("socat") is None or shutil.which("nsenter") is None,
        reason="needs socat and nsenter",
    ),
]


@pytest.fixture
async def relay() -> AsyncIterator[RuntimeHarness]:
    process = RuntimeProcess(driver="relay")
    try:
        process.start()
        harness = RuntimeHarness(process)
        yield harness
        await harness.cri.close()
    finally:
        process.close()


async def test_bytes_go_both_ways(relay: RuntimeHarness) -> None:
    pod = await relay.pod()
    async with relay.tunnel(pod) as client:
        _, data = await client.open(7000, 0, b"through socat")
        await received(data, b"through socat")
        size = 3_000_000
        _, data = await client.open(7002, 1, b"%d\n" % size)
        await until(lambda: len(data.data) == size)
        await until(lambda: data.ended)


async def test_refused(relay: RuntimeHarness) -> None:
    pod = await relay.pod()
    async with relay.tunnel(pod) as client:
        error, data = await client.open(7999, 0)
        await until(lambda: error.ended and data.ended)
        text = error.data.decode()
        assert text.startswith(f"error forwarding port 7999 to pod {pod.sandbox}, uid : ")
        assert "exit status 1: " in text
        assert "Connection refused" in text


async def test_the_helper_passes_the_end_on(relay: RuntimeHarness) -> None:
    """Unlike containerd: the application hears of the client's end, and can answer it."""
    pod = await relay.pod()
    async with relay.tunnel(pod) as client:
        _, data = await client.open(7011, 0, b"four")
        await client.send(client.data(3, fin=True))
        await until(lambda: data.ended)
        assert data.data == b"4\n"


async def test_a_pod_without_a_running_container(relay: RuntimeHarness) -> None:
    pod = await relay.pod("crash-loop", LIFE_S="0")
    await relay.ended(pod.container)
    async with relay.tunnel(pod) as client:
        error, _ = await client.open(7000, 0)
        await until(lambda: error.ended)
        assert f"container not running ({pod.sandbox})" in error.data.decode()
