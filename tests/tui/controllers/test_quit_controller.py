from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from tests.cli.fake_session import until
from tests.tui.app_harness import running, screen_text, shows
from tests.tui.controllers.test_forward_controller import spec
from tests.tui.samples import shop
from tui_forward.model import ProxySpec
from tui_forward.session import batch
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.controllers import session_timeout
from tui_forward.tui.screens.dialogs import QuitScreen
from tui_forward.tui.storage.paths import DashboardPaths


async def test_quit_asks_once_if_forwards_are_active() -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("q")
        await until(lambda: isinstance(app.screen, QuitScreen))
        await shows(app, "Keep 1 forward running?")
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, QuitScreen))
        await pilot.press("ctrl+c", "ctrl+c")
        await until(lambda: app._exit)


@pytest.mark.parametrize(
    ("keep_running", "key", "stops", "keeps"),
    [
        (False, "enter", False, True),
        (False, "q", False, True),
        (False, "s", True, False),
        (True, "enter", False, True),
        (True, "ctrl+c", False, True),
        (True, "s", True, False),
    ],
)
async def test_quit_choice_stops_or_keeps_forwards(
    keep_running: bool, key: str, stops: bool, keeps: bool
) -> None:
    session = shop()
    session.keep_running = keep_running
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("q")
        await shows(
            app, "Keep 1 forward running?", "enter Keep running", "s Stop all", "esc Cancel"
        )
        await pilot.press(key)
        await until(lambda: app._exit)
    assert (not session.forwards) is stops
    assert session.keep_running is keeps
    assert ("1 forward keeps running" in app.quitting.farewell) is keeps


@pytest.mark.parametrize(("key", "survives"), [("s", False), ("enter", True)])
async def test_choice_holds_if_the_dashboard_is_lost_while_it_quits(
    key: str, survives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, reached = shop(), asyncio.Event()
    session.keep_running_if_lost = True

    async def hang(*_: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(session, "stop", hang)
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("q")
        await until(lambda: isinstance(app.screen, QuitScreen))
        await pilot.press(key)
        if not survives:
            await reached.wait()
        await until(lambda: app.quitting.is_quitting)
        await until(lambda: session.keep_running is survives)
        assert (session.keep_running or session.keep_running_if_lost) is survives
        app.exit()


async def test_stop_is_carried_out_after_the_terminal_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session, reached, release = shop(), asyncio.Event(), asyncio.Event()
    stop = session.stop

    async def stop_slowly(forward_id: str) -> None:
        reached.set()
        await release.wait()
        await stop(forward_id)

    monkeypatch.setattr(session, "stop", stop_slowly)
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("q")
        await until(lambda: isinstance(app.screen, QuitScreen))
        await pilot.press("s")
        await reached.wait()
        app.exit()
    assert session.forwards
    release.set()
    await app.quitting.finish()
    assert not session.forwards


async def test_keep_running_is_not_offered_if_impossible(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('keep_running = "always"')
    session = shop()
    app = TuiForwardApp(
        session, context="here", namespace="shop", can_keep_running=False,
        paths=DashboardPaths(settings=tmp_path / "settings.toml"),
    )  # fmt: skip
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("q")
        await shows(app, "Stop 1 forward and quit?", "enter Stop all")
        assert "Keep running" not in screen_text(app)
        await pilot.press("enter")
        await until(lambda: app._exit)
    assert not session.forwards
    assert not session.keep_running


@pytest.mark.parametrize(("policy", "keep_running"), [("always", True), ("never", False)])
async def test_setting_decides_without_a_question(
    tmp_path: Path, policy: str, keep_running: bool
) -> None:
    files = DashboardPaths(settings=tmp_path / "settings.toml")
    (tmp_path / "settings.toml").write_text(f'keep_running = "{policy}"')
    session = shop()
    async with running(session, files=files) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("q")
        await until(lambda: app._exit)
    assert session.keep_running is keep_running
    assert bool(session.forwards) is keep_running


@pytest.mark.parametrize("key", ["enter", "s"])
async def test_quit_asks_about_a_proxy_and_not_about_its_targets(key: str) -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        proxy_id = await session.start_proxy(ProxySpec(context="here", port=1080))
        await session.start(msgspec.structs.replace(spec(), proxy=proxy_id))
        await until(lambda: bool(app._sampler.snapshot.proxies))
        await pilot.press("q")
        await shows(app, "Keep 1 cluster proxy running?")
        await pilot.press(key)
        await until(lambda: app._exit)
    assert bool(session.proxies) is (key == "enter")
    kept = "1 cluster proxy keeps running; see `tui-forward ls`"
    assert app.quitting.farewell == (kept if key == "enter" else "")


async def test_quit_without_forwards_does_not_ask() -> None:
    async with running(shop()) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("q")
        await until(lambda: app._exit)


async def test_quit_names_forwards_that_do_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_timeout, "ANSWER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(batch, "STOP_TIMEOUT_S", 3.0)
    session = shop()
    stop = session.stop

    async def slow_stop(forward_id: str) -> None:
        await asyncio.sleep(60 if forward_id == "f2" else 0.4)
        await stop(forward_id)

    monkeypatch.setattr(session, "stop", slow_stop)
    session.keep_running = True
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        for _ in range(3):
            await session.start(spec())
        await shows(app, "3 fwd: ●3")
        await pilot.press("q")
        await until(lambda: isinstance(app.screen, QuitScreen))
        await pilot.press("s")
        await until(lambda: app._exit)
    assert list(session.forwards) == ["f2"]
    assert not session.keep_running, "it ends with the last client"
    assert app.quitting.farewell == (
        "cannot stop 1 forward: the engine did not answer within 3 s; see `tui-forward ls`"
    )
