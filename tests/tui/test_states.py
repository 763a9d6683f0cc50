"""States of the design's scene, on every terminal: the same words and symbols."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from rich.color import ColorType
from rich.segment import Segment

from tests.cli.fake_session import until
from tests.support import fleet
from tests.tui.app_harness import screen_text
from tui_forward.common.ascii_symbols import REPLACE_SYMBOLS
from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.model import Forward, TrafficHistory
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.viewmodel.rows import STATE_MARKS

CRASH_LOOPING = "billing-worker-invoice-retries:metrics"


class NoHistories(TrafficHistories):
    """No traffic, which would move by a cell each second."""

    def sample(self, forwards: Iterable[Forward], now: float) -> None:
        """Record nothing."""

    def merge(self, exported: Iterable[TrafficHistory]) -> None:
        """Record nothing."""


def scene(*, few_colors: bool = False) -> TuiForwardApp:
    return TuiForwardApp(
        fleet.fleet(), context=fleet.STAGING, namespace="shop", clock=lambda: fleet.NOW,
        few_colors=few_colors, histories=NoHistories(),
    )  # fmt: skip


def segments(app: TuiForwardApp) -> Iterator[Segment]:
    for strip in app.screen._compositor.render_strips():
        yield from strip


async def shown(*, few_colors: bool = False) -> tuple[str, list[Segment]]:
    app = scene(few_colors=few_colors)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(lambda: CRASH_LOOPING in screen_text(app))
        await app.sample()  # complete: also the connections of the row under the cursor
        await pilot.pause()
        return screen_text(app), list(segments(app))


@pytest.mark.parametrize("no_color", [False, True])
async def test_few_colors_lose_no_text(monkeypatch: pytest.MonkeyPatch, no_color: bool) -> None:
    colored, _ = await shown()
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    text, found = await shown(few_colors=not no_color)
    assert text == colored
    allowed = {ColorType.DEFAULT} if no_color else {ColorType.DEFAULT, ColorType.STANDARD}
    for segment in found:
        if segment.style is not None:
            for color in (segment.style.color, segment.style.bgcolor):
                assert color is None or color.type in allowed, segment
    assert any(segment.style is not None and segment.style.reverse for segment in found)


def test_ascii_symbols_differ_between_states() -> None:
    symbols = {mark for mark, _ in STATE_MARKS.values()} | {"‖"}
    ascii_symbols = [one.encode("ascii", REPLACE_SYMBOLS) for one in symbols]
    assert len(set(ascii_symbols)) == len(symbols)
    assert dict(zip(symbols, ascii_symbols, strict=True)) == {
        "■": b"!", "◐": b"~", "◔": b"?", "●": b"*", "◌": b".", "○": b"-", "‖": b"=",
    }  # fmt: skip


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
async def test_a_crash_looping_forward_is_never_shown_as_ready(size: tuple[int, int]) -> None:
    app = scene()
    async with app.run_test(size=size) as pilot:
        await until(lambda: CRASH_LOOPING in screen_text(app))
        for _ in range(3):
            await pilot.pause()
            lines = [line for line in screen_text(app).splitlines() if CRASH_LOOPING in line]
            rows = [line for line in lines if not line.lstrip().startswith(("─", "━"))]  # no titles
            assert rows
            for row in rows:
                assert "◔" in row
                assert "waiting" in row or "crash-loops" in row
                # Beside it there may be a row of the cluster.
                right = row[row.index("◔") :]
                assert "●" not in right
                assert "ready" not in right
            await pilot.press("tab")
