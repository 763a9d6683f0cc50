"""Profiles in the dashboard: preview, start, stop, save."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.cli.fake_session import FakeSession, until
from tests.tui.app_harness import notifications, running, screen_text, shows
from tests.tui.samples import shop
from tui_forward.common.access_options import parse_access_options
from tui_forward.model import (
    ForwardSpec,
    ForwardState,
    LocalAddress,
    ProxySpec,
    Target,
    TargetKind,
)
from tui_forward.profiles.trust import TrustStore
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.screens.help import HelpScreen
from tui_forward.tui.screens.picker import Picker
from tui_forward.tui.screens.profile import ProfileScreen, ProfileView
from tui_forward.tui.screens.save_profile import SaveProfileScreen
from tui_forward.tui.storage.paths import DashboardPaths

TEXT = """\
# what the shop needs
description: the shop
context: here
namespace: shop
forwards:
  api: {target: deploy/api, port: http, needs: db}
  db: {target: sts/db, port: 5432}
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DashboardPaths:
    monkeypatch.setenv("HOME", str(tmp_path))  # paths are shown with ~, whatever their length
    (tmp_path / "profiles").mkdir()
    (tmp_path / "tree" / ".git").mkdir(parents=True)
    (tmp_path / "profiles" / "shop.yaml").write_text(TEXT)
    return DashboardPaths(
        profiles=tmp_path / "profiles",
        trusted_profiles=tmp_path / "trusted",
        working_dir=tmp_path / "tree",
    )


def read(path: Path) -> str:
    return path.read_text()


def write(path: Path, text: str) -> None:
    path.write_text(text)


async def hides(app: TuiForwardApp, text: str) -> None:
    await until(lambda: text not in screen_text(app))


async def type_in_picker(app: TuiForwardApp, pilot: Pilot[None], *keys: str) -> None:
    """Open the picker of profiles, and type in it once it is there."""
    await pilot.press("P")
    await until(lambda: isinstance(app.screen, Picker))
    await pilot.press(*keys)


def ready_shop() -> FakeSession:
    session = shop()
    session.on_start = lambda fake, one: fake.change(one, ForwardState.READY)
    return session


async def test_profile_is_previewed_then_started_and_stopped(files: DashboardPaths) -> None:
    session = ready_shop()
    async with running(session, (110, 36), files=files) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("P")
        await shows(app, "shop", "2 forwards")
        await pilot.press("enter")
        await shows(app, "the shop", "2 added", "+ here shop sts/db:5432 :5432 starts")
        await shows(app, "+ here shop deploy/api:http auto after sts/db", "enter Apply · e Edit")
        assert not session.forwards
        await pilot.press("d")  # no effect without an active forward
        assert isinstance(app.screen, ProfileScreen)
        await pilot.press("enter")
        await until(lambda: len(session.forwards) == 2)
        assert [one.spec.name for one in session.forwards.values()] == ["db", "api"]
        await shows(app, "shop: 2 changes")
        await pilot.press("P")
        await shows(app, "2 forwards, 2 active")
        await pilot.press("enter")
        await shows(app, "All forwards are active.", "e Edit · d Down")
        await pilot.press("d")
        await until(lambda: not session.forwards)
        await pilot.press("u")
        await until(lambda: len(session.forwards) == 2)


async def test_proxy_of_a_profile_starts_and_stops_with_it(files: DashboardPaths) -> None:
    assert files.profiles is not None
    write(files.profiles / "shop.yaml", f"{TEXT}proxy: 1080\n")
    session = ready_shop()
    async with running(session, (110, 36), files=files) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("P")
        await shows(app, "2 forwards, a proxy")
        await pilot.press("enter")
        await shows(app, "the shop", "3 added", "cluster proxy")
        await pilot.press("enter")
        await until(lambda: len(session.forwards) == 2 and len(session.proxies) == 1)
        (proxy,) = session.proxies.values()
        assert (proxy.spec.context, proxy.spec.namespace, proxy.spec.port) == ("here", "shop", 1080)
        await shows(app, "shop: 3 changes")
        await pilot.press("P")
        await shows(app, "2 forwards, a proxy, 3 active")
        await pilot.press("enter")
        await shows(app, "All forwards are active.", "d Down")
        await pilot.press("d")
        await until(lambda: not session.forwards and not session.proxies)


