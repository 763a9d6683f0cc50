"""A killed engine refuses no connection, and the dashboard goes on with the next engine."""

from __future__ import annotations

import pytest

from tests.e2e.terminal import NEEDS_TMUX
from tests.endurance.engine_kills import run_engine_kills
from tests.support.cluster_process import ClusterProcess


@NEEDS_TMUX
@pytest.mark.timeout(180)
async def test_clients_and_dashboard_survive_kills_of_the_engine(cluster: ClusterProcess) -> None:
    results = await run_engine_kills(cluster, count=2, seed=3)
    assert results.violations == []
    assert not results.refused
    assert len(results.shown_s) == 2
