from __future__ import annotations

import pytest
from textual.widgets import Button

from tests.cli.fake_session import until
from tests.tui.app_harness import running, shows
from tests.tui.samples import shop
from tui_forward.model import PortCheck
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


async def test_used_port_is_named_while_typing_and_the_next_free_one_is_a_key_away() -> None:
    """Process and pid are named, Start is disabled, and ctrl+n fills in a free port."""
    session = shop()
    session.port_checks[9000] = PortCheck(port=9000, problem="used by java (48213)", next_free=9002)
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("f")
        await until(lambda: isinstance(app.screen, ForwardForm))
        await pilot.press(*"9000")
        await shows(app, "✗ used by java (48213)", "ctrl+n use 9002, the next free port",
                    "Start not possible: local port 9000 is used")  # fmt: skip
        start = app.screen.query_one("#start", Button)
        assert start.disabled
        await pilot.press("enter")
        assert isinstance(app.screen, ForwardForm)
        await pilot.press("ctrl+n")
        await until(lambda: not start.disabled)
        await shows(app, " 9002:http")
        await pilot.press("enter")
        await until(lambda: session.forwards)
        assert session.forwards["f1"].spec.local_port == 9002


async def test_start_waits_for_the_check_of_a_port() -> None:
    session = shop()
    session.port_checks[9000] = PortCheck(port=9000, problem="used by java (48213)")
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("f")
        await until(lambda: isinstance(app.screen, ForwardForm))
        await pilot.press(*"9000", "enter")
        await shows(app, "used by java (48213)")
        assert not session.forwards
        await pilot.press("backspace", *"1", "enter")
        await until(lambda: session.forwards)
        assert session.forwards["f1"].spec.local_port == 9001


@pytest.mark.parametrize("size", [(60, 20), (200, 60)])
async def test_form_fits_the_terminal(size: tuple[int, int]) -> None:
    session = shop()
    async with running(session, size) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("f")
        await shows(app, "local port", "Start")
        await pilot.press("ctrl+s")
        await until(lambda: session.forwards)
