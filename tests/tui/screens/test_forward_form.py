from __future__ import annotations

import pytest

from tests.cli.fake_session import until
from tests.tui.app_harness import running, shows
from tests.tui.samples import shop
from tui_forward.tui.screens.forward_form import ForwardForm


async def test_form_validates_and_starts_a_forward() -> None:
    session = shop()
    async with running(session, (100, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("f")
        await until(lambda: isinstance(app.screen, ForwardForm))
        await pilot.press(*"xy")
        await shows(app, "not a local port")
        await pilot.press("enter")
        assert isinstance(app.screen, ForwardForm)
        await pilot.press("backspace", "backspace", *"9000")
        await shows(app, "tui-forward forward --context here -n shop pod/web-1 9000:http")
        await pilot.press("enter")
        await until(lambda: session.forwards)
        assert session.forwards["f1"].spec.local_port == 9000
        await shows(app, "● ready")
        await pilot.press("e")
        await until(lambda: isinstance(app.screen, ForwardForm))
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, ForwardForm))
        assert list(session.forwards) == ["f1"]


@pytest.mark.parametrize("size", [(60, 20), (200, 60)])
async def test_form_fits_the_terminal(size: tuple[int, int]) -> None:
    session = shop()
    async with running(session, size) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("f")
        await shows(app, "local port", "start")
        await pilot.press("ctrl+s")
        await until(lambda: session.forwards)
