"""One embedded cluster and one engine for the tests of this folder; each test cleans up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.endurance.cluster import ClusterProcess, running_cluster
from tests.endurance.engine_process import EngineProcess, open_session, running_engine
from tui_forward.daemon.remote_session import RemoteSession


@pytest.fixture(scope="session")
def whole_chain() -> Iterator[ClusterProcess]:
    with running_cluster() as running:
        yield running


@pytest.fixture
def cluster(whole_chain: ClusterProcess) -> Iterator[ClusterProcess]:
    """The cluster without a fault in force, before and after."""
    yield whole_chain
    whole_chain.control.send("clear")


@pytest.fixture(scope="module")
def engine_process(whole_chain: ClusterProcess) -> Iterator[EngineProcess]:
    with running_engine(whole_chain.kubeconfig) as running:
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
