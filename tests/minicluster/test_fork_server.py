"""Components as forks of one process: what they inherit, how they end, and what ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.minicluster.kubectl import TIMEOUT_S, wait_for
from tests.support.cluster_process import ONE_NODE, running_cluster
from tests.support.waiting import until
from tui_forward.errors import TransportError
from tui_forward.minicluster.fork_server_client import ForkedProcess, ForkServerClient

_NUMBERS = itertools.count()  # of configuration files
SMALL = ("--no-workloads", *ONE_NODE)
LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="names of processes")


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[ForkServerClient]:
    """Run a fork server."""
    client = ForkServerClient()
    await client.start(folder / "server.log", {"FROM_SUPERVISOR": "yes"})
    try:
        yield client
    finally:
        await client.close()


async def fork(client: ForkServerClient, folder: Path, config: str = "{}") -> ForkedProcess:
    """Start a runtime; with the default configuration it fails at once."""
    path = folder / f"{next(_NUMBERS)}.json"
    path.write_text(config)
    return await client.fork("runtime-x", "runtime", path, folder / "component.log")


def valid_config(folder: Path) -> str:
    (folder / "state").mkdir(parents=True)
    return f'{{"state_dir": "{folder}/state", "listen": "{folder}/cri.sock"}}'


async def test_exit_code_and_log_of_a_failed_component(tmp_path: Path) -> None:
    async with running(tmp_path) as client:
        process = await fork(client, tmp_path)
        assert await process.stdout.read() == b""
        assert await process.wait() == 1
        process.close_stdin()
    assert "state_dir" in (tmp_path / "component.log").read_text()
    assert (tmp_path / "server.log").read_text() == ""


async def test_component_has_the_streams_of_its_request_and_the_environment(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as client:
        process = await fork(client, tmp_path, valid_config(tmp_path))
        assert b'"ready":true' in await process.stdout.readline()
        child = psutil.Process(process.pid)
        assert child.environ()["FROM_SUPERVISOR"] == "yes"
        assert os.getsid(process.pid) == process.pid
        process.close_stdin()  # no other process may hold it: the component ends
        assert await process.wait() == 0


async def test_signal_that_ended_a_component_is_its_exit_code(tmp_path: Path) -> None:
    async with running(tmp_path) as client:
        process = await fork(client, tmp_path, valid_config(tmp_path))
        await process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL
        process.send_signal(signal.SIGKILL)  # the process ID may be of another process now
        process.close_stdin()


async def test_canceled_request_leaves_no_process(tmp_path: Path) -> None:
    async with running(tmp_path) as client:
        first = await fork(client, tmp_path, valid_config(tmp_path / "first"))
        await first.stdout.readline()
        server = psutil.Process(first.pid).parent()
        assert server is not None
        config = valid_config(tmp_path / "second")
        request = asyncio.ensure_future(fork(client, tmp_path, config))
        await asyncio.sleep(0)  # it begins ...
        await asyncio.sleep(0)  # ... and is sent
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        third = await fork(client, tmp_path)  # answered after the canceled one
        await third.wait()
        third.close_stdin()
        await until(lambda: [each.pid for each in server.children()] == [first.pid])
        first.close_stdin()
        await first.wait()


async def test_lost_server_fails_requests_and_ends_its_components(tmp_path: Path) -> None:
    async with running(tmp_path) as client:
        process = await fork(client, tmp_path, valid_config(tmp_path))
        await process.stdout.readline()
        server = psutil.Process(process.pid).parent()
        assert server is not None
        server.kill()
        await process.wait()
        await client.lost.wait()
        with pytest.raises(TransportError, match="the fork server has ended"):
            await fork(client, tmp_path)
        process.close_stdin()
        await until(lambda: not psutil.pid_exists(process.pid))


async def test_error_of_a_server_that_cannot_start_has_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "grpc.py").write_text("raise ImportError('no gRPC here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    client = ForkServerClient()
    await client.start(tmp_path / "server.log", {})
    with pytest.raises(TransportError, match="no gRPC here"):
        await fork(client, tmp_path)
    await client.close()


@LINUX_ONLY
def test_components_are_named_like_their_logs() -> None:
    with running_cluster(*SMALL) as cluster:
        (server,) = psutil.Process(cluster.process.pid).children()
        names = {each.name() for each in server.children()}
        logs = {path.stem for path in (cluster.folder / "logs").iterdir()}
    assert names == {"apiserver", "kubelet-node-a", "runtime-node-a"}
    assert names == logs - {"fork-server"}


def test_cluster_ends_with_its_fork_server(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tui_forward.minicluster", "--json", *SMALL]
    command += ["--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        processes = psutil.Process(process.pid).children(recursive=True)
        (server,) = psutil.Process(process.pid).children()
        server.kill()
        assert process.wait(TIMEOUT_S) == 1
        assert b"the fork server of the components has ended" in process.stderr.read()
    wait_for(
        lambda: not [each for each in processes if each.is_running()], "the end of all processes"
    )
    assert list(tmp_path.iterdir()) == []
