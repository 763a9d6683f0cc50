"""Random edits of active profiles never lead to a wrong forward or a crash."""

from __future__ import annotations

import pytest

from tests.endurance.profile_editors import run_edits


@pytest.mark.timeout(180)
async def test_random_edits_are_applied_or_rejected() -> None:
    statistics = await run_edits(200, seed=20261126)
    assert statistics.kinds.total() >= 200
    assert len(statistics.kinds) > 20, statistics.row()
