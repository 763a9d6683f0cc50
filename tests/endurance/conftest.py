"""One embedded cluster and one engine for the tests of this folder; each test cleans up."""

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
    """The cluster without a fault in force, before and after."""
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
    """A front end of the engine; the engine must have nothing to complain about."""
    before = engine_process.log_errors()
    async with open_session(engine_process) as session:
        yield session
        snapshot = await session.snapshot()
    assert snapshot.forwards == (), "a test left a forward behind"
    assert engine_process.log_errors() == before
