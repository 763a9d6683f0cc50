"""Fixtures of endurance tests: one cluster per worker, one engine per module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.endurance.engine_process import EngineProcess, open_session, running_engine
from tests.support.cluster_process import ClusterProcess, running_cluster
from tui_forward.daemon.remote_session import RemoteSession


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[ClusterProcess]:
    with running_cluster() as running:
        yield running


@pytest.fixture
def cluster(shared_cluster: ClusterProcess) -> Iterator[ClusterProcess]:
    """Return the cluster without faults; clear them at the end."""
    yield shared_cluster
    shared_cluster.control.send("clear")


@pytest.fixture(scope="module")
def engine_process(shared_cluster: ClusterProcess) -> Iterator[EngineProcess]:
    with running_engine(shared_cluster.kubeconfig) as running:
        yield running


@pytest.fixture
async def session(
    cluster: ClusterProcess, engine_process: EngineProcess
) -> AsyncIterator[RemoteSession]:
    """Return a client of the engine; assert that the engine logs no error."""
    before = engine_process.log_errors()
    async with open_session(engine_process) as session:
        yield session
        snapshot = await session.snapshot()
    assert snapshot.forwards == (), "a test left a forward behind"
    assert engine_process.log_errors() == before
