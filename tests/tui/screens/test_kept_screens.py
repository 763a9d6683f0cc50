"""Screens that stay mounted while they are closed look and behave like new ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.segment import Segment
from textual.pilot import Pilot
from textual.widgets import Input
from textual.widgets._toast import Toast

from tests.cli.fake_session import until
from tests.support.fleet_app import fleet_app, settled
from tests.tui.app_harness import running, screen_text, shows
from tests.tui.samples import shop
from tui_forward.model import PortCheck
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.screens.forward_form import ForwardForm
from tui_forward.tui.screens.help import HelpScreen
from tui_forward.tui.screens.jump import JumpScreen
from tui_forward.tui.screens.palette import PaletteScreen
from tui_forward.tui.screens.picker import Picker
from tui_forward.tui.textual_internals.screens import KeptScreen

KEYS: dict[str, type[KeptScreen[Any]]] = {
    "question_mark": HelpScreen, "f": ForwardForm, "colon": JumpScreen, "ctrl+p": PaletteScreen,
    "n": Picker, "c": Picker, "P": Picker,
}  # fmt: skip


Cells = tuple[tuple[Segment, ...], ...]


def cells(app: TuiForwardApp) -> Cells:
    """Return the text and the styles on the terminal, line by line."""
    return tuple(map(tuple, app.screen._compositor.render_strips()))


@asynccontextmanager
async def fleet(
    folder: Path, *, builds_ahead: bool = False
) -> AsyncIterator[tuple[TuiForwardApp, Pilot[None]]]:
    app = fleet_app(folder, builds_ahead=builds_ahead)
    async with app.run_test(size=(120, 36)) as pilot:
        # The cursor blinks.
        await settled(app, pilot, screen_text)
        yield app, pilot


async def open_screen(app: TuiForwardApp, pilot: Pilot[None], key: str) -> Cells:
    """Open a screen; return what is on the terminal then."""
    await pilot.press(key)
    await until(lambda: type(app.screen) is KEYS[key])
    for widget in app.screen.query(Input):
        widget.cursor_blink = False
    return await settled(app, pilot, cells)


async def close_screen(app: TuiForwardApp, pilot: Pilot[None]) -> None:
    while app.screen is not app.dashboard:
        await pilot.press("escape")
        await pilot.pause()


async def test_screen_that_opens_again_is_the_same_and_looks_like_a_new_one(
    tmp_path: Path,
) -> None:
    """Whatever was typed, scrolled and focused before."""
    async with fleet(tmp_path) as (app, pilot):
        for key in KEYS:
            new = await open_screen(app, pilot, key)
            screen = app.screen
            await pilot.press("tab", "down", "down", *"xyz", "pagedown", "shift+tab")
            await settled(app, pilot, screen_text)
            await close_screen(app, pilot)
            assert await open_screen(app, pilot, key) == new, key
            assert app.screen is screen
            await close_screen(app, pilot)


async def test_picker_looks_the_same_whatever_was_chosen_with_it_before(tmp_path: Path) -> None:
    keys = [key for key, one in KEYS.items() if one is Picker]
    new: dict[str, Cells] = {}
    for key in keys:
        async with fleet(tmp_path) as (app, pilot):
            new[key] = await open_screen(app, pilot, key)
    async with fleet(tmp_path) as (app, pilot):
        for key in [*keys, *reversed(keys)]:
            assert await open_screen(app, pilot, key) == new[key], key
            await pilot.press("down", "x", "backspace", "pagedown")
            await close_screen(app, pilot)


async def test_screen_shows_what_has_changed_while_it_was_closed(tmp_path: Path) -> None:
    """Theme, size of the terminal, focused pane, and the dashboard beneath."""
    new: dict[str, Cells] = {}
    for is_new in (True, False):
        async with fleet(tmp_path) as (app, pilot):
            if not is_new:
                for key in KEYS:
                    await open_screen(app, pilot, key)
                    await close_screen(app, pilot)
            app.theme = "forward-light"
            await pilot.resize_terminal(100, 30)
            await pilot.press("down", "t")
            await settled(app, pilot, screen_text)
            for key in KEYS:
                shown = await open_screen(app, pilot, key)
                assert shown == new.setdefault(key, shown), key
                await close_screen(app, pilot)


async def test_screens_that_are_built_ahead_look_like_new_ones(tmp_path: Path) -> None:
    """They are used at their first opening, and the dashboard keeps the focus."""
    new: dict[str, Cells] = {}
    async with fleet(tmp_path) as (app, pilot):
        for key in KEYS:
            new[key] = await open_screen(app, pilot, key)
            await close_screen(app, pilot)
    async with fleet(tmp_path, builds_ahead=True) as (app, pilot):
        await until(
            lambda: all(map(app.is_screen_installed, [one.__name__ for one in KEYS.values()]))
        )
        built = {name: app.get_screen(one.__name__) for name, one in KEYS.items()}
        await until(lambda: all(one.is_mounted for one in built.values()))
        assert app.screen is app.dashboard
        for key in KEYS:
            assert await open_screen(app, pilot, key) == new[key], key
            assert app.screen is built[key]
            await close_screen(app, pilot)


async def test_form_shows_the_forward_of_its_row() -> None:
    session = shop()
    async with running(session, (100, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("f", *"9000")
        await shows(app, "pod/web-1 9000:http")
        await pilot.press("escape")
        await until(lambda: app.screen is app.dashboard)
        await pilot.press("down", "f")
        await shows(app, "-n shop pod/web-2 http")
        await pilot.press(*"9001", "enter")
        await until(lambda: session.forwards)
        assert session.forwards["f1"].spec.local_port == 9001
        assert session.forwards["f1"].spec.target.name == "web-2"


async def test_check_that_ends_after_the_form_was_closed_starts_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = shop()
    check_port, may_answer = session.check_port, asyncio.Event()

    async def check_later(addresses: tuple[str, ...], port: int) -> PortCheck:
        await may_answer.wait()
        return await check_port(addresses, port)

    monkeypatch.setattr(session, "check_port", check_later)
    async with running(session, (100, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("f", *"9000", "enter", "escape")
        await until(lambda: app.screen is app.dashboard)
        assert any(one.group == "check port" for one in app.workers)
        may_answer.set()
        await until(lambda: not any(one.group == "check port" for one in app.workers))
        await pilot.pause()
        assert app.screen is app.dashboard
        assert not session.forwards


async def test_second_result_of_a_closed_screen_is_ignored() -> None:
    async with running(shop(), (100, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("ctrl+p")
        await until(lambda: isinstance(app.screen, PaletteScreen))
        screen = app.screen
        screen.dismiss(None)
        screen.dismiss(None)  # would close the dashboard
        await until(lambda: app.screen is app.dashboard)


async def test_cursor_of_a_closed_screen_does_not_blink() -> None:
    """Its timer would wake the dashboard twice a second."""
    async with running(shop(), (100, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("ctrl+p")
        await until(lambda: isinstance(app.screen, PaletteScreen))
        timer = app.screen.query_one(Input)._blink_timer
        assert timer is not None
        await until(lambda: timer._active.is_set())
        await pilot.press("escape")
        await until(lambda: not timer._active.is_set())


async def test_closed_screen_asks_for_no_paint(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(shop(), (100, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("ctrl+p")
        await until(lambda: isinstance(app.screen, PaletteScreen))
        screen = app.screen
        await pilot.press("escape")
        await until(lambda: app.screen is app.dashboard)
        await pilot.pause()
        paints: list[None] = []
        monkeypatch.setattr(screen, "_on_timer_update", lambda: paints.append(None))
        for widget in screen.walk_children():
            widget.refresh()
        await pilot.pause()
        await pilot.pause()
        assert not paints


async def test_help_above_the_help_is_another_screen(tmp_path: Path) -> None:
    async with fleet(tmp_path) as (app, pilot):
        await pilot.press("question_mark")
        await until(lambda: isinstance(app.screen, HelpScreen))
        below = app.screen
        app.action_help()
        await until(lambda: isinstance(app.screen, HelpScreen) and app.screen is not below)
        await close_screen(app, pilot)


async def test_toast_of_a_closed_screen_is_gone_when_it_opens_again() -> None:
    async with running(shop(), (100, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("ctrl+p")
        await until(lambda: isinstance(app.screen, PaletteScreen))
        screen = app.screen
        app.notify("a message")
        await until(lambda: screen.query(Toast))
        await pilot.press("escape")
        await until(lambda: not screen.query(Toast) and app.screen.query(Toast))
