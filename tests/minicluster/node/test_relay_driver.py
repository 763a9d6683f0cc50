"""The driver `relay`: a helper process in the pod, with the texts and behavior of dockershim."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest

from tests.minicluster.node.harness import RuntimeHarness, RuntimeProcess, wait_for_data
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


async def test_relay_transfers_bytes_in_both_directions(relay: RuntimeHarness) -> None:
    pod = await relay.pod()
    async with relay.tunnel(pod) as client:
        _, data = await client.open(7000, 0, b"through socat")
        await wait_for_data(data, b"through socat")
        size = 3_000_000
        _, data = await client.open(7002, 1, b"%d\n" % size)
        await until(lambda: len(data.data) == size)
        await until(lambda: data.ended)


async def test_refusal_has_dockershim_text(relay: RuntimeHarness) -> None:
    pod = await relay.pod()
    async with relay.tunnel(pod) as client:
        error, data = await client.open(7999, 0)
        await until(lambda: error.ended and data.ended)
        text = error.data.decode()
        assert text.startswith(f"error forwarding port 7999 to pod {pod.sandbox}, uid : ")
        assert "exit status 1: " in text
        assert "Connection refused" in text


async def test_relay_forwards_eof_of_client(relay: RuntimeHarness) -> None:
    """Unlike containerd, the application gets the EOF and can still reply."""
    pod = await relay.pod()
    async with relay.tunnel(pod) as client:
        _, data = await client.open(7011, 0, b"four")
        await client.send(client.data(3, fin=True))
        await until(lambda: data.ended)
        assert data.data == b"4\n"


async def test_relay_fails_without_running_container(relay: RuntimeHarness) -> None:
    pod = await relay.pod("crash-loop", LIFE_S="0")
    await relay.wait_for_exit(pod.container)
    async with relay.tunnel(pod) as client:
        error, _ = await client.open(7000, 0)
        await until(lambda: error.ended)
        assert f"container not running ({pod.sandbox})" in error.data.decode()
