"""The view state, kept in a file and restored by the next dashboard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from tests.cli.fake_session import FakeSession, until
from tests.tui.samples import pod, shop, view
from tui_forward.model import CatalogScope
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.storage.view_state import ViewState, ViewStateStore
from tui_forward.tui.widgets.row_table import RowTable

ORIGIN = ("here", "shop")
NAMES = ("api-1", "db-1", "web-1", "web-2")
WEB_2 = "pod/shop/web-2"


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_forward.tui.controllers.view_state_controller.SAVE_INTERVAL_S", 0.02)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "places.json"


@asynccontextmanager
async def running(
    session: FakeSession, file: Path, namespace: str = "shop"
) -> AsyncIterator[tuple[TuiForwardApp, Pilot[None]]]:
    app = TuiForwardApp(
        session,
        context="here",
        namespace=namespace,
        view_state_store=ViewStateStore(file),
        origin=ORIGIN,
    )
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        yield app, pilot
    assert app.crash is None


def place(namespace: str = "shop", **more: Any) -> ViewState:
    return ViewState(origin=ORIGIN, context="here", namespace=namespace, **more)


def kept(file: Path) -> ViewState | None:
    return ViewStateStore(file).state


def row(app: TuiForwardApp) -> str | None:
    return app.dashboard.query_one("#browse", RowTable).cursor


async def test_next_dashboard_restores_the_view_state(file: Path) -> None:
    expected = place(
        view="pods", sort="age-", row=WEB_2, query="web", forward_sort="target",
        forward_group="profile", forward_query="db",
    )  # fmt: skip
    async with running(shop(*NAMES), file) as (app, pilot):
        await until(lambda: row(app) is not None)
        # To the pods by age; those called web, the second one.
        await pilot.press("t")
        app.dashboard.tables.entries.sort_by("age")
        await pilot.press("slash", *"web", "enter", "down")
        await until(lambda: row(app) == WEB_2)
        app.dashboard.tables.forwards.sort_by("target")
        await pilot.press("tab", "tab", "b", "b", "slash", *"db", "enter")
        # It is written while it goes on: no kill takes it away.
        await until(lambda: kept(file) == expected)
    async with running(shop(*NAMES), file) as (app, pilot):
        await until(lambda: row(app) == WEB_2)
        assert app.view_state.current == expected
        # Only what is typed now counts from now on.
        await pilot.press("up")
        await until(lambda: kept(file) == msgspec.structs.replace(expected, row="pod/shop/web-1"))


async def test_other_context_restores_layout_without_filter(file: Path) -> None:
    ViewStateStore(file).save(
        place("data", view="pods", row=WEB_2, query="web", forward_group="label")
    )
    async with running(shop(*NAMES), file) as (app, _):
        await until(lambda: row(app) == "pod/shop/api-1")
        assert app.view_state.current == place(
            view="pods", row="pod/shop/api-1", forward_group="label"
        )  # fmt: skip


async def test_late_row_is_selected_unless_the_cursor_moved(
    file: Path,
) -> None:
    ViewStateStore(file).save(place(row=WEB_2))
    for early in (False, True):
        session = shop("api-1", "db-1")
        async with running(session, file) as (app, pilot):
            await until(lambda app=app: row(app) == "pod/shop/api-1")  # type: ignore[misc]
            assert app.view_state.current.row == WEB_2, "it may still come"
            if early:
                await pilot.press("down")
            scope = CatalogScope("here", "shop")
            session.views[scope] = view(*(pod(name) for name in NAMES), version=2)
            await until(
                lambda app=app, early=early: row(app) == ("pod/shop/db-1" if early else WEB_2)  # type: ignore[misc]
            )


def test_view_state_is_kept_per_kubeconfig(file: Path) -> None:
    one, two = ViewStateStore(file, "engine"), ViewStateStore(file, "engine-1")
    one.save(place("a"))
    two.save(place("b"))
    one.save(place("c"))
    assert ViewStateStore(file, "engine").state == place("c")
    assert ViewStateStore(file, "engine-1").state == place("b")
    for number in range(150):
        ViewStateStore(file, f"engine-{number}").save(place())
    assert file.read_text().count('"origin"') == 100
    assert ViewStateStore(None, "engine").state is None


@pytest.mark.parametrize("content", [b"{", b'{"places": {"": {"context": "x"}}}', b"\xff"])
def test_invalid_view_state_file_is_moved_aside(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    last = ViewStateStore(file)
    assert (last.state, "is invalid; moved to" in last.problem) == (None, True)
    assert file.with_name("places.json.bad").read_bytes() == content
    last.save(place("a"))
    assert kept(file) == place("a")


async def test_unknown_values_of_a_later_version_are_ignored(file: Path) -> None:
    ViewStateStore(file).save(place(view="galaxies", sort="beauty", forward_group="", row=WEB_2))
    async with running(shop(*NAMES), file) as (app, _):
        await until(lambda: row(app) == WEB_2)
        assert app.view_state.current.view == "workloads"
