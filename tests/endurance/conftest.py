"""One embedded cluster and one engine for the tests of this folder; each test cleans up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.endurance.cluster import Chain, chain
from tests.endurance.engine_process import EngineProcess, engine, session_with
from tui_forward.daemon.remote_session import RemoteSession


@pytest.fixture(scope="session")
def whole_chain() -> Iterator[Chain]:
    with chain() as running:
        yield running


@pytest.fixture
def cluster(whole_chain: Chain) -> Iterator[Chain]:
    """The cluster without a fault in force, before and after."""
    yield whole_chain
    whole_chain.control.send("clear")


@pytest.fixture(scope="module")
def engine_process(whole_chain: Chain) -> Iterator[EngineProcess]:
    with engine(whole_chain.kubeconfig) as running:
        yield running


@pytest.fixture
async def session(cluster: Chain, engine_process: EngineProcess) -> AsyncIterator[RemoteSession]:
    """A front end of the engine; the engine must have nothing to complain about."""
    before = engine_process.complaints()
    async with session_with(engine_process) as session:
        yield session
        snapshot = await session.snapshot()
    assert snapshot.forwards == (), "a test left a forward behind"
    assert engine_process.complaints() == before
