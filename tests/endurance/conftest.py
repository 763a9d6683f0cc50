"""Fixtures of endurance tests: one embedded cluster for all, one engine for each module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.endurance.engine_process import EngineProcess, open_session, running_engine
from tests.support.cluster_process import ClusterProcess, running_cluster
from tui_forward.daemon.remote_session import RemoteSession


@pytest.fixture(scope="package")
def shared_cluster() -> Iterator[ClusterProcess]:
    """Return a running cluster that all tests of a worker share."""
    # Tests wait until a container that crashes is started again.
    with running_cluster("--max-container-restart-period", "3") as running:
        yield running


@pytest.fixture
def cluster(shared_cluster: ClusterProcess) -> Iterator[ClusterProcess]:
    """Return the cluster; clear all faults at the end."""
    yield shared_cluster
    shared_cluster.control.send("clear")


@pytest.fixture(scope="module")
def engine(shared_cluster: ClusterProcess) -> Iterator[EngineProcess]:
    """Return a running engine that all tests of a module share."""
    with running_engine(shared_cluster.kubeconfig) as running:
        yield running


@pytest.fixture
async def session(cluster: ClusterProcess, engine: EngineProcess) -> AsyncIterator[RemoteSession]:
    """Return a session; afterwards no forward is left and the log has no new errors."""
    errors_before = engine.log_errors()
    async with open_session(engine) as session:
        yield session
        snapshot = await session.snapshot()
    assert snapshot.forwards == (), "a test left a forward behind"
    assert engine.log_errors() == errors_before
