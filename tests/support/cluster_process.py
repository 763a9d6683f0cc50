"""The embedded cluster as processes of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.support.forked_program import ForkedProcess
from tui_forward.minicluster.control_socket import ControlClient

REPOSITORY = Path(__file__).resolve().parents[2]
# Each node has three processes: kubelet, runtime, shim. Few tests need a second node.
ONE_NODE = ("--nodes", "node-a")
_STOP_TIMEOUT_S = 30.0
_FAULT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class ClusterProcess:
    """A running cluster: API server, kubelets, runtimes, pods.

    Attributes:
        server: URL of the API server.
        folder: State, certificates and sockets of the cluster.
        control: Client of its control socket.
        process: Its supervisor.
    """

    kubeconfig: Path
    server: str
    folder: Path
    control: ControlClient
    process: subprocess.Popen[bytes]

    async def fault(self, name: str, **fields: Any) -> dict[str, Any]:
        """Inject a fault; return once it is in effect."""
        return await self.control.request(name, **fields)

    async def components(self) -> dict[str, Any]:
        """Return the status of each component by its name."""
        found: dict[str, Any] = (await self.control.request("status"))["components"]
        return found

    def child_processes(self) -> list[psutil.Process]:
        """Return all processes of the cluster but the supervisor."""
        return psutil.Process(self.process.pid).children(recursive=True)


def start_cluster(*options: str) -> ClusterProcess:
    """Start a cluster with command-line options and wait until it is ready.

    Raises:
        RuntimeError: It did not start.
    """
    command = [sys.executable, "-P", "-m", "tui_forward.minicluster", "--json", *options]
    command += ["--parent-pid", str(os.getpid())]
    with tempfile.TemporaryFile() as stderr:
        process = ForkedProcess(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            code = process.wait()
            process.stdout.close()
            stderr.seek(0)
            text = stderr.read().decode()[-2000:]
            raise RuntimeError(f"the embedded cluster exited with {code}: {text}")
    ready = json.loads(line)
    return ClusterProcess(
        Path(ready["kubeconfig"]),
        ready["server"],
        Path(ready["dir"]),
        ControlClient(ready["control"], timeout_s=_FAULT_TIMEOUT_S),
        process,
    )


def stop_cluster(running: ClusterProcess) -> None:
    """Stop a cluster gracefully."""
    running.process.terminate()
    try:
        running.process.wait(_STOP_TIMEOUT_S)
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        assert running.process.stdout is not None
        running.process.stdout.close()


@contextlib.contextmanager
def running_cluster(*options: str) -> Iterator[ClusterProcess]:
    """Start a cluster with command-line options; stop it at the end."""
    running = start_cluster(*options)
    try:
        yield running
    finally:
        stop_cluster(running)
