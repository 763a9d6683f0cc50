from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from textual import events
from textual._compositor import ChopsUpdate, Compositor, LayoutUpdate

from tests.cli.fake_session import until
from tests.support import fleet
from tests.tui.app_harness import running, screen_text, shows
from tests.tui.samples import SHOP, connection, pod, shop, view
from tui_forward.model import (
    ApiHealth,
    CatalogScope,
    Counters,
    DeclaredPort,
    ForwardState,
    OtherEngine,
    ResourceStatus,
    Service,
    Snapshot,
    TargetKind,
)
from tui_forward.tui.screens.forward_detail import DetailScreen
from tui_forward.tui.screens.palette import PaletteScreen
from tui_forward.tui.screens.picker import Picker
from tui_forward.tui.textual_internals import screens as frames
from tui_forward.tui.viewmodel.pane_layout import Pane
from tui_forward.tui.widgets.forward_table import ForwardTable
from tui_forward.tui.widgets.row_table import RowTable


async def test_small_screen_shows_all_panes() -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1", "http", "API ●", "No active forwards")
        await pilot.press("1")
        await shows(app, "● ready", ":8081", "→ :8081", "1 fwd: ●1", "0 conns")
        session.update(
            "f1",
            counters=Counters(
                rate_from_pod=1.2e6, connections_open=1, connections_total=1, bytes_from_pod=5
            ),
        )
        session.connection_list = [connection(1)]
        await shows(app, "1.2 MB/s", "psql (4211)", "web-1:http")


async def test_unforwardable_port_shows_the_reason() -> None:
    session = shop()
    async with running(session, (120, 30)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("3")
        await shows(app, "UDP cannot be forwarded")
        await pilot.press("7")
        await shows(app, "web-1 has no port 7. f forwards any port.")
        assert not session.forwards


async def test_space_enter_and_tab_reach_every_pane() -> None:
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
        await until(lambda: screen_text(app).count("psql (4211)") == 2)
        await pilot.press("tab", "x")
        await until(lambda: ("close_connection", 1) in session.calls)
        await pilot.press("shift+tab", "x")
        await until(lambda: ("stop", "f1") in session.calls)


async def test_missing_list_permission_shows_error_and_hints() -> None:
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


async def test_title_names_workloads_without_list_permission() -> None:
    session = shop()
    denied = (
        ResourceStatus(resource="deployments", error="you may not", forbidden=True),
        ResourceStatus(resource="services", error="you may not", forbidden=True),
        ResourceStatus(resource="jobs", error="the server is busy"),
    )
    session.views[SHOP] = msgspec.structs.replace(view(pod("web-1")), resources=denied)
    async with running(session, (140, 30)) as (app, pilot):
        await shows(
            app, "web-1", "[workloads] pods services · shop · no permission to list deployments ━"
        )
        await pilot.press("t")
        await shows(app, "workloads [pods] services · shop ━")


async def test_title_names_namespaces_without_list_permission() -> None:
    session = shop()
    scope = CatalogScope("here", "")
    refused = tuple(f"team-{number}" for number in range(5))
    statuses = (
        ResourceStatus(resource="namespaces", error="you may not", forbidden=True),
        ResourceStatus(resource="pods", synced=True, only_in=("shop",), forbidden_in=("ops",)),
        ResourceStatus(resource="services", synced=True, forbidden_in=refused),
        ResourceStatus(resource="jobs", synced=True, beyond_limit=("a", "b", "c")),
    )
    shown = view(pod("web-1"), scope=scope)
    session.views[scope] = msgspec.structs.replace(shown, resources=statuses)
    async with running(session, (180, 30), namespace="") as (app, pilot):
        text = "[workloads] pods services · all namespaces · too many namespaces: without a, b, c ━"
        await shows(app, "shop/web-1", text)
        await pilot.press("t")
        await shows(
            app, "[pods] services · all namespaces · only shop: no permission to list namespaces · "
            "no permission in ops ━",
        )  # fmt: skip
        await pilot.press("t")
        await shows(app, "No services · no permission in team-0, team-1 and 3 more")


async def test_unreachable_server_is_shown_in_the_header() -> None:
    session = shop()
    health = ApiHealth(context="here", ok=False, error="no route to 10.0.0.1", hint="VPN?")
    session.views[SHOP] = msgspec.structs.replace(view(), health=health, resources=())
    async with running(session, (120, 30)) as (app, _):
        await shows(app, "API ✗ no route to 10.0.0.1 → VPN?", "Loading pods")


async def test_states_are_shown_with_reasons() -> None:
    session = shop()
    async with running(session, (140, 40)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        session.change("f1", ForwardState.RECONNECTING, "pod web-1 was deleted")
        session.update("f1", retry_at=time.time() + 50, queued=2, short_reason="pod deleted")
        await shows(app, "◐ reconnecting", "pod web-1 was deleted", " s · 2 queued · pod deleted")


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 12), (20, 6)])
async def test_dashboard_fits_any_terminal_size(size: tuple[int, int]) -> None:
    session = shop()
    async with running(session, size) as (app, pilot):
        await until(lambda: "web" in screen_text(app) or size[0] < 80)
        await pilot.press("1", "question_mark", "escape")
        await until(lambda: session.forwards)
        await pilot.resize_terminal(80, 24)
        await shows(app, "web-1", "● ready")