@pytest.mark.parametrize("size", [(80, 24), (110, 36)])
async def test_preview_shows_the_changes_of_each_mode(
    files: DashboardPaths, size: tuple[int, int]
) -> None:
    assert files.profiles is not None
    session = ready_shop()
    async with running(session, size, files=files) as (app, pilot):
        await shows(app, "web-1")
        await type_in_picker(app, pilot, *"shop", "enter")
        await shows(app, "Profile shop ·", "a Apply m Merge r Replace")
        await pilot.press("enter")
        await until(lambda: len(session.forwards) == 2)
        await shows(app, "shop: 2 changes")
        # One forward of no profile, one missing, one changed.
        await pilot.press("1")
        await until(lambda: len(session.forwards) == 3)
        await session.stop("f2")
        write(files.profiles / "shop.yaml", TEXT.replace("sts/db", "sts/pg"))
        before = dict(session.forwards)
        app.clear_notifications()
        await type_in_picker(app, pilot, *"shop", "enter")
        changed, stopped = "→ sts/pg:5432", "stops; not in the profile"
        await shows(app, changed, "after sts/pg", "enter Apply")
        await hides(app, stopped)
        await pilot.press("r")
        await shows(app, "enter Replace", changed, stopped, "1 removed")
        await pilot.press("m")
        await shows(app, "after sts/pg", "enter Merge", "esc Cancel",
                    "differs from the profile")  # fmt: skip
        await hides(app, changed)
        assert session.forwards == before, "a preview changes nothing"
        await pilot.press("enter")
        await until(lambda: len(session.forwards) == 3)
        assert before.keys() < session.forwards.keys(), "active forwards keep running"
        await shows(app, "shop: 1 change")
        app.clear_notifications()
        await type_in_picker(app, pilot, *"shop", "enter")
        await until(lambda: isinstance(app.screen, ProfileScreen))
        await pilot.press("m")
        await shows(app, "No forward is missing.", "e Edit · d Down")
        await pilot.press("enter")
        assert isinstance(app.screen, ProfileScreen)
        await pilot.press("r", "enter")
        await shows(app, "shop: 2 changes. Press u")
        await until(lambda: len(session.forwards) == 2)
        assert {one.spec.profile for one in session.forwards.values()} == {"shop"}
        await pilot.press("u")
        await until(lambda: len(session.forwards) == 3)
        assert "" in {one.spec.profile for one in session.forwards.values()}


async def test_help_can_be_built_while_a_profile_is_being_opened(files: DashboardPaths) -> None:
    async with running(ready_shop(), files=files) as (app, _):
        app.push_screen(ProfileScreen(ProfileView("shop", "shop.yaml", is_invalid=True)))
        assert isinstance(app.screen, ProfileScreen)
        assert not list(app.screen.children), "the screen is not composed yet"
        app.import_fillers()[HelpScreen]()
        await shows(app, "Profile shop · shop.yaml", "esc Cancel")


async def test_changes_other_than_shown_are_not_made(files: DashboardPaths) -> None:
    session = ready_shop()
    async with running(session, (110, 36), files=files) as (app, pilot):
        await shows(app, "web-1")
        await type_in_picker(app, pilot, *"shop", "enter")
        await until(lambda: isinstance(app.screen, ProfileScreen))
        await pilot.press("r")
        await shows(app, "enter Replace")
        # Another client starts a forward that the preview does not show.
        spec = ForwardSpec(
            target=Target(
                context="here", namespace="shop", kind=TargetKind.SERVICE, name="new", port="80"
            )
        )
        await session.start(spec)
        await pilot.press("enter")
        await shows(app, "active forwards have changed")
        assert [one.spec for one in session.forwards.values()] == [spec]


