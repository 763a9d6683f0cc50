from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Static

from tests.support.waiting import until
from tests.tui.app_harness import running, screen_text, shows
from tests.tui.samples import shop
from tui_forward.model import ForwardState
from tui_forward.tui.keys.key_names import bindings_of, default_keys
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.screens.engine_log import LogScreen
from tui_forward.tui.screens.help import (
    HelpEntry,
    HelpGroup,
    HelpScreen,
    Section,
    collect,
    filter_groups,
    groups,
)
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.themes import ThemedApp
from tui_forward.tui.viewmodel import pane_layout
from tui_forward.tui.viewmodel.rows import STATE_MARKS
from tui_forward.tui.widgets.entry_table import EntryTable
from tui_forward.tui.widgets.forward_table import ForwardTable
from tui_forward.tui.widgets.help_body import layout_lines
from tui_forward.tui.widgets.port_table import PortTable
from tui_forward.tui.widgets.row_table import RowTable


class Pane(Static, can_focus=True):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "end", "Stop", id="forwards.stop", tooltip="Stop [b]the[/b] forward"),
        *(
            Binding(str(n), f"nth({n})", "Port", id=f"ports.{n}", tooltip="Toggle the port")
            for n in range(1, 10)
        ),
    ]


class Hidden(Static):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "odd", "Odd", id="weird.odd", tooltip="A group without a title"),
        Binding("v", "nameless", "Without an id"),
    ]


class HelpedScreen(Screen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="browse.filter", tooltip="Search"),
    ]

    def compose(self) -> ComposeResult:
        yield Pane()
        yield Hidden()


class Helped(ThemedApp[None]):
    CSS_PATH = stylesheet("app.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "question_mark,f1", "help", "Help", id="app.help", key_display="?", tooltip="Open help"
        ),
    ]

    def on_mount(self) -> None:
        self.push_screen(HelpedScreen())

    def action_help(self) -> None:
        self.push_screen(HelpScreen().fill(collect(self, self.screen, also=[LogScreen])))


def lines(app: App[None]) -> list[str]:
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip) for strip in strips]


def text(app: App[None]) -> str:
    return "\n".join(lines(app))


@asynccontextmanager
async def helped(size: tuple[int, int] = (80, 24)) -> AsyncIterator[tuple[Helped, Pilot[None]]]:
    app = Helped()
    app.set_keymap({"forwards.stop": "ctrl+x,delete", "ports.9": "f9"})
    async with app.run_test(size=size) as pilot:
        await until(lambda: isinstance(app.screen, HelpedScreen))
        await pilot.press("question_mark")
        await until(lambda: isinstance(app.screen, HelpScreen) and "Global" in text(app))
        yield app, pilot


def by_title(found: Sequence[Section]) -> dict[str, dict[str, str]]:
    return {title: {words: keys for keys, words in pairs} for title, pairs in found}


async def test_collected_help_uses_the_keymap() -> None:
    async with helped() as (app, pilot):
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, HelpedScreen))
        found = by_title(collect(app, app.screen, also=[LogScreen]))
        assert found["Global"] == {"Open help": "? f1"}
        assert found["Forwards"] == {"Stop [b]the[/b] forward": "ctrl+x del"}
        assert found["Ports"] == {"Toggle the port": "1-8 f9"}
        assert found["Weird"] == {"A group without a title": "w"}
        assert found["Engine log"]
        assert "Without an id" not in str(found)


def test_groups_are_ordered_and_ids_unique() -> None:
    bindings = [
        Binding("a", "a", "", id="forwards.a", tooltip="A"),
        Binding("b", "b", "B", id="app.b"),
        Binding("c", "c", "", id="forwards.a", tooltip="Again"),
        Binding("d", "d", "", id="forwards.silent"),
    ]
    found = groups(bindings)
    assert found[:2] == (
        HelpGroup("Global", (HelpEntry("b", "B"),)),
        HelpGroup("Forwards", (HelpEntry("a", "A"),)),
    )
    assert dict(found)["Action ids for settings.toml"] == (
        HelpEntry("a", "forwards.a"),
        HelpEntry("b", "app.b"),
    )
    assert [title for title, _ in found[2:]] == [
        "States",
        "Other marks",
        "Filter terms: all must match",
        "Mouse",
        "Action ids for settings.toml",
    ]


def test_every_state_has_an_explanation() -> None:
    states = dict(dict(groups([]))["States"])
    for state in ForwardState:
        assert states[f"{STATE_MARKS[state][0]} {state.value}"]
    assert "‖ paused" in states


def test_every_filter_term_is_explained() -> None:
    language = str(dict(groups([]))["Filter terms: all must match"])
    for term in ("ns:", "label:", "port:", "node:", "status:", "kind:", "!", '"'):
        assert term in language


def test_every_key_is_in_a_named_group() -> None:
    owners = [Dashboard, EntryTable, PortTable, ForwardTable, RowTable, LogScreen, HelpScreen]
    bindings = [binding for owner in owners for binding in bindings_of(owner)]
    shown = groups(bindings)
    words = {entry.words for group in shown for entry in group.entries}
    for binding in bindings:
        if binding.id is not None:
            assert (binding.tooltip or binding.description) in words
    known = default_keys(owners)
    assert known["forwards.stop"] == "x"
    titles = {group.title for group in shown}
    assert {"Forwards", "Ports", "Tables", "Help"} <= titles
    assert not titles & {name.partition(".")[0].capitalize() for name in known} - {
        "Cluster",
        "Ports",
        "Forwards",
        "Connections",
        "Panes",
        "Help",
    }


