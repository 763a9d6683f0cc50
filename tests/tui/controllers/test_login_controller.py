from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.cli.fake_session import FakeSession, until
from tests.tui.app_harness import notifications, running, screen_text, shows
from tui_forward.model import (
    NO_OPTIONS,
    AccessOptions,
    BlockedBy,
    Forward,
    ForwardSpec,
    ForwardState,
    Login,
    LoginCommand,
    ReasonCode,
    Target,
    TargetKind,
)
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.screens import login_dialog
from tui_forward.tui.screens.login_dialog import LoginDialog
from tui_forward.tui.storage.paths import DashboardPaths
from tui_forward.tui.viewmodel.pane_layout import Pane

URL = "https://login.example/device"
TEXT = f"To sign in, open {URL}\nand enter the code ABCD-1234"


HERE = ("here", NO_OPTIONS)
TARGET = Target(context="here", namespace="shop", kind=TargetKind.SERVICE, name="web", port="80")


def ready() -> Forward:
    return Forward(
        id="f1", spec=ForwardSpec(target=TARGET), state=ForwardState.READY,
        code=ReasonCode.FORWARD_READY, reason="forwarding",
    )  # fmt: skip


def blocked(code: ReasonCode = ReasonCode.AUTH_PLUGIN_FAILED) -> Forward:
    return Forward(
        id="f1", spec=ForwardSpec(target=TARGET), state=ForwardState.BLOCKED, code=code,
        reason="no session", blocked_by=BlockedBy.CREDENTIALS,
    )  # fmt: skip


