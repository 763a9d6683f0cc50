"""Whatever is killed, whenever: nothing is lost, and bytes flow again on the same ports."""

from __future__ import annotations

import pytest

from tests.endurance.random_kills import KINDS, run_kills
from tests.support.cluster_process import ClusterProcess


@pytest.mark.timeout(300)
async def test_every_kind_of_kill(cluster: ClusterProcess) -> None:
    kills = await run_kills(cluster, times=len(KINDS) + 4, seed=8)
    # How soon is the script's business: a slow machine loses nothing either.
    assert kills.wrong == []
    assert len(kills.back_s) == len(KINDS)
