"""Life cycle of pods, with and without their runtime, on every kind of network."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.processes import wait_until as until_sync
from tests.minicluster.node.harness import (
    NEEDS_NETNS,
    RuntimeHarness,
    RuntimeProcess,
    processes_of,
    wait_for_data,
    wait_for_end,
)
from tests.support.waiting import until
from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.runtime import netns


async def test_fifteen_pods_start_at_once(runtime: RuntimeHarness) -> None:
    pods = await asyncio.gather(*(runtime.pod("toolbox") for _ in range(15)))
    statuses = [await runtime.cri.container_status(pod.container) for pod in pods]
    assert {status.state for status in statuses} == {cri.CONTAINER_RUNNING}
    assert len({status.id for status in statuses}) == 15


async def test_exited_container_keeps_status_and_log(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod("crash-loop", LIFE_S="0.05", EXIT_CODE="3")
    status = await runtime.wait_for_exit(pod.container)
    assert (status.exit_code, status.reason) == (3, "Error")
    assert status.created_at <= status.started_at <= status.finished_at
    log = read_log(status)
    assert log[0].split(" ", 3)[1:3] == ["stdout", "F"]
    assert log[-1].endswith("giving up")


def read_log(status: cri.ContainerStatus) -> list[str]:
    return Path(status.log_path).read_text().splitlines()


async def test_stop_sends_sigterm_then_sigkill(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod("silent")
    await runtime.cri.stop_container(pod.container, 5)
    assert (await runtime.cri.container_status(pod.container)).exit_code == 0
    stubborn = await runtime.pod("silent", TERM_DELAY_S="60")
    started = time.monotonic()
    await runtime.cri.stop_container(stubborn.container, 1)
    assert 0.9 < time.monotonic() - started < 30
    assert (await runtime.cri.container_status(stubborn.container)).exit_code == 137


async def test_container_events_report_every_state(runtime: RuntimeHarness) -> None:
    kinds: list[int] = []

    async def listen() -> None:
        async for event in runtime.cri.container_events():
            if event.pod_sandbox_status.metadata.name == "eventful":
                kinds.append(event.container_event_type)  # noqa: PERF401 - checked while it grows

    listener = asyncio.create_task(listen())
    # The stream is open once it has delivered any event.
    while not kinds:
        pod = await runtime.pod("silent", "eventful")
        await runtime.cri.stop_container(pod.container, 1)
        await runtime.cri.remove_pod_sandbox(pod.sandbox)
        await asyncio.sleep(0.05)
    kinds.clear()
    pod = await runtime.pod("silent", "eventful")
    await runtime.cri.stop_container(pod.container, 1)
    await runtime.cri.remove_container(pod.container)
    await until(lambda: len(kinds) >= 4)
    assert kinds == [
        cri.CONTAINER_CREATED_EVENT,
        cri.CONTAINER_STARTED_EVENT,
        cri.CONTAINER_STOPPED_EVENT,
        cri.CONTAINER_DELETED_EVENT,
    ]
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)


async def test_only_images_of_applications_exist(runtime: RuntimeHarness) -> None:
    image = await runtime.cri.image_status("docker.io/local/echo:1")
    assert image is not None
    assert image.id.startswith("sha256:")
    assert await runtime.cri.image_status("docker.io/library/nginx") is None
    with pytest.raises(CriError, match="failed to pull and unpack image") as caught:
        await runtime.cri.pull_image("docker.io/local/missing:1")
    assert caught.value.not_found


async def test_probes_run_inside_the_pod(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod("http-site")
    for command, code in (
        (["true"], 0),
        (["false"], 1),
        (["/probe", "tcp", "8080"], 0),
        (["/probe", "tcp", "8081"], 1),
        (["/probe", "http", "8080", "/readyz"], 0),
        (["/probe", "http", "8080", "/nowhere"], 1),
    ):
        response = await runtime.cri.exec_sync(pod.container, command, 5)
        assert (command, response.exit_code) == (command, code)


async def test_pods_survive_crash_of_runtime() -> None:
    process = RuntimeProcess()
    try:
        process.start()
        harness = RuntimeHarness(process)
        pod = await harness.pod("toolbox")
        before = await harness.cri.container_status(pod.container)
        process.crash()
        process.start()
        after = await harness.cri.container_status(pod.container)
        assert after == before
        async with harness.tunnel(pod) as client:
            _, data = await client.open(7000, 0, b"still there")
            await wait_for_data(data, b"still there")
        await harness.cri.close()
    finally:
        process.close()
    until_sync(lambda: not processes_of(process.folder), "all processes to end")


def test_pods_end_when_their_owner_is_killed(tmp_path: Path) -> None:
    script = """