async def test_action_applies_to_all_selected_rows() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-3")
        await pilot.press("m", "m")
        await shows(app, "2 selected", "✓", "esc Clear")
        await pilot.press("1")
        await until(lambda: len(session.forwards) == 2)
        await pilot.press("end", "a")
        await until(lambda: len(session.forwards) == 4)  # without the UDP port
        targets = sorted(str(one.spec.target) for one in session.forwards.values())
        assert targets == [
            "shop/pod/web-1:http", "shop/pod/web-2:http", "shop/pod/web-3:http",
            "shop/pod/web-3:metrics",
        ]  # fmt: skip


async def test_entries_and_forwards_have_separate_filters() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1", "web-3")
        await pilot.press("slash", *"web-3")
        await until(lambda: "web-1" not in screen_text(app))
        await shows(app, "/web-3", "1/1 of 3")
        await pilot.press("escape", "slash", *"shop", "slash", *"web-3")
        await shows(app, "/shop/web-3", "1/1 of 3")
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


async def test_filter_of_forwards_leaves_their_pane_as_high_as_it_was() -> None:
    session = shop()
    async with running(session, (100, 30)) as (app, pilot):
        await shows(app, "web-1", "web-3")
        await pilot.press("a")
        await until(lambda: session.forwards)
        for key in ("down", "a", "down", "a"):
            await pilot.press(key)
        await until(lambda: len(session.forwards) >= 3)
        await shows(app, *(one.spec.target.name for one in session.forwards.values()))
        forwards = app.dashboard.query_one("#forwards", ForwardTable)
        forwards.focus()
        await until(lambda: app.dashboard.body.focused_pane is Pane.FORWARDS)
        await pilot.pause()
        before = {widget: widget.region for widget in app.dashboard.query(RowTable)}
        for query in ("web-3", "nothing-like-it"):
            await pilot.press("slash", *query)
            await until(lambda: len(forwards.keys) < 3)
            for key in ("enter", "tab", "shift+tab", "escape"):
                await pilot.press(key)
            await until(lambda: len(forwards.keys) >= 3)
            await pilot.pause()
            assert {widget: widget.region for widget in app.dashboard.query(RowTable)} == before


async def test_filter_of_forwards_keeps_the_room_for_their_second_lines() -> None:
    session = shop()
    async with running(session, (100, 30)) as (app, pilot):
        await shows(app, "web-1", "web-3")
        for key in ("a", "down", "a", "down", "a"):
            await pilot.press(key)
        await until(lambda: len(session.forwards) >= 5)
        session.update("f2", state=ForwardState.BLOCKED, reason="no such port")
        forwards = app.dashboard.query_one("#forwards", ForwardTable)
        forwards.focus()
        await shows(app, "└ no such port")
        await until(lambda: forwards.region.height == 3 + len(forwards.keys))
        before = {widget: widget.region for widget in app.dashboard.query(RowTable)}
        await pilot.press("slash", *"!status:blocked")
        await until(lambda: "f2" not in forwards.keys)
        for _ in range(2):
            await app._sampler.wait_for_sample()
            await pilot.pause()
        assert {widget: widget.region for widget in app.dashboard.query(RowTable)} == before


