"""The dashboard ends when its terminal is lost, whatever it is doing."""

from __future__ import annotations

import pytest

from tests.endurance.terminal_losses import dashboard_home, lose_terminal

# A dashboard that hangs never ends. How long an end takes depends on the machine;
# `python -m tests.endurance` checks it.
_MAX_END_S = 45.0


@pytest.mark.timeout(180)
async def test_lost_terminal_ends_the_dashboard() -> None:
    with dashboard_home() as home:
        for moment, way, delay_s in (
            ("start", "SIGTERM", 0.2), ("stopping", "hangup", 0.05),
            ("dashboard", "hangup while stuck", 0.0), ("editor", "hangup ignored", 0.0),
        ):  # fmt: skip
            assert await lose_terminal(home, moment, way, delay_s) < _MAX_END_S, (moment, way)