@pytest.fixture
def suspended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the app give the terminal away; return what was written there."""
    notes: list[str] = []

    @contextlib.contextmanager
    def suspend(app: TuiForwardApp) -> Iterator[None]:
        notes.append("suspended")
        yield
        notes.append("resumed")

    monkeypatch.setattr(TuiForwardApp, "suspend", suspend)
    return notes


def session_with(*forwards: Forward) -> FakeSession:
    session = FakeSession()
    session.forwards = {one.id: one for one in forwards}
    return session


async def test_key_runs_the_plugin_and_passes_its_output_on(suspended: list[str]) -> None:
    session = session_with(blocked())
    code = "import os; print(os.environ['KUBERNETES_EXEC_INFO'] + 'token')"
    session.login_command = LoginCommand(
        plugin="cloud", arguments=(sys.executable, "-c", code),
        environ={"KUBERNETES_EXEC_INFO": "the "},
    )  # fmt: skip
    async with running(session) as (app, pilot):
        await shows(app, "no session")
        await pilot.press("L")
        await until(lambda: ("finish_login", HERE, b"the token\n", 0) in session.calls)
        await until(lambda: "Logged in to here" in notifications(app))
    assert suspended == ["suspended", "resumed"]


async def test_plugin_that_cannot_be_run_is_given_up(suspended: list[str]) -> None:
    session = session_with(blocked())
    session.login_command = LoginCommand(plugin="x", arguments=("/nowhere/x",), environ={})
    async with running(session) as (app, pilot):
        await shows(app, "no session")
        await pilot.press("L")
        await until(lambda: ("cancel_login", HERE) in session.calls)
        await shows(app, "cannot run x")


async def test_without_a_plugin_the_credentials_are_tried_again() -> None:
    session = session_with(blocked())
    async with running(session) as (app, pilot):
        await shows(app, "no session")
        await pilot.press("L")
        await until(lambda: ("retry_login", HERE) in session.calls)


@pytest.mark.parametrize("exit_code", [0, 1])
async def test_command_of_the_settings_replaces_the_plugin(
    suspended: list[str], tmp_path: Path, exit_code: int
) -> None:
    done = tmp_path / "done it"
    settings = tmp_path / "settings.toml"
    script = f"open(r'{done}', 'w'); raise SystemExit({exit_code})"
    settings.write_text(f'login_command = """{sys.executable} -c "{script}" """\n')
    session = session_with(blocked())
    async with running(session, files=DashboardPaths(settings=settings)) as (app, pilot):
        await shows(app, "no session")
        await pilot.press("L")
        await until(done.exists)
        if exit_code:
            await until(lambda: any("has failed" in text for text in notifications(app)))
        else:
            await until(lambda: ("retry_login", HERE) in session.calls)
    called = {name for name, *_ in session.calls}
    assert "begin_login" not in called
    assert ("retry_login" in called) == (exit_code == 0)


@pytest.mark.parametrize("path", [".", ":/usr/bin", "bin:/usr/bin"])
async def test_command_of_the_settings_is_not_taken_from_the_current_folder(
    suspended: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    for folder in (tmp_path, tmp_path / "bin"):
        (folder / "sso").write_text("#!/bin/sh\ntouch executed\n")
        (folder / "sso").chmod(0o755)
    monkeypatch.setenv("PATH", path)
    settings = tmp_path / "settings.toml"
    settings.write_text('login_command = "sso login"\n')
    session = session_with(blocked())
    async with running(session, files=DashboardPaths(settings=settings)) as (app, pilot):
        await shows(app, "no session")
        await pilot.press("L")
        await until(lambda: any("cannot run sso" in text for text in notifications(app)))
    assert not (tmp_path / "executed").exists()
    assert suspended == []


async def test_key_is_offered_only_where_credentials_are_missing() -> None:
    session = session_with(ready())
    async with running(session, size=(160, 40)) as (app, pilot):
        await shows(app, "ready")
        assert "Log in" not in screen_text(app)
        await pilot.press("L")
        session.forwards = {one.id: one for one in (blocked(),)}
        app.dashboard.body.focus_pane(Pane.FORWARDS)  # to the row that needs it
        await shows(app, "Log in")
    assert not [one for one in session.calls if "login" in str(one[0])]


async def test_login_in_progress_is_shown_copied_and_opened(
    monkeypatch: pytest.MonkeyPatch, suspended: list[str]
) -> None:
    opened: list[str] = []

    async def open_in_browser(address: str) -> None:
        opened.append(address)

    monkeypatch.setattr(login_dialog, "open_in_browser", open_in_browser)
    monkeypatch.setattr(login_dialog, "_REFRESH_S", 0.01)
    session = session_with(blocked(ReasonCode.AUTH_LOGIN_RUNNING))
    login = Login(clusters=(HERE,), code=ReasonCode.AUTH_LOGIN_RUNNING, plugin="device", text=TEXT)
    session.logins = (login,)
    async with running(session, size=(100, 30)) as (app, pilot):
        await shows(app, "no session")
        await pilot.press("L")
        await shows(app, "Login to here", "device asks:", URL, "ABCD-1234")
        await pilot.press("o", "y")
        await until(lambda: opened == [URL])
        await until(lambda: app.clipboard == URL)
        await pilot.press("y")
        await until(lambda: app.clipboard == TEXT)
        # Its text follows the plugin, and it closes with the login.
        other = "Waiting [/x] \x1b[31m for [@click=app.quit]you[/]"
        session.logins = (Login(clusters=(HERE,), code=login.code, plugin="device", text=other),)
        await shows(app, "Waiting [/x]", "[@click=app.quit]you[/]")
        session.logins = ()
        await until(lambda: not isinstance(app.screen, LoginDialog))
    assert not suspended


async def test_login_in_progress_is_in_a_toast_until_it_ends() -> None:
    session = session_with(blocked(ReasonCode.AUTH_LOGIN_RUNNING))
    login = Login(clusters=(HERE,), code=ReasonCode.AUTH_LOGIN_RUNNING, plugin="device", text=TEXT)
    async with running(session, size=(110, 30)) as (app, pilot):
        await shows(app, "no session")
        await pilot.press("y")  # in the cluster, which has no rows
        await shows(app, "No row to act on")
        session.logins = (login,)
        asked = f"open {URL}, code ABCD-1234"
        shown = f"here: {asked}  y copies the code"
        await until(lambda: shown in notifications(app))
        await pilot.press("y")
        await until(lambda: app.clipboard == "ABCD-1234")
        app.dashboard.body.focus_pane(Pane.FORWARDS)
        await shows(app, f"■ blocked {asked} → y copies the code")
        app.copy_to_clipboard("")
        await pilot.press("y")
        await until(lambda: app.clipboard == "ABCD-1234")
        # News do not take its place, and it goes with the login.
        for number in range(5):
            app.notify(f"news {number}")
        await until(lambda: "news 4" in notifications(app))
        assert shown in notifications(app)
        session.logins = ()
        await until(lambda: shown not in notifications(app))


async def test_login_in_progress_can_be_taken_into_the_terminal(suspended: list[str]) -> None:
    session = session_with(blocked(ReasonCode.AUTH_LOGIN_RUNNING))
    session.logins = (Login(clusters=(HERE,), code=ReasonCode.AUTH_LOGIN_RUNNING, text=TEXT),)
    session.login_command = LoginCommand(plugin="x", arguments=("/bin/echo", "t"), environ={})
    async with running(session) as (app, pilot):
        await shows(app, "no session")
        await pilot.press("L")
        await shows(app, "ABCD-1234")
        await pilot.press("enter")
        await until(lambda: ("finish_login", HERE, b"t\n", 0) in session.calls)


async def test_login_is_that_of_the_user_of_the_selected_forward(suspended: list[str]) -> None:
    """Not that of the user of its context, which waits, too."""
    given = AccessOptions(user="other", impersonate_user="ann")
    target = msgspec.structs.replace(TARGET, name="theirs", options=given)
    other = msgspec.structs.replace(blocked(), id="f2", spec=ForwardSpec(target=target))
    session = session_with(blocked(), other)
    session.login_command = LoginCommand(
        plugin="x", arguments=("/bin/echo", "t"), environ={}, user="other"
    )
    async with running(session, size=(120, 30)) as (app, pilot):
        await shows(app, "theirs")
        await pilot.press("L")
        await until(lambda: ("begin_login", HERE) in session.calls)
        app.dashboard.tables.forwards.focus()
        await pilot.press("end")
        await until(lambda: getattr(app.dashboard.tables.forwards.current, "id", "") == "f2")
        await pilot.press("L")
        await until(lambda: ("finish_login", ("here", given), b"t\n", 0) in session.calls)
        await until(lambda: "Logged in to here as other" in notifications(app))
        # A login in progress is shown for each cluster that waits for it.
        session.logins = (
            Login(clusters=(("elsewhere", AccessOptions()), ("here", given)), user="other",
                  code=ReasonCode.AUTH_LOGIN_RUNNING, text=TEXT),
        )  # fmt: skip
        await until(lambda: bool(app._sampler.snapshot.logins))
        await pilot.press("L")
        await shows(app, "Login to here as other", "ABCD-1234")