async def test_filter_bar_replaces_the_key_bar_without_layout() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1", "q Quit")
        panes = {widget: widget.region for widget in app.dashboard.query(RowTable)}
        await pilot.press("slash", *"web-3")
        await shows(app, "/web-3", "1/1 of 3", "enter Keep")
        assert "q Quit" not in screen_text(app)
        assert {widget: widget.region for widget in app.dashboard.query(RowTable)} == panes
        # A click elsewhere closes the bar and keeps the filter.
        await pilot.click("#forwards")
        await shows(app, "/web-3", "1/1 of 3", "q Quit")
        assert app.focused is app.dashboard.query_one("#forwards")
        # Tab skips the closed bar.
        focused_ids = []
        for _ in range(4):
            await pilot.press("tab")
            focused_ids.append(getattr(app.focused, "id", None))
        assert focused_ids == ["connections", "browse", "ports", "forwards"]
        # The terminal may lose the focus meanwhile.
        await pilot.press("slash", *"stat")
        app.post_message(events.AppBlur())
        await until(lambda: app.focused is None)
        app.post_message(events.AppFocus())
        await until(lambda: app.focused is not None)
        await pilot.press(*"us")
        await shows(app, "filter forwards /status", "No active forwards")


async def test_view_sort_and_favorite_keys() -> None:
    session = shop()
    service = Service(namespace="shop", name="front", ports=(DeclaredPort(number=80, name="http"),))
    session.views[SHOP] = msgspec.structs.replace(session.views[SHOP], services=(service,))
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "[workloads]")
        await pilot.press("down", "asterisk")
        await shows(app, "★")
        await until(lambda: "web-2" in screen_text(app).split("web-1")[0])
        await pilot.press("t")
        await shows(app, "[pods]")
        await pilot.press("s")
        await shows(app, "sort by", "s status", "a age")
        await pilot.press("a")
        await shows(app, "age▼", "[pods]", "age · ")
        await pilot.press("S")
        await shows(app, "age▲")
        await pilot.press("s", "a")  # the default order after both directions
        await until(lambda: "age▼" not in screen_text(app) and "age▲" not in screen_text(app))
        await pilot.press("t")
        await shows(app, "[services]", "svc/front")
        await pilot.press("1")
        await until(lambda: session.forwards)
        assert session.forwards["f1"].spec.target.kind is TargetKind.SERVICE


async def test_groups_of_forwards_fold() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1", "down", "1")
        await shows(app, "2 forwards: ●2")
        app.dashboard.query_one("#forwards").focus()
        await pilot.press("b")
        await shows(app, "grouped by namespace", "▾ shop · 2 forwards")
        await pilot.press("home", "left")
        await shows(app, "▸ shop · 2 forwards")
        assert len(app.dashboard.tables.forwards.keys) == 1
        await pilot.press("right")
        await shows(app, "▾ shop · 2 forwards")
        await pilot.press("x")  # all of the group
        await shows(app, "Stop 2 forwards?  x Stop  esc Cancel")
        await pilot.press("enter")
        await until(lambda: not session.forwards)


async def test_mouse_reaches_rows_header_and_palette() -> None:
    session = shop()
    async with running(session, (120, 40)) as (app, pilot):
        await shows(app, "web-1", "q Quit")
        # The right button opens the palette.
        await pilot.click("#browse", offset=(6, 3), button=3)
        await until(lambda: isinstance(app.screen, PaletteScreen))
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
            ("tui-forward", PaletteScreen), ("here ▾", Picker), ("ns: ", Picker),
        ):  # fmt: skip
            await until(lambda: app.screen is app.dashboard)
            await pilot.click("HeaderBar", offset=(screen_text(app).index(column) + 1, 0))
            await until(lambda screen=screen: isinstance(app.screen, screen))  # type: ignore[misc]
            await pilot.press("escape")


