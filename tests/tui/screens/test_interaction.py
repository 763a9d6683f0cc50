"""What each key of the dashboard does, in the scene of `tests.support.fleet`."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from textual import events
from textual.binding import Binding, BindingType
from textual.pilot import Pilot

from tests.cli.fake_session import until
from tests.support import fleet
from tests.tui.app_harness import notifications, running, screen_text, shows
from tests.tui.samples import shop
from tui_forward.model import Counters, ForwardState
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.keys.dashboard_keys import (
    CLUSTER_BINDINGS,
    CONNECTION_BINDINGS,
    DASHBOARD_BINDINGS,
    FORWARD_BINDINGS,
    PORT_BINDINGS,
)
from tui_forward.tui.screens.confirmation import ConfirmationScreen
from tui_forward.tui.viewmodel.pane_layout import Pane
from tui_forward.tui.widgets.row_table import RowTable

# Words of the footer where space is short.
SHORT = {
    "Top talkers": "T Top",
    "All ports": "a All",
    "Forward…": "f Fo",
    "Next problem": "Problem",
}
Driver = tuple[TuiForwardApp, Pilot[None], fleet.FleetSession]


@asynccontextmanager
async def fleet_app(size: tuple[int, int] = (120, 36)) -> AsyncIterator[Driver]:
    session = fleet.fleet()
    async with running(session, size, context=fleet.STAGING, clock=lambda: fleet.NOW) as (
        app, pilot,
    ):  # fmt: skip
        await until(lambda: len(app.dashboard.tables.forwards.keys) == 14)
        await until(lambda: app.dashboard.tables.entries.keys)
        yield app, pilot, session


def last_lines(app: TuiForwardApp) -> tuple[str, str]:
    first, second = screen_text(app).splitlines()[-2:]
    return first, second


def is_visible(table: RowTable, key: str | None) -> bool:
    """Return whether a row is on the screen."""
    return key in {drawn.key for _, drawn in table.drawn_lines()}


def words(bindings: Sequence[BindingType]) -> set[str]:
    return {one.description for one in bindings if isinstance(one, Binding) and one.show}


async def test_footer_of_each_pane_has_its_keys() -> None:
    shared = words(DASHBOARD_BINDINGS) - {"Extend", "Reverse", "Select all", "All namespaces"}
    on_forwards = {"Details", "Copy", "Open", "Logs", "Pause", "Reconnect", "Edit", "Stop"}
    view = {"Sort", "Filter", "Select", "Zoom", "Size", "Top talkers"}
    expected = {
        Pane.CLUSTER: words(CLUSTER_BINDINGS) | (on_forwards - {"Details"}) | view,
        Pane.PORTS: words(PORT_BINDINGS) | on_forwards | {"Select", "Zoom"},
        Pane.FORWARDS: words(FORWARD_BINDINGS) | on_forwards | view | {"Copy command"},
        # Closed connections of one forward are shown.
        Pane.CONNECTIONS: (words(CONNECTION_BINDINGS) - {"Show closed"})
        | view
        | {"Go to forward", "Hide closed"},
    }
    assert shared <= on_forwards | view | {"Copy command", "Next problem"}
    async with fleet_app((120, 36)) as (app, pilot, session):
        for forward_id in session.forwards:  # without the key to log in
            session.update(forward_id, blocked_by=None)
        await app.sample()
        for pane in Pane:
            app.dashboard.body.focus_pane(pane)
            await pilot.pause()
            await pilot.pause()
            text = "\n".join(last_lines(app))
            missing = {word for word in expected[pane] if SHORT.get(word, word) not in text}
            assert not missing, f"{pane}: {missing} not in\n{text}"
            assert text.rstrip().endswith(": Jump  ? Help  q Quit")
        await pilot.resize_terminal(80, 24)
        for pane in (Pane.FORWARDS, Pane.CONNECTIONS, Pane.CLUSTER):
            app.dashboard.body.focus_pane(pane)
            await pilot.pause()
            await pilot.pause()
            text = "\n".join(last_lines(app))
            rows = on_forwards if pane is not Pane.CONNECTIONS else {"Close", "Details", "Logs"}
            if pane is Pane.CLUSTER:
                rows = (rows - {"Details"}) | {
                    "Describe",
                    "Start",
                    "All ports",
                    "Forward…",
                    "Favorite",
                }
            assert not {word for word in rows if SHORT.get(word, word) not in text}, text
            assert text.rstrip().endswith(": Jump  ? Help  q Quit")


async def test_heights_of_forwards_do_not_depend_on_the_focus_and_counts_are_true() -> None:
    async with fleet_app((120, 36)) as (app, pilot, session):
        heights = set()
        for pane in Pane:
            app.dashboard.body.focus_pane(pane)
            await pilot.pause()
            heights.add(app.dashboard.tables.forwards.outer_size.height)
        assert heights == {16}
        await shows(app, "14 forwards: ■2 ◐1 ◔1 ●9 ‖1")
        # A filter hides a forward with a problem: the header counts it, the title says so.
        app.dashboard.body.focus_pane(Pane.FORWARDS)
        await pilot.press("slash", *"status:ready", "enter")
        await shows(app, "14 forwards: ■2 ◐1 ◔1 ●9 ‖1", "/9 of 14")
        await pilot.press("exclamation_mark")
        await shows(app, "No problem matches the filter. esc clears it.")
        await pilot.press("escape", "enter")  # details have the same header
        await until(lambda: app.screen is not app.dashboard)
        await shows(app, "14 forwards: ■2 ◐1 ◔1 ●9 ‖1")
        session.update(next(iter(session.forwards)), paused=True)
        await shows(app, "■1", "‖2")
        for key, pane in (("l", Pane.FORWARDS), ("d", Pane.CLUSTER)):  # a log, a description
            await pilot.press("escape")
            await until(lambda: app.screen is app.dashboard)
            app.dashboard.body.focus_pane(pane)
            await pilot.press(key)
            await until(lambda: app.screen is not app.dashboard)
            await shows(app, "14 forwards: ■1", "‖2", "Search")


async def test_click_on_a_state_in_the_header_filters() -> None:
    async with fleet_app((120, 36)) as (app, pilot, _):
        await shows(app, "14 forwards: ■2 ◐1 ◔1 ●9 ‖1")
        for text, title in (("■2", "/status:blocked"), ("‖1", "/status:paused")):
            await pilot.click("HeaderBar", offset=(screen_text(app).index(text), 0))
            await shows(app, f"forwards · {title}")
            assert app.dashboard.body.focused_pane is Pane.FORWARDS
        await pilot.click("HeaderBar", offset=(screen_text(app).index("14 forwards"), 0))
        await until(lambda: "/status:" not in screen_text(app))


async def test_problems_scrolled_out_are_counted_in_the_title() -> None:
    async with fleet_app((80, 24)) as (app, pilot, _):
        app.dashboard.body.focus_pane(Pane.FORWARDS)
        await pilot.press("end")
        app.dashboard.body.focus_pane(Pane.CLUSTER)
        await shows(app, "▲ 4 problems above", "14/14")
        await pilot.press("exclamation_mark")
        assert app.dashboard.body.focused_pane is Pane.FORWARDS
        first = app.dashboard.tables.forwards.cursor
        assert first == app.dashboard.tables.forwards.keys[0]
        await pilot.press("exclamation_mark")
        assert app.dashboard.tables.forwards.cursor == app.dashboard.tables.forwards.keys[1]


async def test_new_forward_is_visible_and_under_the_cursor_of_the_forwards() -> None:
    async with fleet_app((120, 36)) as (app, pilot, session):
        row = app.dashboard.tables.entries.cursor
        await pilot.press("2")
        await until(lambda: len(session.forwards) == 15)
        new = next(reversed(session.forwards))
        table = app.dashboard.tables.forwards
        await until(lambda: table.cursor == new and is_visible(table, new))
        assert app.focused is app.dashboard.tables.entries
        assert app.dashboard.tables.entries.cursor == row


@pytest.mark.parametrize("pane", Pane)
async def test_keys_without_a_target_answer(pane: Pane) -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        bindings = {
            Pane.CLUSTER: CLUSTER_BINDINGS, Pane.PORTS: PORT_BINDINGS,
            Pane.FORWARDS: FORWARD_BINDINGS, Pane.CONNECTIONS: CONNECTION_BINDINGS,
        }  # fmt: skip
        expected = {
            Pane.CLUSTER: {
                **dict.fromkeys("xyopre", "web-1 has no active forward. 1 starts one."),
                "9": "web-1 has no port 9. f forwards any port.",
            },
            Pane.PORTS: dict.fromkeys("xyopred", "http of web-1 is not active. enter starts it."),
            Pane.FORWARDS: dict.fromkeys(
                ["x", "y", "Y", "o", "p", "r", "e", "l", "d", "space", "enter"],
                "No active forwards. Select a row and press 1.",
            ),
            Pane.CONNECTIONS: {
                "x": "No open connection to close",
                **dict.fromkeys(["y", "l", "d", "enter"], "No connection to act on"),
            },
        }
        assert set(bindings) == set(expected)
        everywhere = {
            "u": "Nothing to undo", "exclamation_mark": "No problems",
            "W": "No active forwards to save. Select a row and press 1.",
        }  # fmt: skip
        app.dashboard.body.focus_pane(pane)
        for key, text in {**expected[pane], **everywhere}.items():
            app.clear_notifications()
            await pilot.press(key)
            await until(lambda text=text: text in notifications(app))  # type: ignore[misc]
        reads = ("timeline", "hops", "missing_permissions")
        assert not [call for call in session.calls if call[0] not in reads]


async def test_cursors_stay_on_their_rows_through_samples_zoom_and_resize() -> None:
    chance = random.Random(7)
    states = [state for state in ForwardState if state is not ForwardState.STOPPED]
    async with fleet_app((120, 36)) as (app, pilot, session):
        table = app.dashboard.tables.forwards
        app.dashboard.body.focus_pane(Pane.FORWARDS)
        await pilot.press("down", "down", "down", "down", "down", "down")
        cursor = table.cursor
        assert cursor is not None
        for number in range(60):
            if chance.random() < 0.1 and len(session.forwards) > 8:
                await session.stop(
                    chance.choice([one for one in session.forwards if one != cursor])
                )
            for forward_id in chance.sample(list(session.forwards), 3):
                session.update(
                    forward_id, state=chance.choice(states), reason="random",
                    short_reason="x" * chance.randint(1, 29), paused=chance.random() < 0.1,
                    counters=Counters(rate_from_pod=chance.random() * 10 ** chance.randint(0, 9)),
                )  # fmt: skip
            await app.sample()
            if number % 20 == 7:
                await pilot.press(chance.choice(["z", "escape"]))
            if number % 20 == 13:
                await pilot.resize_terminal(*chance.choice([(80, 24), (120, 36), (200, 60)]))
                await pilot.pause()
            assert table.cursor == cursor
            position = table.keys.index(cursor)
            first = table._lines.first(position)
            top = table.scroll_offset.y
            assert top <= first < top + max(1, table.size.height - int(table.has_head))
            if number % 5 == 0:
                await pilot.pause()
                assert is_visible(table, cursor)


async def test_stop_with_open_connections_asks_and_can_be_undone() -> None:
    async with fleet_app((120, 36)) as (app, pilot, session):
        app.dashboard.body.focus_pane(Pane.FORWARDS)
        await pilot.press("slash", *"api-gateway", "enter")
        await shows(app, "1/2 of 14")
        table = app.dashboard.tables.forwards
        chosen = table.current
        assert chosen is not None
        assert chosen.counters.connections_open == 3
        question = "Stop deploy/api-gateway:http? Closes 3 connections.  x Stop  esc Cancel"
        await pilot.press("x")
        await shows(app, question)
        assert table.current is chosen
        await pilot.press("escape")
        await until(lambda: app.screen is app.dashboard)
        await pilot.press("x")
        await until(lambda: isinstance(app.screen, ConfirmationScreen))
        await pilot.press("enter")
        await until(lambda: chosen.id not in session.forwards)
        await until(lambda: "Stopped deploy/api-gateway:http. u restores it." in notifications(app))
        await pilot.press("u")
        await until(lambda: len(session.forwards) == 14)
        await until(lambda: "deploy/api-gateway:http restored" in notifications(app))
        restored = next(reversed(session.forwards))
        await until(lambda: table.cursor == restored)
        assert session.forwards[restored].spec.local_port == 8080


async def test_selection_survives_a_filter_and_counts_hidden_rows() -> None:
    async with fleet_app((120, 36)) as (app, pilot, session):
        app.dashboard.body.focus_pane(Pane.FORWARDS)
        await pilot.press("end", "shift+up", "shift+up", "m")
        await shows(app, "3 selected  p Pause  r Reconnect  y Copy  x Stop  esc Clear")
        await pilot.press("slash", *"feature", "enter")
        await shows(app, "3 selected (2 hidden)", "1/1 of 14")
        await pilot.press("S", "r")
        await until(lambda: len([c for c in session.calls if c[0] == "reconnect"]) == 3)
        await pilot.press("escape")  # the selection
        await until(lambda: "selected" not in screen_text(app))
        await pilot.press("escape")  # the filter
        await shows(app, "/14")
        await pilot.press("M")
        await shows(app, "14 selected")
        await pilot.press("x")
        await shows(app, "Stop 14 forwards? Closes 11 connections.")
        await pilot.press("escape")
        await pilot.press("M")
        await until(lambda: "selected" not in screen_text(app))


async def test_start_that_ends_blocked_shows_one_notification() -> None:
    session = shop()

    def block(_session: object, forward_id: str) -> None:
        session.listen(forward_id, 8080)
        session.update(forward_id, short_reason="port used by java (48213)")
        session.change(forward_id, ForwardState.BLOCKED, "local port 8080 is taken by java (48213)")

    session.on_start = block
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "■ blocked")
        await until(lambda: notifications(app))
        for _ in range(5):
            await app.sample()
        assert notifications(app) == ["pod/web-1:http blocked: port used by java (48213)."]


async def test_ready_start_shows_its_address() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await until(lambda: notifications(app) == ["pod/web-1:http ready on 127.0.0.1:8081"])
        await pilot.press("a")
        await until(lambda: "pod/web-1:metrics ready on 127.0.0.1:8082" in notifications(app))


async def test_engine_restart_under_traffic_shows_no_negative_number() -> None:
    async with fleet_app((120, 36)) as (app, pilot, session):
        await pilot.press("T")
        for forward_id in session.forwards:
            session.update(forward_id, counters=Counters())
        session.connection_list = []
        for _ in range(3):
            await app.sample()
        await pilot.pause()
        assert not re.search(r"-\d", re.sub(r"[\w…]-\d", "", screen_text(app)))


async def test_pane_is_resized_by_keys_and_by_its_title() -> None:
    async with fleet_app((120, 36)) as (app, pilot, _):
        table = app.dashboard.query_one("#connections", RowTable)
        app.dashboard.body.focus_pane(Pane.CONNECTIONS)
        await pilot.pause()
        before = table.outer_size.height
        await pilot.press("plus")
        await until(lambda: table.outer_size.height == before + 2)
        title_y = table.region.y
        await pilot.mouse_down("#connections", offset=(3, 0))
        await pilot.hover("#forwards", offset=(3, 12))
        await pilot.mouse_up("#forwards", offset=(3, 12))
        await until(lambda: table.region.y < title_y)
        assert app.dashboard.body.stored_heights()["stacked"].keys() == {"connections"}
        await pilot.press("equals_sign")
        await until(lambda: table.outer_size.height == before)
        await pilot.press("z")
        await until(lambda: table.outer_size.height > 25)
        await pilot.press("escape")
        await until(lambda: table.outer_size.height == before)


async def wheel(pilot: Pilot[None], table: RowTable, by: int) -> None:
    """Turn the wheel over a table, down or up."""
    kind = events.MouseScrollDown if by > 0 else events.MouseScrollUp
    for _ in range(abs(by)):
        await pilot._post_mouse_events([kind], table, offset=(3, 2), button=0)


@pytest.mark.parametrize("key", ["down", "home"])
async def test_wheel_leaves_the_cursor_until_a_key(key: str) -> None:
    async with fleet_app((100, 24)) as (app, pilot, _):
        table = app.dashboard.tables.entries
        first = table.keys[0]
        await until(lambda: table.has_focus and table.cursor == first)
        await wheel(pilot, table, 9)
        await until(lambda: not is_visible(table, first))
        for _ in range(3):  # nor does a sample bring it back
            await app.sample()
        await pilot.pause()
        assert table.cursor == first
        assert not is_visible(table, first)
        await pilot.press(key)
        await until(lambda: is_visible(table, table.cursor))
        assert table.cursor == table.keys[1 if key == "down" else 0]


async def test_going_to_a_forward_ends_the_look_at_top_talkers() -> None:
    async with fleet_app() as (app, pilot, _):
        tables = app.dashboard.tables
        order = tables.connections.order
        await pilot.press("T")
        await shows(app, "connections of all forwards")
        await pilot.press("enter")  # to the forward of the busiest connection
        await shows(app, "connections of sts/postgres-primary:postgres")
        assert tables.forwards.current is not None
        assert tables.forwards.current.spec.target.name == "postgres-primary"
        assert tables.connections.order == order
        for keys in (["T", "exclamation_mark"], ["T", "colon", *"redis-c", "enter"]):
            await pilot.press(*keys)
            await until(lambda: not tables.connections.shows_all)
        # What is chosen with a stays.
        app.dashboard.body.focus_pane(Pane.CONNECTIONS)
        await pilot.press("a", "exclamation_mark")
        await until(lambda: app.dashboard.body.focused_pane is Pane.FORWARDS)
        await shows(app, "connections of all forwards")


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_all_targets_are_whole(size: tuple[int, int]) -> None:
    async with fleet_app(size) as (app, pilot, session):
        app.dashboard.body.focus_pane(Pane.FORWARDS)
        await pilot.pause()
        app.clear_notifications()
        await pilot.pause()
        for forward in session.forwards.values():
            target = forward.spec.target
            await shows(app, f"{target.kind.value}/{target.name}:{target.port}")
