"""Whatever is killed, whenever: nothing is lost, and bytes flow again on the same ports."""

from __future__ import annotations

import pytest

from tests.endurance.cluster import Chain
from tests.endurance.random_kills import KINDS, killed_at_random


@pytest.mark.timeout(300)
async def test_every_kind_of_kill(cluster: Chain) -> None:
    kills = await killed_at_random(cluster, times=len(KINDS) + 4, seed=8)
    # How soon is the script's business: a slow machine loses nothing either.
    assert kills.wrong == []
    assert len(kills.back_s) == len(KINDS)
