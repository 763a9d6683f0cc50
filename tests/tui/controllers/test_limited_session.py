from __future__ import annotations

import math

import msgspec

from tests.cli.fake_session import until
from tests.tui.app_harness import running, shows
from tests.tui.samples import SHOP, connection, pod, shop, view
from tui_forward.model import (
    ApiHealth,
    Counters,
    Hop,
    HopKind,
    HopState,
    PodLog,
    TimelineEntry,
    TimelineKind,
    TrafficHistory,
)
from tui_forward.tui.screens.forward_detail import DetailScreen

ABSURD = (math.nan, math.inf, -math.inf, -1e9, 1e300)


async def test_no_figure_of_the_engine_ends_the_screen() -> None:
    session = shop()
    async with running(session, (160, 45)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("1", "d")  # of the forward
        await until(lambda: isinstance(app.screen, DetailScreen))
        await pilot.press("l")
        for version, value in enumerate(ABSURD, 2):
            session.update(
                "f1", since=value, started_at=value, retry_at=value, round_trip_s=value,
                counters=Counters(
                    bytes_from_pod=-5, rate_from_pod=value, rate_to_pod=value,
                    connections_open=-1, connections_total=2**70,
                ),
            )  # fmt: skip
            session.connection_list = [
                msgspec.structs.replace(
                    connection(1), opened_at=value, closed_at=value, first_byte_s=value,
                    rate_from_pod=value, bytes_to_pod=-1,
                )
            ]  # fmt: skip
            session.timeline_entries = (TimelineEntry(at=value, kind=TimelineKind.STATE, text="x"),)
            session.hop_list = tuple(
                Hop(kind=kind, state=HopState.OK, latency_s=value) for kind in HopKind
            )
            session.history_list = (TrafficHistory(forward_id="f1", seconds=((-8, 2**70),)),)
            session.log = PodLog(pod="web-1", container="gone", containers=("main", "other"))
            session.views[SHOP] = msgspec.structs.replace(
                view(
                    msgspec.structs.replace(pod(f"web-{version}"), created_at=value, restarts=-1),
                    version=version,
                ),
                health=ApiHealth(context="here", ok=True, latency_s=value),
            )
            await app.sample()
            await pilot.press("c")
        await pilot.press("escape")
        await shows(app, f"web-{len(ABSURD) + 1}")


async def test_restarted_counters_show_no_negative_traffic() -> None:
    session = shop()
    async with running(session, (160, 45)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        histories = app._sampler._histories
        for now, amount in enumerate((10_000_000, 20_000_000, 0, 1_000)):
            session.update(
                "f1", counters=Counters(bytes_from_pod=amount, rate_from_pod=float(amount - 5e6))
            )
            histories.sample(session.forwards.values(), now + 1e6)
            await app.sample()
            await pilot.pause()
        assert all(down >= 0 for down, _ in histories.series("f1", 600))
        await shows(app, "● ready")
