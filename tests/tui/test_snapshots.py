"""Text snapshots of the dashboard in narrow and wide terminals.

`UPDATE_SNAPSHOTS=1 pytest tests/tui/test_snapshots.py` writes them; review the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.fake_session import FakeSession, until
from tests.tui.samples import connection, shop
from tui_forward.model import Counters, ForwardState
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.screens.forward_detail import DetailScreen

FOLDER = Path(__file__).parent / "snapshots"
NOW = 1_767_268_800.0
SIZES = [(60, 20), (80, 24), (120, 36), (200, 60)]


def text(app: TuiForwardApp) -> str:
    strips = app.screen._compositor.render_strips()
    lines = ("".join(segment.text for segment in strip).rstrip() for strip in strips)
    return "\n".join(lines) + "\n"


async def two_forwards() -> FakeSession:
    session = shop()
    app_forward = TuiForwardApp(session, context="here", namespace="shop", clock=lambda: NOW)
    async with app_forward.run_test(size=(120, 36)) as pilot:
        await until(lambda: "web-1" in text(app_forward))
        await pilot.press("1", "down", "1")
        await until(lambda: len(session.forwards) == 2)
    counters = Counters(
        bytes_from_pod=1_200_000_000, bytes_to_pod=3_100_000, rate_from_pod=12.3e6,
        connections_open=1, connections_total=4, connections_failed=1,
    )  # fmt: skip
    session.update("f1", counters=counters, since=NOW - 7_300, started_at=NOW - 9_000)
    session.update(
        "f2", state=ForwardState.RECONNECTING, reason="pod web-2 was deleted", since=NOW - 3,
        retry_at=NOW + 2, queued=3, started_at=NOW - 9_000,
    )  # fmt: skip
    session.connection_list = [connection(1)]
    return session


def check(name: str, shown: str) -> None:
    path = FOLDER / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(shown)
    assert shown == path.read_text(), f"{name} has changed:\n{shown}"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("screen", ["dashboard", "detail"])
async def test_screen_matches_its_snapshot(screen: str, size: tuple[int, int]) -> None:
    session = await two_forwards()
    app = TuiForwardApp(session, context="here", namespace="shop", clock=lambda: NOW)
    async with app.run_test(size=size) as pilot:
        await until(lambda: "web-1" in text(app) and "◐" in text(app))
        await app.sample()
        if screen == "detail":
            await pilot.press("tab", "tab", "end", "d")  # the one that is ready
            await until(lambda: isinstance(app.screen, DetailScreen) and "kubelet" in text(app))
        else:
            assert isinstance(app.screen, Dashboard)
        await app.sample()
        await pilot.pause()
        check(f"{screen}-{size[0]}x{size[1]}", text(app))
