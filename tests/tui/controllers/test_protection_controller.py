"""Starting, restoring and importing forwards asks first in protected contexts."""

from __future__ import annotations

import ast
import math
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from textual import events
from textual.pilot import Pilot

import tui_forward.tui
from tests.cli.fake_session import FakeSession, until
from tests.support import fleet
from tests.tui.app_harness import notifications, running, screen_text, shows
from tests.tui.samples import shop
from tui_forward.errors import TuiForwardError
from tui_forward.model import (
    AccessOptions,
    Context,
    ForwardSpec,
    Login,
    ReasonCode,
    Target,
    TargetKind,
)
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.controllers import protection_controller
from tui_forward.tui.controllers.forward_controller import ConfirmedTargets
from tui_forward.tui.controllers.restore_controller import RestoreOffer
from tui_forward.tui.screens.confirmation import ProtectedScreen
from tui_forward.tui.screens.forward_form import ForwardForm
from tui_forward.tui.screens.profile import ProfileScreen
from tui_forward.tui.storage.paths import DashboardPaths
from tui_forward.tui.viewmodel.pane_layout import Pane

# Starts forwards as a user does, up to the question.
Way = Callable[[TuiForwardApp, Pilot[None]], Awaitable[None]]


@pytest.fixture(autouse=True)
def no_later_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let marks appear at the start or when the settings change, or never."""
    monkeypatch.setattr(protection_controller, "_CONTEXTS_INTERVAL_S", math.inf)


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
        await shows(app, "web-1:http in here! (protected)?", "y Start  esc Cancel")
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


def keys(*pressed: str) -> Way:
    async def start(_app: TuiForwardApp, pilot: Pilot[None]) -> None:
        await pilot.press(*pressed)

    return start


def keys_in(pane: Pane, *pressed: str) -> Way:
    async def start(app: TuiForwardApp, pilot: Pilot[None]) -> None:
        app.dashboard.body.focus_pane(pane)
        await pilot.press(*pressed)

    return start


async def paste(app: TuiForwardApp, _pilot: Pilot[None]) -> None:
    app.post_message(events.Paste("kubectl port-forward -n shop web-2 8080"))


async def double_click(app: TuiForwardApp, pilot: Pilot[None]) -> None:
    await pilot.click("#ports", offset=(6, 3), times=2)


async def command_line(app: TuiForwardApp, pilot: Pilot[None]) -> None:
    await pilot.press("v", *"svc/web 80")
    await shows(app, "✓ ", "svc/web:80")
    await pilot.press("enter")


async def form(app: TuiForwardApp, pilot: Pilot[None]) -> None:
    await pilot.press("f")
    await until(lambda: isinstance(app.screen, ForwardForm))
    await pilot.press("enter")


async def edit(app: TuiForwardApp, pilot: Pilot[None]) -> None:
    app.dashboard.body.focus_pane(Pane.FORWARDS)
    await pilot.press("e")
    await until(lambda: isinstance(app.screen, ForwardForm))
    await pilot.press("7", "enter")


async def palette(app: TuiForwardApp, pilot: Pilot[None]) -> None:
    await pilot.press("ctrl+p", *"all ports of the row")
    await shows(app, "Start all ports of the row")
    await pilot.press("enter")


async def profile(app: TuiForwardApp, pilot: Pilot[None]) -> None:
    await pilot.press("colon", *"profiles", "enter")
    await shows(app, "team-shop")
    await pilot.press("enter")
    await until(lambda: isinstance(app.screen, ProfileScreen))
    await pilot.press("enter")


async def restore(app: TuiForwardApp, _pilot: Pilot[None]) -> None:
    async def start() -> list[TuiForwardError]:
        raise AssertionError("restored without a question")

    target = Target(context="here", namespace="shop", kind=TargetKind.POD, name="a", port="80")
    offer = RestoreOffer([ForwardSpec(target=target)], start, lambda: None, automatic=True)
    app._restoring.present(offer)


WAYS: dict[str, Way] = {
    "digit": keys_in(Pane.CLUSTER, "2"),
    "digit in ports": keys_in(Pane.PORTS, "2"),
    "space": keys_in(Pane.CLUSTER, "down", "space"),
    "all ports": keys_in(Pane.CLUSTER, "a"),
    "enter in ports": keys_in(Pane.PORTS, "end", "up", "enter"),
    "space in ports": keys_in(Pane.PORTS, "space"),
    "selection": keys_in(Pane.CLUSTER, "m", "m", "2"),
    "double click": double_click,
    "paste": paste,
    "command line": command_line,
    "form": form,
    "edit": edit,
    "palette": palette,
    "profile": profile,
    "undo": keys("u"),
    "restored session": restore,
}


async def test_every_way_to_start_asks_first(files: DashboardPaths, tmp_path: Path) -> None:
    assert files.settings is not None
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "team-shop.yaml").write_text(
        "context: here\nnamespace: shop\nforwards:\n  db: {target: sts/db, port: 5432}\n"
    )
    files = msgspec.structs.replace(
        files, profiles=tmp_path / "profiles", trusted_profiles=tmp_path / "trusted",
        working_dir=tmp_path,
    )  # fmt: skip
    session = shop()
    target = Target(
        context="here", namespace="shop", kind=TargetKind.POD, name="web-3", port="http"
    )
    for port in (9001, 9002):
        await session.start(ForwardSpec(target=target, local_port=port))
    session.calls.clear()
    async with running(session, (120, 36), files=files) as (app, pilot):
        await shows(app, "web-1", ":8082")
        app._forwards.stop([next(iter(session.forwards))])
        await until(lambda: app._forwards._undo)
        before = dict(session.forwards)
        for name, start in WAYS.items():
            await start(app, pilot)
            await until(lambda: isinstance(app.screen, ProtectedScreen), what=name)
            await pilot.press("enter", "space", "1", "x", "escape")
            await until(lambda: app.screen is app.dashboard, what=name)
            assert not starts(session), name
            assert session.forwards.keys() == before.keys(), name
            app.dashboard.body.focus_pane(Pane.CLUSTER)
            await pilot.press("home")


def test_only_one_function_starts_forwards() -> None:
    """A way to start that the guard is not asked about has to be added there."""
    found = []
    for path in Path(tui_forward.tui.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            receiver = ast.unparse(node.func.value)
            if node.func.attr == "start" and receiver.endswith("session"):
                found.append(path.name)
    assert found == ["forward_controller.py"]


async def test_start_that_was_not_confirmed_is_refused() -> None:
    session = shop()
    async with running(session, (120, 36)) as (app, _):
        target = Target(
            context="here", namespace="shop", kind=TargetKind.POD, name="web-1", port="http"
        )
        batch = await app._forwards._start_batch(
            [ForwardSpec(target=target)], ConfirmedTargets(frozenset())
        )
        assert not batch.done
        assert not starts(session)


@pytest.mark.parametrize("size", [(120, 36), (80, 24), (70, 20)])
async def test_question_names_the_context_where_space_is_short(
    size: tuple[int, int], tmp_path: Path
) -> None:
    name = "payments-ledger-reconciliation-worker-with-a-long-name"
    settings = tmp_path / "settings.toml"
    settings.write_text('protected_contexts = ["her*"]\n')
    async with running(shop(name), size, files=DashboardPaths(settings=settings)) as (app, pilot):
        await until(lambda: app.dashboard.tables.entries.keys)
        await pilot.press("1")
        await shows(app, "Start pod/pay", ":http in here! (protected)?  y Start  esc Cancel")
        line = screen_text(app).splitlines()[-2]
        assert line.startswith(" Start pod/pay")


async def test_other_contexts_are_not_asked_about(tmp_path: Path) -> None:
    session = shop()
    async with running(session, (120, 36)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await until(lambda: session.forwards)
        assert "here!" not in screen_text(app)


async def test_production_is_suggested_once(tmp_path: Path) -> None:
    files = DashboardPaths(favorites=tmp_path / "favorites.json")

    for is_first in (True, False):
        session = shop()
        session.context_list = (
            Context(name="here", cluster="c"),
            Context(name="prod", cluster="c"),
        )
        async with running(session, (120, 36), files=files) as (app, pilot):
            if is_first:
                await until(lambda app=app: "prod looks like" in str(notifications(app)))  # type: ignore[misc]
            else:
                await until(lambda app=app: app.protection._contexts)  # type: ignore[misc]
                await app.protection._suggest()
                await pilot.pause()
                assert not notifications(app)


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


ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"


def session_with_a_long_name() -> FakeSession:
    """Return the scene whose production cluster has a long name, and is not verified."""
    session = fleet.fleet()
    for one in list(session.forwards.values()):
        if one.spec.target.context == fleet.PROD:
            target = msgspec.structs.replace(one.spec.target, context=ARN)
            session.update(one.id, spec=msgspec.structs.replace(one.spec, target=target))
    session.context_list = (
        session.context_list[0],
        Context(name=ARN, cluster=ARN, namespace="shop", insecure=True),
    )
    cluster = ((ARN, AccessOptions()),)
    code = ReasonCode.AUTH_LOGIN_RUNNING
    session.logins = (Login(clusters=cluster, code=code, plugin="aws", text="open it"),)
    return session


async def test_contexts_are_short_and_marked_wherever_they_are_named(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('protected_contexts = ["*prod*"]\n')
    async with running(
        session_with_a_long_name(), (120, 36), context=fleet.STAGING, clock=lambda: fleet.NOW,
        files=DashboardPaths(settings=settings),
    ) as (app, pilot):  # fmt: skip
        name = "prod-eu! insecure"
        await shows(app, f"{name} shop svc/payments")
        app.dashboard.body.focus_pane(Pane.FORWARDS)
        await pilot.press("b", "b", "b", "b")
        await shows(app, f"▾ {name} · 5 forwards")
        await pilot.press("b", "home", "e")
        await shows(app, "Edit svc/payments", f"{name} · namespace shop", ARN)
        await pilot.press("escape", "colon", *"ctx pro")
        await shows(app, f"ctx {name}", ARN[:20])
        await pilot.press("escape", "c")
        await shows(app, f"{name} cluster arn:aws")
        await pilot.press("escape", "L")
        await shows(app, f"Login to {name}")
        await pilot.press("escape", "enter")  # details have the whole name
        await shows(app, "r/prod-eu! insecure/shop/")