async def test_forwards_of_another_engine_are_mentioned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = shop()
    snapshot = session.snapshot
    listed = ("prod shop/svc/web:80 9080", "prod shop/svc/\x1b[1mapi:80")
    others = (OtherEngine(pid=7, kubeconfig="/work/b\x1b.yaml", forwards=14, listed=listed),)

    async def with_others() -> Snapshot:
        return msgspec.structs.replace(await snapshot(), other_engines=others)

    monkeypatch.setattr(session, "snapshot", with_others)
    async with running(session, (120, 34)) as (app, pilot):
        await shows(
            app, "0 forwards (14 elsewhere)", "No active forwards",
            "14 forwards run with KUBECONFIG=/work/b .yaml.",
        )  # fmt: skip
        await pilot.press("1")
        await shows(app, "● ready", "1 forward (14 elsewhere)")
        await pilot.press("colon", *"fwd all")
        await shows(app, "go to the forwards; all: of other kubeconfigs")
        await pilot.press("enter")
        await shows(app, "14 forwards elsewhere", "prod shop/svc/web:80 9080", "… and 12 more")
        await pilot.press("escape")
        await until(lambda: app.screen is app.dashboard)


async def test_zoom_shows_one_pane_and_back_restores_all() -> None:
    async with running(shop(), (120, 34)) as (app, pilot):
        await shows(app, "web-1", "No active forwards")
        await pilot.press("z")
        await until(lambda: "No active forwards" not in screen_text(app))
        await pilot.press("escape")
        await shows(app, "No active forwards")


async def test_keys_typed_right_after_slash_go_to_the_filter() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        # All at once, like from a busy terminal.
        for key, character in (("slash", "/"), ("x", "x"), ("p", "p"), ("enter", "\r")):
            app.post_message(events.Key(key, character))
        await shows(app, "/xp", "0 of 3", "q Quit")  # Enter closes the filter
        assert list(session.forwards) == ["f1"]
        assert not [call for call in session.calls if call[0] in ("stop", "pause")]


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The cells of each update of the terminal."""
    cells: list[int] = []
    render = Compositor.render_update

    def record(*args: Any, **options: Any) -> Any:
        update = render(*args, **options)
        if isinstance(update, ChopsUpdate):
            cells.append(sum(end - start for _, start, end in update.spans))
        elif isinstance(update, LayoutUpdate):
            cells.append(update.region.area)
        return update

    monkeypatch.setattr(Compositor, "render_update", record)
    monkeypatch.setattr(frames, "_MAX_FRAME_DELAY_S", 60.0)
    return cells


async def test_screens_are_painted_once_when_they_open(painted: list[int]) -> None:
    width, height = 160, 48
    async with running(
        fleet.fleet(), (width, height), context=fleet.STAGING, clock=lambda: fleet.NOW
    ) as (app, pilot):
        await shows(app, "api-gateway", "14 forwards", "Quit")
        await pilot.pause()
        # The first sample may come after the first frame.
        assert sum(painted) < 2 * width * height, painted
        for key, text in (
            ("question_mark", "type to search"), ("f", "local port"), ("colon", "go to"),
        ):  # fmt: skip
            painted.clear()
            await pilot.press(key)
            await shows(app, text)
            await pilot.pause()
            # The rest is the list of the dashboard, and a cursor or a result in the dialog.
            assert sum(painted) < 2.5 * width * height, (key, painted)
            await pilot.press("escape")
            await until(lambda: app.screen is app.dashboard)


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 45), (200, 60)])
async def test_short_reconnect_of_several_forwards_moves_nothing(size: tuple[int, int]) -> None:
    session, now = fleet.fleet(), fleet.NOW
    async with running(session, size, context=fleet.STAGING, clock=lambda: now) as (app, _):
        await until(lambda: len(app.dashboard.tables.forwards.keys) == 14)
        app._sampler.set_interval(3600.0)  # samples are those of the test

        def places() -> object:
            tables = app.dashboard.tables
            regions = [one.region for one in (tables.entries, tables.forwards, tables.connections)]
            return regions, tables.forwards.keys, tables.forwards.content_lines

        await app.sample()
        before = places()
        ready = [one for one in session.forwards.values() if one.state is ForwardState.READY]
        for forward in ready[:4]:
            session.update(forward.id, state=ForwardState.RECONNECTING, since=now, reason="lost")
        await app.sample()
        assert places() == before
        now += 1.0
        await app.sample()
        assert places() == before
        for forward in ready[:4]:
            session.update(forward.id, state=ForwardState.READY, since=now, reason="")
        await app.sample()
        assert places() == before
