"""A cluster for all tests of the library, and a check that they leave nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.support.cluster_process import ONE_NODE, ClusterProcess, running_cluster


@pytest.fixture(scope="module")
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
    left = set(threading.enumerate()) - before
    assert not left, left
