from __future__ import annotations

from functools import partial

import pytest
from textual.widgets import Button, Checkbox

from tests.cli.fake_session import until
from tests.support import fleet
from tests.tui.app_harness import running, screen_text, shows
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
                    "Start not possible: local port 9000 is used",
                    "-n shop pod/web-1 9000:http")  # fmt: skip
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


async def test_form_of_a_service_has_its_ports_and_the_transport_that_worked() -> None:
    """Not those of its pod, nor of an object of another context with the same name."""
    session = fleet.fleet()
    async with running(
        session, (120, 36), context=fleet.STAGING, clock=lambda: fleet.NOW
    ) as (app, pilot):  # fmt: skip
        await shows(app, "svc/recommendation")
        forwards = app.dashboard.tables.forwards
        forwards.focus()
        for forward_id, shown in (
            ("f10", "50051/TCP, pod port grpc"), ("f5", "8080/TCP"), ("f12", "SPDY worked last on"),
        ):  # fmt: skip
            forwards.follow(forward_id)
            await until(partial(lambda chosen: forwards.cursor == chosen, forward_id))
            await pilot.press("e")
            await shows(app, "Edit ", shown, "SPDY worked last on")
            if forward_id == "f12":
                assert "8080/TCP" not in screen_text(app)
                assert "worked last on prod-eu" in screen_text(app)
            await pilot.press("escape")
            await until(lambda: not isinstance(app.screen, ForwardForm))


async def test_connections_are_spread_by_a_check_box() -> None:
    """A service has it, a pod does not."""
    session = fleet.fleet()
    async with running(
        session, (120, 36), context=fleet.STAGING, clock=lambda: fleet.NOW
    ) as (app, pilot):  # fmt: skip
        await shows(app, "svc/recommendation")
        forwards = app.dashboard.tables.forwards
        forwards.focus()
        forwards.follow("f10")
        await until(lambda: forwards.cursor == "f10")
        await pilot.press("e")
        await shows(app, "spread new connections over all Ready pods")
        assert "--spread" not in screen_text(app)
        app.screen.query_one("#spread", Checkbox).focus()
        await pilot.press("space")
        await shows(app, "--spread")


async def test_form_of_a_pod_has_no_balance() -> None:
    async with running(shop(), (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("f")
        await until(lambda: isinstance(app.screen, ForwardForm))
        assert "spread new connections" not in screen_text(app)


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
