"""The scene of the dashboard's design is as its pictures say."""

from __future__ import annotations

from collections import Counter

from tests.support import fleet
from tests.tui.app_harness import running, shows
from tui_forward.model import ConnectionState


def test_the_forwards_are_those_of_the_design() -> None:
    states = Counter("paused" if one.paused else one.state.value for one in fleet.forwards())
    assert states == {"blocked": 2, "reconnecting": 1, "waiting": 1, "ready": 9, "paused": 1}
    contexts = Counter(one.spec.target.context for one in fleet.forwards())
    assert contexts == {"staging": 9, "prod-eu": 5}


def test_connections_equal_the_counters_of_their_forwards() -> None:
    found = Counter(
        one.forward_id for one in fleet.connections() if one.state is ConnectionState.OPEN
    )
    assert found == {
        one.id: one.counters.connections_open
        for one in fleet.forwards()
        if one.counters.connections_open
    }
    queued = [one for one in fleet.connections() if one.state is ConnectionState.QUEUED]
    assert len(queued) == sum(one.queued for one in fleet.forwards()) == 4


async def test_the_dashboard_shows_the_scene() -> None:
    session = fleet.fleet()
    async with running(session, (120, 36), context=fleet.STAGING, clock=lambda: fleet.NOW) as (
        app,
        _pilot,
    ):
        await shows(app, "deploy/api-gateway", "billing-worker", "svc/payments")
