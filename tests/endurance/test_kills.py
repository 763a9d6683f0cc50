"""After any kill no forward is lost, and bytes flow again on the same ports."""

from __future__ import annotations

import pytest

from tests.endurance.random_kills import KINDS, run_kills
from tests.support.cluster_process import ClusterProcess


@pytest.mark.timeout(300)
async def test_every_kind_of_kill_is_survived(cluster: ClusterProcess) -> None:
    results = await run_kills(cluster, count=len(KINDS), seed=8)
    # Recovery times depend on the machine; `python -m tests.endurance` checks them.
    assert results.violations == []
    assert len(results.recovery_s) == len(KINDS)