def test_filter_keeps_lines_with_every_word() -> None:
    found = groups([Binding("x", "x", "", id="forwards.x", tooltip="Stop the forward")])
    assert filter_groups(found, "  ") == found
    assert filter_groups(found, "STOP forw") == (
        HelpGroup("Forwards", (HelpEntry("x", "Stop the forward"),)),
    )
    assert [title for title, _ in filter_groups(found, "states")] == ["States"]
    assert filter_groups(found, "zebra") == ()


@pytest.mark.parametrize("width", [44, 60, 80, 103, 104, 146, 250])
def test_layout_keeps_all_words_within_the_width(width: int) -> None:
    made = groups(binding for owner in (Dashboard, LogScreen) for binding in bindings_of(owner))
    rows = ["".join(cell.text for cell in line) for line in layout_lines(made, width)]
    assert all(len(row) <= width for row in rows)
    together = " ".join(" ".join(rows).split())
    for group in made:
        assert group.title.split()[0] in together
        for entry in group.entries:
            assert all(word in together for word in entry.words.split())
    one_column = len(layout_lines(made, 87))
    if width >= 104:
        assert len(rows) < one_column * 0.75


def test_first_groups_are_side_by_side_above_the_others() -> None:
    made = [
        (title, [("k", f"{title} {n}") for n in range(lines)])
        for title, lines in (("Row", 4), ("Pane", 3), ("States", 5), ("Other", 9), ("Last", 9))
    ]
    rows = ["".join(cell.text for cell in line) for line in layout_lines(made, 92, 3)]
    assert [rows[0].split(), rows[6].split()] == [["Row", "States"], ["Pane"]]
    after = rows.index(next(row for row in rows if "Other" in row))
    assert after == 11, "after the higher one of the two columns, and an empty line"
    assert "Last" in rows[after]
    assert layout_lines(made, 80, 3) == layout_lines(made, 80), "one column has one order"


def test_long_keys_get_their_own_line() -> None:
    rows = [
        "".join(cell.text for cell in line).rstrip()
        for line in layout_lines([("T", [("a" * 30, "words"), ("b", "more")])], 60)
    ]
    assert rows == ["T", "  " + "a" * 30, " " * 26 + "words", "  b" + " " * 23 + "more"]


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (200, 60)])
async def test_help_scrolls_to_the_end(size: tuple[int, int]) -> None:
    async with helped(size) as (app, pilot):
        await until(lambda: "Stop [b]the[/b] forward" in text(app))
        await pilot.press("end")
        await until(lambda: "log." in text(app))
        await pilot.press("home")
        await until(lambda: "Global" in text(app))
        await pilot.press("pagedown", "up")
        assert isinstance(app.screen, HelpScreen)


async def test_wide_terminal_gets_two_columns() -> None:
    async with helped((160, 50)) as (app, pilot):
        titles = [line for line in lines(app) if "Global" in line]
        assert titles
        assert any(
            "Mouse" in line or "States" in line or "filter" in line.lower()
            for line in lines(app)[:30]
        )
        await pilot.resize_terminal(80, 50)
        await until(
            lambda: all(
                len(line.split("Global")[-1].strip(" │▊▎▁▔")) <= 1
                for line in lines(app)
                if "Global" in line
            )
        )


async def test_escape_clears_the_search_then_closes() -> None:
    async with helped() as (app, pilot):
        await pilot.press(*"wheel")
        await until(lambda: "Global" not in text(app) and "scroll" in text(app))
        await pilot.press(*"zzz")
        await until(lambda: "No match for “wheelzzz”" in text(app))
        await pilot.press("escape")
        await until(lambda: "Global" in text(app))
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, HelpedScreen))


async def test_keys_close_the_help() -> None:
    async with helped() as (app, pilot):
        for key in ("question_mark", "f1", "enter", "escape"):
            await until(lambda: isinstance(app.screen, HelpScreen))
            await pilot.press(key)
            await until(lambda: isinstance(app.screen, HelpedScreen))
            await pilot.press("question_mark")


async def test_scroll_action_scrolls_the_body() -> None:
    async with helped((60, 20)) as (app, _pilot):
        body = app.screen.query_one("HelpBody")
        body.action_scroll_down()
        await until(lambda: body.scroll_offset.y > 0)


async def test_help_starts_with_the_focused_pane_and_enter_presses_a_key() -> None:
    session = shop()
    async with running(session, (120, 36)) as (app, pilot):
        await shows(app, "web-1")
        app.dashboard.body.focus_pane(pane_layout.Pane.FORWARDS)
        await pilot.press("question_mark")
        await shows(app, "Help: forwards pane", "This row", "Pause the forward", "This pane")
        shown = screen_text(app)
        assert shown.index("This row") < shown.index("This pane")
        await pilot.press(*"busiest", "enter")
        await shows(app, "connections of all forwards")
        assert app.dashboard.body.focused_pane is pane_layout.Pane.CONNECTIONS
        await pilot.press("question_mark")
        await shows(app, "Help: connections pane", "Close the connection")
