"""The embedded cluster as the benchmark's other side, in processes of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.forwarders import REPOSITORY
from tui_forward.minicluster.control_socket import ControlClient


@dataclass(frozen=True)
class ClusterProcess:
    """A running cluster with a `toolbox` pod."""

    kubeconfig: Path
    control: ControlClient
    pid: int


@contextlib.contextmanager
def running_cluster(*arguments: str) -> Iterator[ClusterProcess]:
    """Start a cluster with further command-line arguments, and end it.

    Raises:
        RuntimeError: It did not start.
    """
    with tempfile.TemporaryDirectory(prefix="tui-forward-bench-") as folder:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tui_forward.minicluster", "--json", "--dir", folder),
                *("--parent-pid", str(os.getpid()), *arguments),
            ],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the embedded cluster did not start")
            ready = json.loads(line)
            yield ClusterProcess(
                Path(ready["kubeconfig"]), ControlClient(ready["control"]), ready["pid"]
            )
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def cpu_by_component(pid: int) -> dict[str, float]:
    """CPU seconds of every process of the cluster so far, by hop."""
    import psutil

    spent: dict[str, float] = {}
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            words = [word for word in process.cmdline() if "minicluster" in word]
            name = words[0].rpartition(".")[2] if words else process.name()
            times = process.cpu_times()
            spent[name] = spent.get(name, 0.0) + times.user + times.system
    return spent


def wait_until(condition: object, timeout_s: float = 20.0) -> None:
    """Poll a callable until it is true.

    Raises:
        TimeoutError: It never was.
    """
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
