from __future__ import annotations

import math
import typing

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
from tui_forward.session import Session
from tui_forward.tui.controllers.limited_session import LimitedSession
from tui_forward.tui.screens.forward_detail import DetailScreen
from tui_forward.tui.viewmodel.figures import _fields

# Numbers that only identify something, or that the user has entered.
UNLIMITED = {"start", "check_port", "contexts", "begin_login", "read_log", "events"}
UNLIMITED |= {"missing_permissions"}
ABSURD = (math.nan, math.inf, -math.inf, -1e9, 1e300)


async def test_no_figure_of_the_engine_ends_the_screen() -> None:
    session = shop()
    async with running(session, (160, 45)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("1", "d")  # of the forward
        await until(lambda: isinstance(app.screen, DetailScreen))
        await pilot.press("left_square_bracket")
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


def structs_of(hint: object) -> set[type[msgspec.Struct]]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return {hint}
    return {one for part in typing.get_args(hint) for one in structs_of(part)}


def test_figures_of_every_method_are_limited() -> None:
    """A method that is added to `Session` passes its figures here, too."""
    names = {name for name in vars(Session) if not name.startswith("_")}
    found = {
        name
        for name in names - UNLIMITED
        for struct in structs_of(typing.get_type_hints(getattr(Session, name)).get("return"))
        if _fields(struct).any
    }
    assert {"snapshot", "describe", "hops"} <= found
    assert found <= set(vars(LimitedSession))
