"""Random edits of active profiles: forwards always match the last valid version."""

from __future__ import annotations

import pytest

from tests.endurance.profile_editors import run_edits


@pytest.mark.timeout(180)
async def test_random_edits_are_followed() -> None:
    tally = await run_edits(400, seed=20261126)
    assert tally.kinds.total() >= 400
    assert len(tally.kinds) > 15, tally.row()
