from __future__ import annotations

import re

import pytest

from tests.cli.fake_session import until
from tests.support import fleet
from tests.support.forward_states import STEPS, Step
from tests.tui.app_harness import running, screen_text
from tui_forward.model import ForwardState
from tui_forward.tui.app import TuiForwardApp


def shows(app: TuiForwardApp, step: Step, target: str) -> bool:
    rows = [line for line in screen_text(app).splitlines() if f" {target} " in line]
    return any(re.search(step.pattern, row) for row in rows)


@pytest.mark.parametrize("size", [(120, 36), (160, 48), (200, 60)])
async def test_rows_of_forwards_have_the_mark_of_every_state(size: tuple[int, int]) -> None:
    session = fleet.fleet()
    # With a short name there is space for wide gaps.
    only = min(session.forwards, key=lambda one: len(session.forwards[one].spec.target.name))
    for other in {*session.forwards} - {only}:
        await session.stop(other)
    target = session.forwards[only].spec.target
    async with running(session, size, context=fleet.STAGING, clock=lambda: fleet.NOW) as (app, _):
        for step in STEPS:
            session.update(only, state=step.state, paused=step.state is ForwardState.STOPPED)
            await app.sample()
            shown = f"{target.kind}/{target.name}:{target.port}"
            await until(lambda step=step, shown=shown: shows(app, step, shown))  # type: ignore[misc]
