"""Styles of broken hops: readable on every theme."""

from __future__ import annotations

import pytest
from rich.style import Style
from textual.color import Color

from tests.support import fleet
from tests.tui.app_harness import running, shows
from tui_forward.tui.themes import MIN_CONTRAST, THEMES, contrast
from tui_forward.tui.viewmodel.lines import part
from tui_forward.tui.widgets.lines_view import LinesView

pytestmark = pytest.mark.asyncio


def broken_style(view: LinesView) -> Style:
    view.show(lambda _width, _height: [(part("CrashLoopBackOff", "broken"),)])
    segment = next(one for one in view.render_line(0) if "Crash" in one.text)
    assert segment.style is not None
    return segment.style


async def test_a_broken_hop_can_be_read_with_every_theme() -> None:
    async with running(fleet.fleet(), (120, 36), context=fleet.STAGING) as (app, pilot):
        await shows(app, "payments")
        view = app.screen.query_one(LinesView)
        for theme in THEMES:
            app.theme = theme.name
            await pilot.pause()
            style = broken_style(view)
            assert style.color is not None
            assert style.bgcolor is not None
            if theme.ansi:
                assert style.reverse
                assert style.bgcolor.is_default
            else:
                ground = Color.from_rich_color(style.bgcolor)
                assert contrast(Color.from_rich_color(style.color), ground) >= MIN_CONTRAST
