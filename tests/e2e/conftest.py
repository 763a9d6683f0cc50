"""One embedded cluster for all tests of this folder that do not break it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.e2e.processes import Process, environment, wait_until
from tests.support.engine_processes import engine_processes
from tui_forward.minicluster.control_socket import ControlClient


@dataclass(frozen=True)
class ClusterProcess:
    """A running embedded cluster."""

    kubeconfig: Path
    control: ControlClient
    server: str
    process: Process

    def config(self) -> str:
        return self.kubeconfig.read_text()


@contextmanager
def running_cluster(home: Path) -> Iterator[ClusterProcess]:
    """A cluster of one's own."""
    process = Process(
        sys.executable, "-m", "tui_forward.minicluster", "--json", "--parent-pid", str(os.getpid()),
        env=environment(home),
    )  # fmt: skip
    try:
        wait_until(lambda: process.out or process.popen.poll() is not None, "the cluster", 60)
        assert process.out, process.output()
        ready = msgspec.json.decode(process.out[0])
        yield ClusterProcess(
            Path(ready["kubeconfig"]), ControlClient(ready["control"]), ready["server"], process
        )
    finally:
        process.stop()


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterProcess]:
    with running_cluster(tmp_path_factory.mktemp("cluster-home")) as running:
        yield running


@pytest.fixture
def kubeconfig(chain: ClusterProcess, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cluster's kubeconfig, in the environment of whatever the test starts."""
    monkeypatch.setenv("KUBECONFIG", str(chain.kubeconfig))
    return chain.kubeconfig


@pytest.fixture(autouse=True)
def no_engine_stays(own_home: Path) -> Iterator[None]:
    """Engines outlive dashboards that tests do not leave in order, or fail before they do."""
    yield
    for process in engine_processes(own_home):  # the parents first: nobody begins another one
        with suppress(psutil.Error):
            process.kill()
            process.wait(10)
