from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from textual import events
from textual.binding import Binding
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.worker import WorkerFailed

from tests.cli.fake_session import FakeSession, until
from tests.tui.samples import SHOP, connection, pod, shop, view
from tui_forward.errors import ForwardError, TransportError, TuiForwardError
from tui_forward.model import (
    ApiHealth,
    CatalogScope,
    Context,
    Counters,
    DeclaredPort,
    ForwardDefaults,
    ForwardSpec,
    ForwardState,
    Hop,
    HopKind,
    HopState,
    PodLog,
    ResourceStatus,
    Service,
    Target,
    TargetKind,
    TimelineEntry,
    TimelineKind,
    TrafficHistory,
)
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.controllers.restore_controller import RestoreOffer
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.screens.dialogs import QuitScreen
from tui_forward.tui.screens.forward_detail import DetailScreen
from tui_forward.tui.screens.forward_form import ForwardForm
from tui_forward.tui.screens.help import HelpScreen
from tui_forward.tui.screens.paste_dialog import PasteDialog
from tui_forward.tui.screens.picker import Picker
from tui_forward.tui.storage.paths import DashboardPaths
from tui_forward.tui.widgets.filter_bar import FilterBar
from tui_forward.tui.widgets.row_table import RowTable


def screen_text(app: TuiForwardApp) -> str:
    """What a terminal shows now."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


@asynccontextmanager
async def running(
    session: FakeSession,
    size: tuple[int, int] = (80, 24),
    namespace: str = "shop",
    files: DashboardPaths | None = None,
) -> AsyncIterator[tuple[TuiForwardApp, Pilot[None]]]:
    app = TuiForwardApp(session, context="here", namespace=namespace, paths=files)
    async with app.run_test(size=size, notifications=True) as pilot:
        yield app, pilot
    assert app.crash is None


async def shows(app: TuiForwardApp, *texts: str) -> None:
    try:
        await until(lambda: all(text in screen_text(app) for text in texts))
    except AssertionError:
        raise AssertionError(f"{texts} are not all on\n{screen_text(app)}") from None


async def test_everything_is_on_one_small_screen() -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1", "http", "API ● 12 ms", "No active forwards")
        await pilot.press("1")
        await shows(app, "● ready", "127.0.0.1:8081", "→ 8081", "1 forward · 0 conns")
        session.update(
            "f1",
            counters=Counters(
                rate_from_pod=1.2e6, connections_open=1, connections_total=1, bytes_from_pod=5
            ),
        )
        session.connection_list = [connection(1)]
        await shows(app, "1.2 MB/s", "127.0.0.1:50001", "web-1:http")


async def test_a_digit_switches_a_port_on_and_off() -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("2")
        await until(lambda: session.forwards)
        spec = next(iter(session.forwards.values())).spec
        assert (spec.target.kind, spec.target.name, spec.target.port) == (
            TargetKind.POD, "web-1", "metrics",
        )  # fmt: skip
        assert (spec.target.context, spec.target.namespace) == ("here", "shop")
        assert spec.local_port is None
        assert not spec.target.pin
        await pilot.press("2")
        await until(lambda: not session.forwards)
        assert [call[0] for call in session.calls if call[0] in ("start", "stop")] == [
            "start", "stop",
        ]  # fmt: skip


async def test_a_key_pressed_twice_at_once_is_on_and_off_not_on_twice() -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1", "1", "1")
        await until(lambda: len([c for c in session.calls if c[0] in ("start", "stop")]) == 3)
        assert len(session.forwards) == 1


async def test_ports_that_cannot_be_forwarded_say_so() -> None:
    session = shop()
    async with running(session, (120, 30)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("3")
        await shows(app, "UDP cannot be forwarded")
        await pilot.press("7")
        await shows(app, "declares only 3")
        assert not session.forwards


async def test_space_enter_and_tab_reach_everything() -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("down", "enter", "down", "space")  # pods, ports, metrics of web-2
        await until(lambda: session.forwards)
        assert session.forwards["f1"].spec.target.name == "web-2"
        assert session.forwards["f1"].spec.target.port == "metrics"
        await shows(app, "● ready")
        await pilot.press("tab", "space")
        await until(lambda: ("pause", "f1") in session.calls)
        session.update("f1", paused=True)
        await shows(app, "paused")
        await pilot.press("space", "r")
        await until(
            lambda: ("resume", "f1") in session.calls and ("reconnect", "f1") in session.calls
        )
        session.connection_list = [connection(1), connection(2)]
        await shows(app, "50002")
        await pilot.press("tab", "x")  # newest first
        await until(lambda: ("close_connection", 2) in session.calls)
        await pilot.press("shift+tab", "x")
        await until(lambda: ("stop", "f1") in session.calls)


async def test_another_namespace_by_cursor_and_by_name() -> None:
    session = shop()
    other = CatalogScope("here", "kube-system")
    session.views[other] = view(pod("dns-1", namespace="kube-system"), scope=other)
    every = CatalogScope("here", "")
    session.views[every] = view(pod("web-1"), pod("dns-1", namespace="kube-system"), scope=every)
    async with running(session, (100, 30)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, Picker))
        await pilot.press(*"all na", "enter")
        await shows(app, "kube-system/dns-1", "shop/web-1", "ns: all")
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, Picker))
        await pilot.press(*"kube-system", "enter")
        await shows(app, "dns-1", "ns: kube-system")
        assert "web-1" not in screen_text(app)
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, Picker))
        await pilot.press("escape")
        await shows(app, "ns: kube-system")


async def test_a_namespace_that_may_not_be_listed_can_be_typed() -> None:
    session = shop()
    hidden = CatalogScope("here", "hidden")
    session.views[hidden] = view(pod("web-9", namespace="hidden"), scope=hidden)
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, Picker))
        await pilot.press(*"hidden", "enter")
        await shows(app, "web-9", "ns: hidden")


async def test_forbidden_lists_say_what_is_missing() -> None:
    session = shop()
    denied = ResourceStatus(
        resource="pods", error="you may not list pods in shop", hint="ask for it", forbidden=True
    )
    session.views[SHOP] = msgspec.structs.replace(view(), resources=(denied,))
    async with running(session, (140, 30)) as (app, pilot):
        await shows(app, "you may not list pods in shop → ask for it, or switch the namespace")
        await pilot.press("v", *"svc/web 80")
        await shows(app, "✓ ", "svc/web:80")
        await pilot.press("enter")
        await until(lambda: session.forwards)
        assert session.forwards["f1"].spec.target.kind is TargetKind.SERVICE


async def test_what_else_may_not_be_listed_is_said_above_what_may() -> None:
    session = shop()
    denied = (
        ResourceStatus(resource="deployments", error="you may not", forbidden=True),
        ResourceStatus(resource="services", error="you may not", forbidden=True),
        ResourceStatus(resource="jobs", error="the server is busy"),
    )
    session.views[SHOP] = msgspec.structs.replace(view(pod("web-1")), resources=denied)
    async with running(session, (140, 30)) as (app, pilot):
        await shows(app, "web-1", "workloads of shop · no permission to list deployments ━")
        await pilot.press("t")
        await shows(app, "━ pods of shop ━")


async def test_an_unreachable_server_is_said_on_top() -> None:
    session = shop()
    health = ApiHealth(context="here", ok=False, error="no route to 10.0.0.1", hint="VPN?")
    session.views[SHOP] = msgspec.structs.replace(view(), health=health, resources=())
    async with running(session, (120, 30)) as (app, _):
        await shows(app, "API ✗ no route to 10.0.0.1 → VPN?", "Loading pods")


async def test_states_are_words_with_reasons() -> None:
    session = shop()
    async with running(session, (140, 40)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        session.change("f1", ForwardState.RECONNECTING, "pod web-1 was deleted")
        session.update("f1", retry_at=time.time() + 5, queued=2)
        await shows(app, "◐ reconnecting", "pod web-1 was deleted", "next try in", "2 queued")


async def test_quitting_asks_once_if_forwards_are_on() -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("q")
        await until(lambda: isinstance(app.screen, QuitScreen))
        await shows(app, "Quit and stop 1 forward?")
        await pilot.press("n")
        await until(lambda: not isinstance(app.screen, QuitScreen))
        await pilot.press("ctrl+c", "ctrl+c")
        await until(lambda: app._exit)


@pytest.mark.parametrize(
    ("keep_running", "key", "stops", "keeps"),
    [
        (False, "enter", True, False),
        (False, "y", True, False),
        (False, "l", False, True),
        (True, "enter", False, True),
        (True, "ctrl+c", False, True),
        (True, "y", True, False),
    ],
)
async def test_forwards_go_on_or_end_when_one_leaves(
    keep_running: bool, key: str, stops: bool, keeps: bool
) -> None:
    session = shop()
    session.keep_running = keep_running
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("q")
        what = "keep 1 forward running?" if keep_running else "stop 1 forward?"
        await shows(app, f"Quit and {what}", "keep running", "n  cancel")
        await pilot.press(key)
        await until(lambda: app._exit)
    assert (not session.forwards) is stops
    assert session.keep_running is keeps
    assert ("1 forward keeps running" in app.quitting.farewell) is keeps


async def test_what_ends_with_the_dashboard_cannot_be_left_on(tmp_path: Path) -> None:
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
        await shows(app, "Quit and stop 1 forward?")
        assert "keep running" not in screen_text(app)
        await pilot.press("l")
        assert isinstance(app.screen, QuitScreen)
        await pilot.press("y")
        await until(lambda: app._exit)
    assert not session.forwards
    assert not session.keep_running


@pytest.mark.parametrize(("policy", "keep_running"), [("always", True), ("never", False)])
async def test_who_has_said_what_becomes_of_forwards_is_not_asked(
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


@pytest.mark.parametrize(("key", "back"), [("enter", True), ("n", False)])
async def test_what_was_on_before_a_crash_is_offered(key: str, back: bool) -> None:
    session = shop()
    target = Target(
        context="here", namespace="shop", kind=TargetKind.DEPLOYMENT, name="web", port="80"
    )
    specs = [ForwardSpec(target=target, local_port=8080 + number) for number in range(12)]
    forgotten: list[bool] = []

    async def bring_back() -> list[TuiForwardError]:
        for spec in specs:
            await session.start(spec)
        return [ForwardError("one could not be begun")]

    offer = RestoreOffer(specs, bring_back, lambda: forgotten.append(True))
    app = TuiForwardApp(session, context="here", namespace="shop", restore_offer=offer)
    async with app.run_test(size=(100, 34), notifications=True) as pilot:
        await shows(
            app, "Restore 12 forwards of the last session", "shop/deploy/web:80 ← 8080", "2 more"
        )
        await pilot.press(key)
        await until(lambda: forgotten)
        if back:
            await shows(app, "11 forwards restored", "one could not be begun")
        assert len(session.forwards) == (12 if back else 0)


@pytest.mark.parametrize("resume", ["ask", "never"])
async def test_what_was_on_before_can_wait(resume: str, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(f'restore = "{resume}"\n')
    session, forgotten = shop(), []
    target = Target(context="here", namespace="shop", kind=TargetKind.POD, name="web", port="80")

    async def bring_back() -> list[TuiForwardError]:
        raise AssertionError

    offer = RestoreOffer([ForwardSpec(target=target)], bring_back, lambda: forgotten.append(True))
    files = DashboardPaths(settings=tmp_path / "settings.toml")
    app = TuiForwardApp(session, context="here", namespace="shop", restore_offer=offer, paths=files)
    async with app.run_test(size=(100, 34)) as pilot:
        if resume == "ask":
            await shows(app, "Restore 1 forward of the last session", "esc  later")
            await pilot.press("escape")
        await shows(app, "web-1", "1-9 Port")
        assert isinstance(app.screen, Dashboard)
    assert not forgotten


async def test_quitting_without_forwards_does_not_ask() -> None:
    async with running(shop()) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("q")
        await until(lambda: app._exit)


async def test_what_flowed_before_the_screen_was_opened_is_on_it() -> None:
    session = shop()
    target = Target(context="here", namespace="shop", kind=TargetKind.POD, name="web", port="80")
    forward_id = await session.start(ForwardSpec(target=target))
    session.make_ready(forward_id)
    session.history_list = (
        TrafficHistory(forward_id=forward_id, seconds=((100, 0), (0, 0), (800, 0))),
    )
    async with running(session, (140, 34)) as (app, _pilot):
        await shows(app, "▁ █")


async def test_help_names_every_key() -> None:
    async with running(shop(), (80, 24)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("question_mark")
        await until(lambda: isinstance(app.screen, HelpScreen))
        await shows(app, "Switch the namespace")
        await pilot.press(*"forwards.stop")
        await shows(app, "Action ids for settings.toml", "forwards.stop")
        await pilot.press("escape", "escape")
        await until(lambda: not isinstance(app.screen, HelpScreen))


async def test_an_engine_that_is_gone_is_said_and_nothing_breaks() -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        session.break_(TransportError("the engine process has ended"))
        await shows(app, "■ the engine process has ended", "web-1")
        await pilot.press("1", "tab", "x", "r", "question_mark", "escape")
        session.broken = None
        await shows(app, "API ● 12 ms")


async def test_a_wish_that_fails_is_told() -> None:
    session = shop()

    def refuse(*_: object) -> None:
        raise ForwardError("port 8080 is taken by nginx (42)", hint="stop it")

    session.on_start = refuse
    async with running(session, (120, 30)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "port 8080 is taken by nginx (42)", "stop it")


async def test_a_session_that_hangs_does_not_freeze_the_screen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tui_forward.tui.controllers.session_timeout.ANSWER_TIMEOUT_S", 0.1)
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")

        async def hang() -> object:
            return await asyncio.Event().wait()

        monkeypatch.setattr(session, "snapshot", hang)
        await shows(app, "the engine is not responding")
        await pilot.press("question_mark")
        await until(lambda: isinstance(app.screen, HelpScreen))


async def test_a_bug_leaves_no_traceback_on_the_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    session = shop()
    app = TuiForwardApp(session, context="here", namespace="shop")

    async def bug() -> object:
        raise ZeroDivisionError("a bug")

    async def run() -> None:
        async with app.run_test(size=(80, 24)):
            await shows(app, "web-1")
            session.snapshot = bug  # type: ignore[assignment,method-assign]
            await until(lambda: app.crash is not None)

    with pytest.raises(WorkerFailed):  # the pilot raises it for the test
        await run()
    assert app.crash is not None
    assert "a bug" in app.crash
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 12), (20, 6)])
async def test_any_size(size: tuple[int, int]) -> None:
    session = shop()
    async with running(session, size) as (app, pilot):
        await until(lambda: "web" in screen_text(app) or size[0] < 80)
        await pilot.press("1", "question_mark", "escape")
        await until(lambda: session.forwards)
        await pilot.resize_terminal(80, 24)
        await shows(app, "web-1", "● ready")


def test_the_screens_process_imports_neither_engine_nor_client() -> None:
    code = (
        "import sys, tui_forward.tui.app, tui_forward.daemon.launcher,"
        " tui_forward.cli.commands.dashboard;"
        "print([m for m in sys.modules if m.startswith(('kubernetes', 'aiohttp', 'grpc',"
        " 'tui_forward.engine', 'tui_forward.kube', 'tui_forward.catalog',"
        " 'tui_forward.session.local', 'tui_forward.minicluster'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_the_form_starts_what_it_was_told(session_of_web: FakeSession) -> None:
    session = session_of_web
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


@pytest.mark.parametrize("size", [(60, 20), (200, 60)])
async def test_the_form_fits(size: tuple[int, int]) -> None:
    session = shop()
    async with running(session, size) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("f")
        await shows(app, "local port", "start")
        await pilot.press("ctrl+s")
        await until(lambda: session.forwards)


@pytest.fixture
def session_of_web() -> FakeSession:
    return shop()


async def test_a_stopped_forward_comes_back_on_its_port() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready", "127.0.0.1:8081")
        await pilot.press("x")
        await until(lambda: not session.forwards)
        await shows(app, "Press u to restore it")
        await pilot.press("u")
        await until(lambda: session.forwards)
        assert next(iter(session.forwards.values())).spec.local_port == 8081
        await pilot.press("u")  # nothing more to bring back
        await shows(app, "● ready")
        assert len(session.forwards) == 1


async def test_several_rows_at_once() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-3")
        await pilot.press("m", "m")
        await shows(app, "2 selected", "✓")
        await pilot.press("1")
        await until(lambda: len(session.forwards) == 2)
        await pilot.press("end", "a")
        await until(lambda: len(session.forwards) == 4)  # the one that is UDP is left out
        targets = sorted(str(one.spec.target) for one in session.forwards.values())
        assert targets == [
            "shop/pod/web-1:http", "shop/pod/web-2:http", "shop/pod/web-3:http",
            "shop/pod/web-3:metrics",
        ]  # fmt: skip


async def test_the_filter_narrows_while_one_types_and_forwards_have_their_own() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1", "web-3")
        await pilot.press("slash", *"web-3")
        await until(lambda: "web-1" not in screen_text(app))
        await shows(app, "/web-3 (1)")
        await pilot.press("escape", "slash", *"shop", "slash", *"web-3")
        await shows(app, "/shop/web-3 (1)")
        await pilot.press("enter", "1")
        await until(lambda: session.forwards)
        assert session.forwards["f1"].spec.target.name == "web-3"
        await pilot.press("escape")
        await shows(app, "web-1")
        app.dashboard.query_one("#forwards").focus()
        await pilot.press("slash", *"status:blocked", "enter")
        await shows(app, "forwards · /status:blocked", "No forward matches the filter")
        await pilot.press("escape")
        await shows(app, "● ready")


async def test_the_filter_takes_the_place_of_the_keys_while_one_types() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1", "q Quit")
        panes = {widget: widget.region for widget in app.dashboard.query(RowTable)}
        await pilot.press("slash", *"web-3")
        await shows(app, "/web-3 (1)", "enter keep")
        assert "q Quit" not in screen_text(app)
        assert {widget: widget.region for widget in app.dashboard.query(RowTable)} == panes
        # Who clicks elsewhere is done typing; what was typed stays.
        await pilot.click("#forwards")
        await shows(app, "/web-3 (1)", "q Quit")
        assert app.focused is app.dashboard.query_one("#forwards")
        # It is not in the way of the tab key.
        passed = []
        for _ in range(4):
            await pilot.press("tab")
            passed.append(getattr(app.focused, "id", None))
        assert passed == ["connections", "browse", "ports", "forwards"]
        # Another window may be looked at meanwhile.
        await pilot.press("slash", *"stat")
        app.post_message(events.AppBlur())
        await until(lambda: app.focused is None)
        app.post_message(events.AppFocus())
        await until(lambda: app.focused is not None)
        await pilot.press(*"us")
        await shows(app, "filter forwards /status", "No active forwards")


async def test_views_sorts_and_stars() -> None:
    session = shop()
    service = Service(namespace="shop", name="front", ports=(DeclaredPort(number=80, name="http"),))
    session.views[SHOP] = msgspec.structs.replace(session.views[SHOP], services=(service,))
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "workloads of shop")
        await pilot.press("down", "asterisk")
        await until(lambda: "★ web-2" in screen_text(app).split("web-1")[0])
        await pilot.press("t")
        await shows(app, "pods of shop")
        await pilot.press("s")
        await shows(app, "problems first")
        await pilot.press("t")
        await shows(app, "services of shop", "svc/front")
        await pilot.press("1")
        await until(lambda: session.forwards)
        assert session.forwards["f1"].spec.target.kind is TargetKind.SERVICE


async def test_copy_puts_the_address_into_the_clipboard() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("y")
        await until(lambda: app.clipboard == "http://127.0.0.1:8081/")
        await shows(app, "Copied http://127.0.0.1:8081/")


async def test_open_shows_it_in_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def browse(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr("webbrowser.open", browse)
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("o")
        await until(lambda: opened == ["http://127.0.0.1:8081/"])


async def test_a_pasted_line_becomes_a_forward() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        app.post_message(events.Paste("kubectl port-forward -n data sts/db 5432\n"))
        await until(lambda: session.forwards)
        assert str(session.forwards["f1"].spec.target) == "data/sts/db:5432"
        app.post_message(events.Paste("nothing of the kind"))
        app.post_message(events.Paste("kubectl port-forward svc/web nonsense!"))
        await until(lambda: isinstance(app.screen, PasteDialog))
        await shows(app, "✗", "nonsense!")
        await pilot.press("escape", "v")
        await until(lambda: isinstance(app.screen, PasteDialog))
        await pilot.press(*"k port-forward web-1 :80")
        await shows(app, "✓ shop/pod/web-1:80", "any free local port")
        await pilot.press("enter")
        await until(lambda: len(session.forwards) == 2)


async def test_another_context_without_restarting() -> None:
    session = shop()
    there = CatalogScope("there", "ops")
    session.context_list = (
        Context(name="here", cluster="c1", namespace="shop", current=True),
        Context(name="there", cluster="c2", namespace="ops"),
    )
    session.views[there] = view(pod("metrics-1", namespace="ops"), scope=there)
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1", "c")
        await until(lambda: isinstance(app.screen, Picker))
        await pilot.press(*"ther", "enter")
        await shows(app, "there ▾", "ns: ops", "metrics-1", "shop/web-1:http", "● ready")
        await pilot.press("1")
        await until(lambda: len(session.forwards) == 2)
        assert session.forwards["f2"].spec.target.context == "there"


async def test_groups_can_be_folded_and_sorted() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1", "down", "1")
        await until(lambda: len(session.forwards) == 2)
        app.dashboard.query_one("#forwards").focus()
        await pilot.press("b")
        await shows(app, "grouped by namespace", "▾ shop · 2 forwards")
        await pilot.press("home", "enter")
        await shows(app, "▸ shop · 2 forwards")
        assert "shop/web-2:http" not in screen_text(app).split("forwards · grouped")[1]
        await pilot.press("x")  # all of the group
        await until(lambda: not session.forwards)


async def test_the_palette_offers_what_works_now() -> None:
    session = shop()
    async with running(session, (120, 40)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("ctrl+p", *"stop shop/pod")
        await shows(app, "Stop shop/pod/web-1:http")
        await pilot.press("enter")
        await until(lambda: not session.forwards)


async def test_the_mouse_reaches_everything() -> None:
    session = shop()
    async with running(session, (120, 40)) as (app, pilot):
        await shows(app, "web-1", "q Quit")
        # On a row, the right button: what can be done with it, also without a key that is shown.
        await pilot.click("#browse", offset=(6, 3), button=3)
        await until(lambda: isinstance(app.screen, CommandPalette))
        await pilot.press(*"favorites, which", "enter")
        await shows(app, "★")
        await until(lambda: app.screen is app.dashboard)
        await pilot.click("#ports", offset=(6, 2), times=2)
        await until(lambda: session.forwards)
        await shows(app, "● ready")
        await pilot.click("#forwards", offset=(6, 2), times=2)
        await until(lambda: isinstance(app.screen, DetailScreen))
        await pilot.press("escape")
        for column, screen in (
            ("tui-forward", CommandPalette), ("here ▾", Picker), ("ns: ", Picker),
        ):  # fmt: skip
            await until(lambda: app.screen is app.dashboard)
            await pilot.click("#header", offset=(screen_text(app).index(column) + 1, 0))
            await until(lambda screen=screen: isinstance(app.screen, screen))  # type: ignore[misc]
            await pilot.press("escape")


async def test_a_blocked_forward_is_told_once_with_its_hint() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        session.change("f1", ForwardState.BLOCKED, "the token has expired", hint="log in again")
        await shows(app, "blocked: the token has expired")
        await until(lambda: len(app._notifications) == 1)


async def test_every_key_of_every_screen_has_an_id_and_says_what_it_does() -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        owners = (type(app), Dashboard, DetailScreen, RowTable, FilterBar, Picker, PasteDialog,
                  ForwardForm,
                  HelpScreen, QuitScreen)  # fmt: skip
        for owner in owners:
            for binding in owner.BINDINGS:
                assert isinstance(binding, Binding)
                assert binding.id, binding
                assert binding.tooltip, binding
        ids = [b.id for owner in owners for b in owner.BINDINGS if isinstance(b, Binding)]
        assert len(ids) == len(set(ids))
        app.set_keymap({"forwards.stop": "ctrl+x"})
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("x")
        await pilot.press("ctrl+x")
        await until(lambda: not session.forwards)


async def test_zoom_and_back() -> None:
    async with running(shop(), (120, 34)) as (app, pilot):
        await shows(app, "web-1", "No active forwards")
        await pilot.press("z")
        await until(lambda: "No active forwards" not in screen_text(app))
        await pilot.press("escape")
        await shows(app, "No active forwards")


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (200, 60)])
async def test_everything_about_a_forward(size: tuple[int, int]) -> None:
    session = shop()
    session.timeline_entries = tuple(
        TimelineEntry(at=1e9 + place, kind=TimelineKind.STATE, text=f"event {place}")
        for place in range(50)
    )
    async with running(session, size) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        session.connection_list = [connection(1)]
        await pilot.press("d")
        await shows(app, "shop/web-1:http", "event 49", "127.0.0.1:50001", "API server", "runtime")
        counters = Counters(bytes_from_pod=2_000_000, connections_total=3)
        session.update("f1", counters=counters)
        await shows(app, "3 connections")
        if size[1] >= 24:
            await shows(app, "↓ 2.0 MB")
            await until(lambda: "MB/s" in screen_text(app))  # the chart's scale
        await pilot.press("end")
        await shows(app, "event 0")
        await pilot.press("tab", "x")
        await until(lambda: ("close_connection", 1) in session.calls)
        await pilot.press("shift+tab", "r", "p", "x")
        await until(lambda: not session.forwards)
        await shows(app, "This forward was stopped")
        await pilot.press("r", "escape")
        await shows(app, "No active forwards")
        assert [call[0] for call in session.calls].count("reconnect") == 1


async def test_what_is_typed_at_once_behind_the_slash_is_no_command() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        # As from a fast typist, or a terminal that was busy: all in one piece.
        for key, character in (("slash", "/"), ("x", "x"), ("p", "p"), ("enter", "\r")):
            app.post_message(events.Key(key, character))
        await shows(app, "/xp (0)")
        assert list(session.forwards) == ["f1"]
        assert not [call for call in session.calls if call[0] in ("stop", "pause")]


async def test_settings_are_put_on_and_what_is_wrong_with_them_is_said(tmp_path: Path) -> None:
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
        await pilot.press("ctrl+p", *"theme: forward-ember", "enter")
        await until(lambda: app.theme == "forward-ember")
        await until(lambda: 'theme = "forward-ember"' in file.read_text())
        assert '"forwards.stop" = "ctrl+x"' in file.read_text()


async def test_an_edit_of_the_settings_counts_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_forward.tui.controllers.settings_controller.CHECK_INTERVAL_S", 0.02)
    file = tmp_path / "settings.toml"
    async with running(shop(), (120, 34), files=DashboardPaths(settings=file)) as (app, pilot):
        await shows(app, "web-1")
        put(file, 'theme = "forward-light"\n[keys]\n"app.help" = "f2"\n')
        await until(lambda: app.theme == "forward-light")
        await shows(app, "Settings reloaded")
        await pilot.press("f2")
        await until(lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("escape")
        put(file, 'theme = "forward-dark"\nkeep_running = "sometimes"\n')
        await shows(
            app, "Settings not changed", "settings.toml, line 2: keep_running is not one of"
        )
        assert app.theme == "forward-light"
        put(file, 'theme = "no-such"\n')
        await shows(app, "there is no theme 'no-such'")
        assert app.theme == "forward-light"


async def test_settings_of_forwards_count_for_those_begun_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_forward.tui.controllers.settings_controller.CHECK_INTERVAL_S", 0.02)
    file = tmp_path / "settings.toml"
    file.write_text('queue_timeout = "1m"\n')
    session = shop()

    def begun(forward_id: str) -> ForwardDefaults:
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
        assert begun("f1") == ForwardDefaults(queue_timeout_s=60.0)
        put(file, 'address = "0.0.0.0"\nqueue_timeout = 7\nhalf_close_timeout = "500ms"\n')
        await shows(app, "Settings reloaded")
        put(file, 'address = "nowhere"\nqueue_timeout = 8\n')
        await shows(app, "Settings not changed", "settings.toml, line 1: address: ")
        assert begun("f1") == ForwardDefaults(queue_timeout_s=60.0)
        # By a digit.
        edited = ForwardDefaults(
            addresses=("0.0.0.0",), queue_timeout_s=7.0, half_close_timeout_s=0.5
        )
        await pilot.press("2")
        await until(lambda: "f2" in session.forwards)
        assert begun("f2") == edited
        # By the form; what is emptied there is what the settings say.
        await pilot.press("f")
        await until(lambda: isinstance(app.screen, ForwardForm))
        await shows(app, "! reachable from other machines", "--address 0.0.0.0 --queue-timeout")
        await pilot.press("tab", "tab", "backspace", "5", "tab", *["backspace"] * 3, "enter")
        await until(lambda: "f3" in session.forwards)
        assert begun("f3") == msgspec.structs.replace(edited, queue_timeout_s=5.0)
        # By a line, in the dialog and pasted; what it says itself counts.
        await pilot.press("v", *"pod/web-2 9000:http")
        await shows(app, "on 0.0.0.0")
        await pilot.press("enter")
        await until(lambda: "f4" in session.forwards)
        assert begun("f4") == edited
        line = "kubectl port-forward --address ::1 web-3 8080"
        app.post_message(events.Paste(line))
        await until(lambda: "f5" in session.forwards)
        assert begun("f5") == msgspec.structs.replace(edited, addresses=("::1",))


async def test_how_often_it_is_looked_can_be_changed_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_forward.tui.controllers.settings_controller.CHECK_INTERVAL_S", 0.02)
    file = tmp_path / "settings.toml"
    file.write_text("refresh = 5\n")
    session = shop()
    async with running(session, (120, 34), files=DashboardPaths(settings=file)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        put(file, "refresh = 0.1\n")
        await shows(app, "Settings reloaded")
        for megabytes in (11, 22, 33):
            session.update("f1", counters=Counters(rate_from_pod=megabytes * 1e6))
            async with asyncio.timeout(3):
                await shows(app, f"{megabytes}.0 MB/s")


async def test_what_is_told_unasked_can_be_changed_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_forward.tui.controllers.settings_controller.CHECK_INTERVAL_S", 0.02)
    file = tmp_path / "settings.toml"
    file.write_text('notifications = "none"\n')
    session = shop()
    async with running(session, (120, 44), files=DashboardPaths(settings=file)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        session.change("f1", ForwardState.BLOCKED, "401", "log in again")
        await shows(app, "■ blocked")
        # An answer to a key of the person's own is told in any case.
        await pilot.press("W")
        await shows(app, "Profiles are not available")
        assert told(app) == ["Profiles are not available"]
        session.change("f1", ForwardState.READY)
        await shows(app, "● ready")
        put(file, 'notifications = "problems"\n')
        await shows(app, "Settings reloaded")
        session.change("f1", ForwardState.BLOCKED, "403", "ask for it")
        await shows(app, "blocked: 403", "ask for it")
        session.change("f1", ForwardState.READY)
        await shows(app, "● ready")
        assert not any("ready again" in text for text in told(app))


def told(app: TuiForwardApp) -> list[str]:
    return [notification.message for notification in app._notifications]


def put(file: Path, text: str) -> None:
    file.write_text(text)


async def test_favourites_outlive_the_program(tmp_path: Path) -> None:
    files = DashboardPaths(favorites=tmp_path / "browse.json")
    async with running(shop(), files=files) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("end", "asterisk")
        await shows(app, "★ web-3")
    async with running(shop(), files=files) as (app, _):
        await until(lambda: "★ web-3" in screen_text(app).split("web-1")[0])


async def test_the_engine_s_log_can_be_read(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("2026-01-01 10:00:00,000 INFO tui_forward: engine 4211 serves\n")
    async with running(shop(), files=DashboardPaths(log=log)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("ctrl+l")
        await shows(app, "engine 4211 serves")
        await pilot.press("escape")
        await shows(app, "web-1")


async def test_the_broken_station_is_marked_and_the_pod_s_log_is_one_key_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tui_forward.tui.controllers.detail_controller.HOPS_INTERVAL_S", 0.05)
    monkeypatch.setattr("tui_forward.tui.controllers.detail_controller.LOG_INTERVAL_S", 0.05)
    session = shop()
    async with running(session, (120, 40)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("d")
        await shows(app, "○ kubelet")
        bad = Hop(kind=HopKind.POD, name="web-1", state=HopState.BROKEN, error="gone", hint="wait")
        session.hop_list = (bad,)
        await shows(app, "✗ pod", "✗ pod: gone", "→ wait")
        session.log = PodLog(
            pod="web-1", container="web", containers=("web", "proxy"),
            lines=tuple(f"line {n}" for n in range(100)),
        )  # fmt: skip
        await pilot.press("l")
        await shows(app, "log of web-1 / web", "line 99")
        await pilot.press("c")
        await until(lambda: ("pod_log", "f1", "proxy", 200) in session.calls)
        session.log_error = ForwardError("there is no pod", hint="wait for one")
        await shows(app, "there is no pod → wait for one")
        session.log_error = None
        await shows(app, "line 99")
        await pilot.press("l")
        await shows(app, "connections")
        await pilot.press("escape")
        await shows(app, "workloads of shop")
        asked = len(session.calls)
        await pilot.pause(0.2)
        names = {call[0] for call in session.calls[asked:]}
        assert not names & {"hops", "pod_log"}


async def test_favourite_namespaces_and_contexts_come_first_and_are_keep_running(
    tmp_path: Path,
) -> None:
    session = shop()
    session.context_list = tuple(
        Context(name=name, cluster=name, current=name == "here") for name in ("here", "there")
    )
    files = DashboardPaths(favorites=tmp_path / "browse.json")
    async with running(session, (100, 30), files=files) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("n", *"kube", "ctrl+s", "escape")
        await pilot.press("c", *"there", "ctrl+s", "escape")
    async with running(session, (100, 30), files=files) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("n")
        await shows(app, "★ kube-system")
        text = screen_text(app)
        assert text.index("kube-system") < text.index("default")
        await pilot.press("escape", "c")
        await shows(app, "★ there")
        text = screen_text(app)
        assert text.index("★ there") < text.index("cluster here")


async def test_a_change_of_state_does_not_wait_for_the_next_sample() -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        app._sampler.set_interval(60.0)
        await pilot.press("1")
        await shows(app, "● ready")
        session.change("f1", ForwardState.RECONNECTING, "pod web-1 was deleted")
        await shows(app, "◐ reconnecting", "pod web-1 was deleted")
