from __future__ import annotations

import pytest

from tests.cli.fake_session import until
from tests.support import fleet
from tests.tui.app_harness import notifications, running, screen_text, shows
from tests.tui.samples import connection, shop
from tui_forward.errors import ForwardError
from tui_forward.model import (
    Counters,
    FirstByteTimes,
    Hop,
    HopKind,
    HopState,
    LogSource,
    PodLog,
    TimelineEntry,
    TimelineKind,
)
from tui_forward.tui.screens.forward_detail import DetailScreen
from tui_forward.tui.screens.pod_log import PodLogScreen


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (200, 60)])
async def test_tabs_show_timeline_connections_and_log(size: tuple[int, int]) -> None:
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
        await shows(app, "here/shop/pod/web-1:http", "event 49", "API server", "runtime",
                    "[timeline] connections log", "1/50", "esc Back")  # fmt: skip
        counters = Counters(bytes_from_pod=2_000_000, connections_total=3)
        times = FirstByteTimes(count=3, p50_s=0.004, p99_s=2.0)
        session.update("f1", counters=counters, first_byte=times)
        if size[1] >= 24:
            await shows(app, "3 connections", "TTFB p50 4 ms · p99 2.0 s", "↓ 2.0 MB", "MB/s")
        await pilot.press("end")
        await shows(app, "event 0", "50/50")
        session.log = PodLog(pod="web-1", container="web", lines=(("", "line 7"),))
        await pilot.press("left_square_bracket")
        await shows(app, "timeline connections [log]", "line 7")
        await pilot.press("left_square_bracket")
        await shows(app, "timeline [connections] log", "psql (4211)", "x Close")
        await pilot.press("x")
        await until(lambda: ("close_connection", 1) in session.calls)
        await pilot.press("right_square_bracket", "right_square_bracket", "r", "p", "x")
        await until(lambda: not session.forwards)
        await shows(app, "This forward was stopped")
        await pilot.press("r", "escape")
        await shows(app, "0 forwards")
        assert [call[0] for call in session.calls].count("reconnect") == 1


async def test_chain_is_tested_again_and_the_log_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    session = shop()
    async with running(session, (120, 40)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("1", "d")  # of the forward
        await shows(app, "○ kubelet", "ago · R tests again")
        bad = Hop(kind=HopKind.POD, name="web-1", state=HopState.BROKEN, error="gone", hint="wait")
        session.hop_list = (bad,)
        await pilot.press("R")
        await shows(app, "✗ pod", "cause gone", "fix wait")
        session.hop_list = ()
        session.update("f1", paused=True)  # what changes is tested at once
        await shows(app, "‖ paused", "fix Press p to continue it", "p Continue")
        monkeypatch.setattr("tui_forward.tui.controllers.detail_controller.LOG_INTERVAL_S", 0.05)
        session.log = PodLog(
            pod="web-1", container="web", containers=("web", "proxy"),
            lines=tuple(("", f"line {n}") for n in range(100)),
        )  # fmt: skip
        await pilot.press("left_square_bracket")
        await shows(app, "web-1 / web", "line 99", "c Container")
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
        await until(lambda: isinstance(app.screen, PodLogScreen))
        await shows(app, "log of web-1", "1 forward:")  # the header is on every screen
        await pilot.press("escape", "escape")
        await shows(app, "[workloads]")
        calls_before = len(session.calls)
        await pilot.pause(0.2)
        names = {call[0] for call in session.calls[calls_before:]}
        assert not names & {"hops", "read_log"}


async def test_keys_go_to_other_forwards_and_problems() -> None:
    session = fleet.fleet()
    async with running(
        session, (100, 30), context=fleet.STAGING, clock=lambda: fleet.NOW
    ) as (app, pilot):  # fmt: skip
        await shows(app, "billing-worker", "notification-dispatcher")
        await pilot.press("!", "!", "!", "!", "d")
        await shows(app, "staging/shop/deploy/billing-worker-invoice-retries:metrics", " 4/14 ",
                    "14 forwards: ■2 ◐1 ◔1 ●9 ‖1", "CrashLoopBackOff · 17 restarts",
                    "fix Press l for the log of its last run")  # fmt: skip
        assert "kubectl" not in screen_text(app)
        await pilot.press("J")
        await shows(app, "staging/shop/deploy/api-gateway:http", " 5/14 ")
        await pilot.press("K", "K")
        await shows(app, "prod-eu/shop/deploy/inventory-sync-scheduler-jobs:http", " 3/14 ")
        await pilot.press("!")
        await shows(app, "deploy/billing-worker-invoice-retries:metrics", " 4/14 ")
        await pilot.press("!")
        await shows(app, "svc/payments-ledger-reconciliation:grpc", " 1/14 ")
        await pilot.press("escape")
        await until(lambda: app.screen is app.dashboard)
        assert app.dashboard.tables.forwards.cursor == "f1"  # the row last shown
        await pilot.press("l")
        await until(lambda: isinstance(app.screen, PodLogScreen))
        await shows(app, "14 forwards: ■2 ◐1 ◔1 ●9 ‖1")
        await pilot.press("!")
        await until(lambda: app.screen is app.dashboard)
        assert app.dashboard.tables.forwards.cursor == "f2"


async def test_a_single_forward_answers_the_keys_for_others() -> None:
    session = shop()
    async with running(session, (100, 30)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("1", "d")
        await until(lambda: isinstance(app.screen, DetailScreen))
        await pilot.press("J", "!")
        await until(
            lambda: {"There is no other forward", "No other problem"} <= set(notifications(app))
        )
