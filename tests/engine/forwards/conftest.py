from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.engine.scenario import Scenario, running_scenario


@pytest.fixture
async def scenario() -> AsyncIterator[Scenario]:
    async with running_scenario() as scenario:
        yield scenario