import sys, time
from tests.minicluster.node.harness import RuntimeHarness, RuntimeProcess
import asyncio
async def main():
    process = RuntimeProcess()
    process.start()
    harness = RuntimeHarness(process)
    pods = [await harness.pod("toolbox") for _ in range(3)]
    print(process.folder, flush=True)
    time.sleep(60)
asyncio.run(main())
"""
    owner = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    assert len(processes_of(folder)) >= 5  # runtime, shim, three pods
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    until_sync(lambda: not processes_of(folder), "all processes to end")
    shutil.rmtree(folder)


async def test_pods_end_when_the_shim_is_killed() -> None:
    process = RuntimeProcess()
    try:
        process.start()
        harness = RuntimeHarness(process)
        pod = await harness.pod("toolbox")
        status = await harness.control.request("status")
        container_pid = status["containers"][pod.container]
        parent = psutil.Process(container_pid).ppid()
        os.kill(parent, signal.SIGKILL)
        await until(lambda: not psutil.pid_exists(container_pid))
        # The runtime starts another shim, without the pods.
        async with asyncio.timeout(60):
            while await harness.cri.list_pod_sandboxes():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
        new_pod = await harness.pod("echo")
        async with harness.tunnel(new_pod) as client:
            _, data = await client.open(7000, 0, b"new")
            await wait_for_data(data, b"new")
        await harness.cri.close()
    finally:
        process.close()
    await until(lambda: not processes_of(process.folder))


@pytest.fixture(params=["loopback", "mapped", pytest.param("netns", marks=pytest.mark.netns)])
async def network_runtime(request: pytest.FixtureRequest) -> AsyncIterator[RuntimeHarness]:
    if request.param == "netns" and not netns.is_supported():
        pytest.skip(NEEDS_NETNS)
    process = RuntimeProcess(network=request.param)
    try:
        process.start()
        harness = RuntimeHarness(process)
        yield harness
        await harness.cri.close()
    finally:
        process.close()


async def test_pods_with_equal_ports_on_every_network(network_runtime: RuntimeHarness) -> None:
    pods = [await network_runtime.pod("echo", PORT="80") for _ in range(2)]
    for pod in pods:
        async with network_runtime.tunnel(pod) as client:
            _, data = await client.open(80, 0, b"privileged")
            await wait_for_data(data, b"privileged")
            error, _ = await client.open(81, 1)
            await wait_for_end(error)
            assert b"127.0.0.1:81: connect: connection refused" in error.data
    addresses = set()
    for pod in pods:
        status = await network_runtime.cri.pod_sandbox_status(pod.sandbox)
        addresses.add(status.network.ip)
    assert len(addresses) == 2


async def test_forward_connects_over_ipv4_to_a_dual_stack_listener(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod("toolbox")
    async with runtime.tunnel(pod) as client:
        _, data = await client.open(7000, 0, b"x")
        await wait_for_data(data, b"x")
        _, data = await client.open(7009, 1, b"GET /counters?port=7000 HTTP/1.0\r\n\r\n")
        await until(lambda: data.ended)
        (record,) = json.loads(data.data.partition(b"\r\n\r\n")[2])["records"]
        assert "127.0.0.1" in record["peer"]
