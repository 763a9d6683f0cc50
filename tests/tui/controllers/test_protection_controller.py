"""Starting, restoring and importing forwards asks first in protected contexts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual import events

from tests.cli.fake_session import FakeSession, until
from tests.support import fleet
from tests.tui.app_harness import notifications, running, screen_text, shows
from tests.tui.samples import shop
from tui_forward.model import Context
from tui_forward.tui.screens.dialogs import ProtectedScreen
from tui_forward.tui.storage.paths import DashboardPaths


@pytest.fixture
def files(tmp_path: Path) -> DashboardPaths:
    settings = tmp_path / "settings.toml"
    settings.write_text('protected_contexts = ["her*"]\n')
    return DashboardPaths(settings=settings)


def starts(session: FakeSession) -> int:
    return sum(call[0] == "start" for call in session.calls)


async def test_only_y_starts_in_a_protected_context(files: DashboardPaths) -> None:
    session = shop()
    async with running(session, (120, 36), files=files) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "web-1:http in here! (protected)?", "y  start")
        await pilot.press("enter", "1", "space")
        assert isinstance(app.screen, ProtectedScreen)
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, ProtectedScreen))
        assert not starts(session)
        await pilot.press("1")
        await until(lambda: isinstance(app.screen, ProtectedScreen))
        await pilot.press("y")
        await until(lambda: session.forwards)
        assert starts(session) == 1
        # The name of the context ends with the mark in the table, too.
        await shows(app, "here!")


async def test_every_other_way_asks_too(files: DashboardPaths) -> None:
    session = shop()
    async with running(session, (120, 36), files=files) as (app, pilot):
        await shows(app, "web-1")
        app.post_message(events.Paste("kubectl port-forward -n shop web-2 8080"))
        await until(lambda: isinstance(app.screen, ProtectedScreen))
        await pilot.press("y")
        await until(lambda: session.forwards)
        await pilot.press("f")
        await until(lambda: "ctrl+n" in screen_text(app))
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, ProtectedScreen))
        await pilot.press("escape")
        assert starts(session) == 1
        await asyncio.sleep(0)
        app._forwards.stop(list(session.forwards))
        await until(lambda: not session.forwards)
        await until(lambda: app._forwards.can_undo)
        app.action_undo()
        await until(lambda: isinstance(app.screen, ProtectedScreen))
        await pilot.press("escape")
        assert not session.forwards


async def test_other_contexts_are_not_asked_about(tmp_path: Path) -> None:
    session = shop()
    async with running(session, (120, 36)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await until(lambda: session.forwards)
        assert "here!" not in screen_text(app)


async def test_production_is_suggested_once(tmp_path: Path) -> None:
    files = DashboardPaths(favorites=tmp_path / "favorites.json")

    async def suggested() -> bool:
        session = shop()
        session.context_list = (
            Context(name="here", cluster="c"),
            Context(name="prod", cluster="c"),
        )
        async with running(session, (120, 36), files=files) as (app, _):
            await shows(app, "web-1")
            await until(lambda: app.protection._contexts)
            await asyncio.sleep(0.2)
            return any("prod looks like production" in text for text in notifications(app))

    assert await suggested()
    assert not await suggested()


async def test_protected_contexts_are_marked_and_follow_the_settings(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('protected_contexts = ["prod*"]\n')
    async with running(
        fleet.fleet(), (120, 36), context=fleet.STAGING, clock=lambda: fleet.NOW,
        files=DashboardPaths(settings=settings),
    ) as (app, _):  # fmt: skip
        await shows(app, "prod-eu! shop svc/payments", "staging  shop svc/notification")
        settings.write_text('protected_contexts = ["stag*"]\n')
        await shows(app, "prod-eu  shop svc/payments", "staging! shop svc/notification")
        settings.write_text("\n")
        await until(lambda: "staging!" not in screen_text(app))