async def test_confirmed_team_profile_is_trusted(files: DashboardPaths) -> None:
    assert files.working_dir is not None
    team = files.working_dir / ".tui-forward.yaml"
    write(team, TEXT.replace("port: 5432", "port: 5432, address: 0.0.0.0"))
    session = ready_shop()
    async with running(session, (110, 36), files=files) as (app, pilot):
        await shows(app, "web-1")
        for is_untrusted in (True, False):
            await pilot.press("P")
            await shows(app, "2 forwards, team" if is_untrusted else "team")
            await pilot.press(*"tree", "enter")
            await shows(app, "OPEN TO OTHER MACHINES on 0.0.0.0", "! 0.0.0.0:5432")
            warning, details = "not trusted this version", "sets API_HOST, API_PORT"
            if is_untrusted:
                await shows(app, warning, details)
            else:
                await hides(app, warning)
            await pilot.press("enter" if is_untrusted else "d")
            await until(lambda is_untrusted=is_untrusted: bool(session.forwards) is is_untrusted)  # type: ignore[misc]


async def test_invalid_profile_shows_its_problems(files: DashboardPaths) -> None:
    assert files.profiles is not None
    write(files.profiles / "bad.yaml", "forwards:\n  a: {target: cm/x, port: 1}\n")
    session = shop()
    async with running(session, (110, 36), files=files) as (app, pilot):
        await shows(app, "web-1")
        await type_in_picker(app, pilot, *"bad")
        await shows(app, "invalid")
        await pilot.press("enter")
        await shows(app, "Invalid profile:", "line 2, column 15: target: cannot")
        await pilot.press("enter")
        assert isinstance(app.screen, ProfileScreen)
        await pilot.press("escape")
        await until(lambda: app.screen is app.dashboard)
    assert not session.forwards


async def test_active_forwards_are_saved_as_a_profile(files: DashboardPaths) -> None:
    assert files.profiles is not None
    session = shop()
    async with running(session, (110, 36), files=files) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("W")  # no effect without an active forward
        await pilot.press("1")
        await shows(app, "● ready")
        session.update("f1", listening=(LocalAddress("127.0.0.1", 18080),))
        await shows(app, "18080")
        await pilot.press("W")
        await shows(app, "Saves 1 forward of here.", "Profiles: shop")
        await pilot.press("enter")  # no name yet
        await pilot.press(*"../mine")
        await shows(app, "✗ a name has no /")
        await pilot.press("enter")
        assert isinstance(app.screen, SaveProfileScreen)
        app.screen.query_one(Input).value = "mine"
        await shows(app, "New file", "mine.yaml")
        await pilot.press("enter")
        path = files.profiles / "mine.yaml"
        await until(path.exists)
        assert "local: 18080" in read(path)
        # The forward belongs to the saved profile.
        await type_in_picker(app, pilot, *"mine", "enter")
        await shows(app, "All forwards are active.")
        await pilot.press("escape")
        # An existing profile keeps its comments.
        await pilot.press("W")
        # All that is active belongs to a profile.
        await until(lambda: isinstance(app.screen, SaveProfileScreen))
        app.screen.query_one(Input).value = "shop"
        await shows(app, "Replaces 2 forwards in", "api, db. Comments stay.")
        await pilot.press("enter")
        await until(lambda: "web-1" in read(files.profiles / "shop.yaml"))  # type: ignore[operator]
        assert read(files.profiles / "shop.yaml").startswith("# what the shop needs\n")


async def test_active_proxy_is_saved(files: DashboardPaths) -> None:
    assert files.profiles is not None
    session = shop()
    async with running(session, (110, 36), files=files) as (app, pilot):
        await shows(app, "web-1")
        await session.start_proxy(
            ProxySpec(context="here", namespace="shop", port=1090, direct=True, domain="b.example")
        )
        await session.start(
            ForwardSpec(
                target=Target(
                    context="here", namespace="shop", kind=TargetKind.SERVICE, name="web", port="80"
                ),
                proxy="p1",
            )
        )  # fmt: skip
        await shows(app, "proxy 127.0.0.1:1090")
        await pilot.press("W")
        await shows(app, "Saves the cluster proxy 127.0.0.1:1090 of here.", "Profiles: shop")
        await pilot.press(*"mine", "enter")
        await shows(app, "a proxy saved to")
        path = files.profiles / "mine.yaml"
        assert "proxy:\n  port: 1090\n  direct: true\n  domain: b.example\n" in read(path)
        # It belongs to the saved profile.
        await type_in_picker(app, pilot, *"mine", "enter")
        await shows(app, "All forwards are active.", "d Down")
        await pilot.press("escape")
        await session.start_proxy(ProxySpec(context="there", port=1091))
        await shows(app, "proxy 127.0.0.1:1091")
        await pilot.press("W")
        await shows(app, "Not saved: the proxy 127.0.0.1:1091 is one too many")
        await pilot.press(*"mine")
        await shows(app, "Replaces the proxy in", "mine.yaml. Comments stay.")


