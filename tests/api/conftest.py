"""A cluster for all tests of the library, and a check that they leave nothing behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.cluster_process import ONE_NODE, ClusterProcess, running_cluster

# For a thread that has done its work, on a busy machine.
_END_S = 60.0


@pytest.fixture(scope="package")
def running() -> Iterator[ClusterProcess]:
    with running_cluster(*ONE_NODE) as running:
        yield running


@pytest.fixture
def cluster(running: ClusterProcess, monkeypatch: pytest.MonkeyPatch) -> ClusterProcess:
    """Return a cluster that `KUBECONFIG` names."""
    monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig))
    return running


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + _END_S
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))
        assert not thread.is_alive(), thread
