"""Random kills: no forward is lost, and bytes flow again on the same ports."""

from __future__ import annotations

import pytest

from tests.endurance.random_kills import KINDS, run_kills
from tests.support.cluster_process import ClusterProcess


@pytest.mark.timeout(300)
async def test_forwards_recover_from_every_kind_of_kill(cluster: ClusterProcess) -> None:
    kills = await run_kills(cluster, times=len(KINDS), seed=8)
    # Recovery times are checked by `make soak`; this machine may be busy.
    assert kills.wrong == []
    assert len(kills.back_s) == len(KINDS)
