"""Whatever is done to the files of profiles that are on: never a wrong forward, never a crash."""

from __future__ import annotations

import pytest

from tests.endurance.profile_editors import run_edits


@pytest.mark.timeout(180)
async def test_a_thousand_random_edits() -> None:
    tally = await run_edits(1000, seed=20261126)
    assert tally.kinds.total() >= 1000
    assert len(tally.kinds) > 20, tally.row()