async def test_forward_with_a_secret_is_not_saved(files: DashboardPaths) -> None:
    assert files.profiles is not None
    session = shop()
    plain, secret = (
        ForwardSpec(
            target=Target(
                context="here", namespace="shop", kind=TargetKind.SERVICE, name=name, port="80",
                options=parse_access_options(options),
            )
        )
        for name, options in (("plain", {"as": ["ann"]}), ("secret", {"token": ["t0ken-of-bob"]}))
    )  # fmt: skip
    async with running(session, (110, 36), files=files) as (app, pilot):
        await shows(app, "web-1")
        await session.start(secret)
        await shows(app, "cret:80")
        await pilot.press("W", *"mine", "enter")
        await shows(app, "no forward can be saved", "Not saved: the forward to shop/svc/secret:80")
        await pilot.press("escape")
        await session.start(plain)
        await shows(app, "lain:80")
        await pilot.press("W")
        await shows(app, "Saves 1 forward of here.", "Not saved: the forward to shop/svc/secret:80")
        await pilot.press(*"mine", "enter")
        await shows(app, "1 forward saved to ~/profiles/mine.yaml")
        text = "1 not saved: the forward to shop/svc/secret:80 has --token, which is never saved"
        await until(lambda: any(text in one for one in notifications(app)))
        text = read(files.profiles / "mine.yaml")
        assert "as: ann" in text
        assert "svc/secret" not in text
        assert "t0ken" not in screen_text(app) + text


async def test_failed_save_shows_the_error(files: DashboardPaths, tmp_path: Path) -> None:
    assert files.profiles is not None
    write(files.profiles / "bad.yaml", "a: b: c")
    session = shop()
    async with running(session, (110, 36), files=files) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("W", *"bad")
        await shows(app, "bad.yaml exists and is invalid")
        await pilot.press("enter")
        assert isinstance(app.screen, SaveProfileScreen)
        # It becomes invalid while the dialog is open.
        await pilot.press("2")
        await shows(app, "New file")
        write(files.profiles / "bad2.yaml", "a: b: c")
        await pilot.press("enter")
        await until(lambda: any("mapping values are not" in one for one in notifications(app)))
        assert read(files.profiles / "bad2.yaml") == "a: b: c"


async def test_without_profiles_the_next_step_is_named(files: DashboardPaths) -> None:
    assert files.profiles is not None
    (files.profiles / "shop.yaml").unlink()
    async with running(ready_shop(), (110, 36), files=files) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("P")
        answer = "No profiles yet. Start forwards, then W saves them as one."
        await until(lambda: answer in notifications(app))
        assert app.screen is app.dashboard
        await pilot.press("1", "P")
        answer_with_forwards = "No profiles yet. W saves the active forwards as one."
        await until(lambda: answer_with_forwards in notifications(app))


async def test_profiles_are_unavailable_without_paths() -> None:
    async with running(shop(), (110, 36)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("P")
        await shows(app, "Profiles are not available")


async def test_only_the_content_that_was_shown_is_trusted(files: DashboardPaths) -> None:
    """The file is replaced while its preview is open."""
    assert files.working_dir is not None
    assert files.trusted_profiles is not None
    team = files.working_dir / ".tui-forward.yaml"
    write(team, TEXT)
    session = ready_shop()
    async with running(session, (110, 36), files=files) as (app, pilot):
        await shows(app, "web-1")
        await type_in_picker(app, pilot, *"tree", "enter")
        await shows(app, "not trusted this version")
        evil = TEXT.replace("port: 5432", "port: 5432, address: 0.0.0.0")
        write(team, evil)
        await pilot.press("enter")
        await until(lambda: len(session.forwards) == 2)
        assert {one.spec.addresses for one in session.forwards.values()} == {("localhost",)}
        trust = TrustStore(files.trusted_profiles)
        assert trust.is_trusted(team, TEXT)
        assert not trust.is_trusted(team, evil)
