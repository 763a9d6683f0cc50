from __future__ import annotations

import pytest

from tests.cli.fake_session import until
from tests.tui.app_harness import running, screen_text, shows
from tests.tui.samples import connection, shop
from tui_forward.errors import ForwardError
from tui_forward.model import (
    Counters,
    Hop,
    HopKind,
    HopState,
    LogSource,
    PodLog,
    TimelineEntry,
    TimelineKind,
)


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (200, 60)])
async def test_detail_shows_timeline_chart_and_connections(size: tuple[int, int]) -> None:
    session = shop()
    session.timeline_entries = tuple(
        TimelineEntry(at=1e9 + place, kind=TimelineKind.STATE, text=f"event {place}")
        for place in range(50)
    )
    async with running(session, size) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await until(lambda: "●1" in screen_text(app) or "● 1" in screen_text(app))
        session.connection_list = [connection(1)]
        await pilot.press("1", "d")  # of the forward
        await shows(app, "shop/web-1:http", "event 49", "psql (4211)", "API server", "runtime")
        counters = Counters(bytes_from_pod=2_000_000, connections_total=3)
        session.update("f1", counters=counters)
        await shows(app, "3 connections")
        if size[1] >= 24:
            await shows(app, "↓ 2.0 MB")
            await until(lambda: "MB/s" in screen_text(app))  # the chart's scale
        await pilot.press("end")
        await shows(app, "event 0")
        await pilot.press("tab", "x")
        await until(lambda: ("close_connection", 1) in session.calls)
        await pilot.press("shift+tab", "r", "p", "x")
        await until(lambda: not session.forwards)
        await shows(app, "This forward was stopped")
        await pilot.press("r", "escape")
        await shows(app, "0 forwards")
        assert [call[0] for call in session.calls].count("reconnect") == 1


async def test_broken_hop_is_marked_and_pod_log_opens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tui_forward.tui.controllers.detail_controller.HOPS_INTERVAL_S", 0.05)
    monkeypatch.setattr("tui_forward.tui.controllers.detail_controller.LOG_INTERVAL_S", 0.05)
    session = shop()
    async with running(session, (120, 40)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("1", "d")  # of the forward
        await shows(app, "○ kubelet")
        bad = Hop(kind=HopKind.POD, name="web-1", state=HopState.BROKEN, error="gone", hint="wait")
        session.hop_list = (bad,)
        await shows(app, "✗ pod", "✗ pod: gone", "→ wait")
        session.log = PodLog(
            pod="web-1", container="web", containers=("web", "proxy"),
            lines=tuple(("", f"line {n}") for n in range(100)),
        )  # fmt: skip
        await pilot.press("l")
        await shows(app, "log of web-1 / web", "line 99")
        await pilot.press("c")
        await until(
            lambda: any(
                isinstance(one, LogSource) and one.container == "proxy"
                for call in session.calls
                for one in call
            )
        )
        session.log_error = ForwardError("there is no pod", hint="wait for one")
        await shows(app, "there is no pod → wait for one")
        session.log_error = None
        await shows(app, "line 99")
        await pilot.press("l")
        await shows(app, "connections")
        await pilot.press("escape")
        await shows(app, "[workloads]")
        calls_before = len(session.calls)
        await pilot.pause(0.2)
        names = {call[0] for call in session.calls[calls_before:]}
        assert not names & {"hops", "read_log"}
