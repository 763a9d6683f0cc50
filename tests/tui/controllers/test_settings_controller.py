from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from textual import events

from tests.cli.fake_session import until
from tests.tui.app_harness import notifications, running, screen_text, shows
from tests.tui.samples import shop
from tui_forward.model import (
    Counters,
    ForwardDefaults,
    ForwardState,
)
from tui_forward.tui.controllers import settings_controller
from tui_forward.tui.controllers.settings_controller import SettingsFile
from tui_forward.tui.screens.forward_form import ForwardForm
from tui_forward.tui.screens.help import HelpScreen
from tui_forward.tui.storage.paths import DashboardPaths


def write(file: Path, text: str) -> None:
    file.write_text(text)


async def test_settings_apply_and_problems_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(
        'theme = "forward-light"\n[keys]\n"forwards.stop" = "ctrl+x"\n"no.such" = "z"\n'
    )
    session = shop()
    async with running(session, (120, 40), files=DashboardPaths(settings=file)) as (app, pilot):
        await shows(app, "web-1", "no.such")
        assert app.theme == "forward-light"
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("x")
        await pilot.press("ctrl+x")
        await until(lambda: not session.forwards)
        await pilot.press("ctrl+p", *"forward-ember")
        await shows(app, "Theme: forward-ember")  # found, not typed
        await pilot.press("enter")
        await until(lambda: app.theme == "forward-ember")
        await until(lambda: 'theme = "forward-ember"' in file.read_text())
        # However it is chosen, as in the list of themes that Textual opens.
        app.theme = "nord"
        await until(lambda: 'theme = "nord"' in file.read_text())
        assert "Settings reloaded" not in screen_text(app)
        assert '"forwards.stop" = "ctrl+x"' in file.read_text()


async def test_edited_settings_apply_at_once(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    async with running(shop(), (120, 34), files=DashboardPaths(settings=file)) as (app, pilot):
        await shows(app, "web-1")
        write(file, 'theme = "forward-light"\n[keys]\n"app.help" = "f2"\n')
        await until(lambda: app.theme == "forward-light")
        await shows(app, "Settings reloaded")
        await pilot.press("f2")
        await until(lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("escape")
        write(file, 'theme = "forward-dark"\nkeep_running = "sometimes"\n')
        await shows(
            app, "Settings not changed", "settings.toml, line 2: keep_running is not one of"
        )
        assert app.theme == "forward-light"
        write(file, 'theme = "no-such"\n')
        await shows(app, "there is no theme 'no-such'")
        assert app.theme == "forward-light"


async def test_settings_are_reloaded_on_request(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('theme = "forward-dark"\n')
    async with running(shop(), (120, 34), files=DashboardPaths(settings=file)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("ctrl+p", *"reload", "enter")
        await shows(app, "Settings reloaded")  # the answer, also without a change
    async with running(shop(), (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("ctrl+p", *"reload", "enter")
        await shows(app, "There is no settings file")


async def test_forward_settings_apply_to_new_forwards(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('queue_timeout = "1m"\n')
    session = shop()

    def defaults_of(forward_id: str) -> ForwardDefaults:
        spec = session.forwards[forward_id].spec
        return ForwardDefaults(
            addresses=spec.addresses,
            queue_timeout_s=spec.queue_timeout_s,
            half_close_timeout_s=spec.half_close_timeout_s,
        )

    async with running(session, (120, 34), files=DashboardPaths(settings=file)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await until(lambda: "f1" in session.forwards)
        assert defaults_of("f1") == ForwardDefaults(queue_timeout_s=60.0)
        write(file, 'address = "0.0.0.0"\nqueue_timeout = 7\nhalf_close_timeout = "500ms"\n')
        await shows(app, "Settings reloaded")
        write(file, 'address = "nowhere"\nqueue_timeout = 8\n')
        await shows(app, "Settings not changed", "settings.toml, line 1: address: ")
        assert defaults_of("f1") == ForwardDefaults(queue_timeout_s=60.0)
        # Started with a digit.
        edited = ForwardDefaults(
            addresses=("0.0.0.0",), queue_timeout_s=7.0, half_close_timeout_s=0.5
        )
        await pilot.press("2")
        await until(lambda: "f2" in session.forwards)
        assert defaults_of("f2") == edited
        # Started with the form; an empty field uses the settings.
        await pilot.press("f")
        await until(lambda: isinstance(app.screen, ForwardForm))
        await shows(app, "! reachable from other machines", "--address 0.0.0.0 --queue-timeout")
        await pilot.press(*["tab"] * 3, *["backspace"] * 2, "5", "tab")
        await pilot.press(*["backspace"] * 5, "enter")
        await until(lambda: "f3" in session.forwards)
        assert defaults_of("f3") == msgspec.structs.replace(edited, queue_timeout_s=5.0)
        # Started with a command, typed and pasted; its options take precedence.
        await pilot.press("v", *"pod/web-2 9000:http")
        await shows(app, "on 0.0.0.0")
        await pilot.press("enter")
        await until(lambda: "f4" in session.forwards)
        assert defaults_of("f4") == edited
        line = "kubectl port-forward --address ::1 web-3 8080"
        app.post_message(events.Paste(line))
        await until(lambda: "f5" in session.forwards)
        assert defaults_of("f5") == msgspec.structs.replace(edited, addresses=("::1",))


async def test_refresh_interval_can_be_changed(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("refresh = 5\n")
    session = shop()
    async with running(session, (120, 34), files=DashboardPaths(settings=file)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        write(file, "refresh = 0.1\n")
        await shows(app, "Settings reloaded")
        for megabytes in (11, 22, 33):
            session.update("f1", counters=Counters(rate_from_pod=megabytes * 1e6))
            async with asyncio.timeout(3):
                await shows(app, f"{megabytes}.0 MB/s")


async def test_notification_setting_can_be_changed(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('notifications = "none"\n')
    session = shop()
    async with running(session, (120, 44), files=DashboardPaths(settings=file)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await until(lambda: "ready on" in " ".join(notifications(app)))
        session.change("f1", ForwardState.BLOCKED, "401", "log in again")
        await shows(app, "■ blocked")
        # The result of a key is always shown.
        await pilot.press("W")
        await shows(app, "Profiles are not available")
        assert "log in again" not in " ".join(notifications(app))  # a change of state is not
        session.change("f1", ForwardState.READY)
        await shows(app, "● ready")
        write(file, 'notifications = "problems"\n')
        await shows(app, "Settings reloaded")
        session.change("f1", ForwardState.BLOCKED, "403", "ask for it")
        await shows(app, "blocked: 403", "ask for it")
        session.change("f1", ForwardState.READY)
        await shows(app, "● ready")
        assert not any("ready again" in text for text in notifications(app))


@pytest.mark.parametrize(
    ("symbols", "encoding"), [("unicode", "utf-8"), ("ascii", "ascii"), ("auto", "by locale")]
)
def test_symbols_are_those_of_the_setting_or_the_locale(
    symbols: str, encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_controller, "terminal_encoding", lambda _: "by locale")
    path = tmp_path / "settings.toml"
    path.write_text(f'symbols = "{symbols}"\n')
    assert SettingsFile(path).encoding == encoding
    assert SettingsFile(None).encoding == "by locale"
