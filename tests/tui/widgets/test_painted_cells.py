"""A sample paints only the lines that it changes: nothing flickers."""

from __future__ import annotations

import msgspec
import pytest

from tests.support import fleet
from tests.support.painted_cells import PaintedCells
from tests.support.waiting import until
from tests.tui.app_harness import running
from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.model import Counters, Forward, ForwardState

WIDTH = 120


def faster(forward: Forward, rate: float) -> Counters:
    return msgspec.structs.replace(forward.counters, rate_from_pod=rate)


async def test_sample_paints_only_the_lines_that_it_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The charts of traffic move by a cell every second.
    monkeypatch.setattr(TrafficHistories, "sample", lambda *_: None)
    session = fleet.fleet()
    async with running(session, (WIDTH, 36), context=fleet.STAGING, clock=lambda: fleet.NOW) as (
        app, pilot,
    ):  # fmt: skip
        await until(lambda: len(app.dashboard.tables.forwards.keys) == 14)
        app._sampler.set_interval(3600.0)  # samples are those of the test

        painted = PaintedCells(app)

        for _ in range(50):  # what the start still paints
            if not await painted.sample(pilot):
                break
        assert await painted.sample(pilot) == 0
        ready = [one for one in session.forwards.values() if one.state is ForwardState.READY]
        forward = ready[0]
        session.update(forward.id, counters=faster(forward, 5e3))
        # The row, and the totals in the header.
        assert 0 < await painted.sample(pilot) <= 2 * WIDTH, painted.lines
        assert 0 in painted.lines
        assert len(painted.lines) <= 2
        for one in ready:
            session.update(one.id, counters=faster(one, 7e3))
        assert 0 < await painted.sample(pilot) <= (len(ready) + 1) * WIDTH
        # A reason that changes paints its row, its second line, the strip and the title.
        waiting = next(one for one in session.forwards.values() if one.reason)
        session.update(waiting.id, reason="another reason")
        assert await painted.sample(pilot) <= 6 * WIDTH
