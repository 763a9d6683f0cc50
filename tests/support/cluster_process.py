"""The embedded cluster as processes of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tui_forward.minicluster.control_socket import ControlClient

REPOSITORY = Path(__file__).resolve().parents[2]
_STOP_TIMEOUT_S = 20.0
_FAULT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class ClusterProcess:
    """A running cluster: API server, kubelets, runtimes, pods.

    Attributes:
        server: URL of the API server.
        folder: State, certificates and sockets of the cluster.
        control: Client of its control socket.
        pid: Process of its supervisor.
    """

    kubeconfig: Path
    server: str
    folder: Path
    control: ControlClient
    pid: int

    async def fault(self, name: str, **fields: Any) -> dict[str, Any]:
        """Inject a fault; return once it is in effect."""
        return await self.control.request(name, **fields)

    async def components(self) -> dict[str, Any]:
        """Return the status of each component by its name."""
        found: dict[str, Any] = (await self.control.request("status"))["components"]
        return found


@contextlib.contextmanager
def running_cluster(*arguments: str) -> Iterator[ClusterProcess]:
    """Start a cluster with further command-line arguments; stop it at the end.

    Raises:
        RuntimeError: It did not start.
    """
    # A short path: the cluster's Unix sockets are below it.
    with tempfile.TemporaryDirectory(prefix="tfe-", dir="/tmp") as name:
        folder, log = Path(name) / "c", Path(name) / "log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tui_forward.minicluster", "--json"),
                    *("--dir", str(folder), "--parent-pid", str(os.getpid()), *arguments),
                ],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"embedded cluster did not start: {log.read_text()[-2000:]}")
            ready = json.loads(line)
            yield ClusterProcess(
                Path(ready["kubeconfig"]),
                ready["server"],
                Path(ready["dir"]),
                ControlClient(ready["control"], timeout_s=_FAULT_TIMEOUT_S),
                process.pid,
            )
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
