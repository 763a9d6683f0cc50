from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import process_time

import pytest
from textual.app import App
from textual.pilot import Pilot

from tests.support.waiting import until
from tui_forward.tui.screens.picker import Picker, rank_options
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.themes import ThemedApp
from tui_forward.tui.viewmodel.picker_options import PickerOption
from tui_forward.tui.widgets.row_table import RowTable

OPTIONS = (
    PickerOption("dev", "dev", "cluster a"),
    PickerOption("prod-eu", "prod-eu", "cluster b", current=True),
    PickerOption("prod-us", "prod-us", "cluster c", starred=True),
    PickerOption("[b]odd[/]", "[b]odd[/] \x1b[2J", "[/nope]"),
)


class PickerApp(ThemedApp[None]):
    CSS_PATH = stylesheet("app.tcss")

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[str | None] = []


def text(app: App[None]) -> str:
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


@asynccontextmanager
async def picking(
    make: Callable[[], Picker], size: tuple[int, int] = (80, 24)
) -> AsyncIterator[tuple[PickerApp, Pilot[None]]]:
    app = PickerApp()
    async with app.run_test(size=size) as pilot:
        picker = make()
        app.push_screen(picker, app.answers.append)
        await until(lambda: app.screen is picker and picker.is_mounted and picker._table.keys)
        await pilot.pause()
        yield app, pilot


def test_options_are_ranked_by_match() -> None:
    def texts(typed: str) -> list[str]:
        return [option.key for option in rank_options(OPTIONS, typed)]

    assert texts("") == [option.key for option in OPTIONS]
    assert texts("prod") == ["prod-eu", "prod-us"]
    assert texts("PU") == ["prod-us", "prod-eu"]
    assert texts("us") == ["prod-us"]
    assert texts("zzz") == []
    best = rank_options(
        [PickerOption("1", "a-web"), PickerOption("2", "web"), PickerOption("3", "webhook")], "web"
    )
    assert [option.key for option in best] == ["2", "3", "1"]


async def test_cursor_starts_at_the_current_option() -> None:
    async with picking(lambda: Picker().fill("context", OPTIONS)) as (app, pilot):
        assert "context" in text(app)
        assert "● " in text(app)
        await pilot.press("enter")
        await until(lambda: app.answers == ["prod-eu"])


async def test_typing_selects_the_best_match() -> None:
    async with picking(lambda: Picker().fill("context", OPTIONS)) as (app, pilot):
        await pilot.press(*"us")
        await until(lambda: "dev" not in text(app))
        await pilot.press("enter")
        await until(lambda: app.answers == ["prod-us"])


async def test_arrow_keys_move_the_cursor_while_typing() -> None:
    async with picking(lambda: Picker().fill("context", OPTIONS)) as (app, pilot):
        await pilot.press(*"prod", "down", "enter")
        await until(lambda: app.answers == ["prod-us"])


async def test_escape_returns_none() -> None:
    async with picking(lambda: Picker().fill("context", OPTIONS)) as (app, pilot):
        await pilot.press(*"dev", "escape")
        await until(lambda: app.answers == [None])


async def test_click_chooses_an_option() -> None:
    async with picking(lambda: Picker().fill("context", OPTIONS)) as (app, pilot):
        await pilot.click(RowTable, offset=(6, 2))
        await until(lambda: app.answers == ["prod-us"])


async def test_enter_without_a_match_does_nothing() -> None:
    async with picking(lambda: Picker().fill("context", OPTIONS)) as (app, pilot):
        await pilot.press(*"zzz")
        await until(lambda: "No match" in text(app))
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Picker)
        assert not app.answers


async def test_typed_name_can_be_chosen() -> None:
    note = "No permission to list [b]namespaces: type a name"
    async with picking(lambda: Picker().fill("namespace", OPTIONS, free=True, note=note)) as (
        app,
        pilot,
    ):
        await until(lambda: note in text(app))
        await pilot.press(*" foo ")
        await until(lambda: "show namespace “foo”" in text(app))
        await pilot.press("enter")
        await until(lambda: app.answers == ["foo"])


async def test_typed_name_in_the_list_is_not_repeated() -> None:
    async with picking(lambda: Picker().fill("namespace", OPTIONS, free=True)) as (app, pilot):
        await pilot.press(*"dev")
        await pilot.pause()
        assert "show namespace" not in text(app)
        await pilot.press("backspace")
        await until(lambda: "show namespace “de”" in text(app))


async def test_markup_in_names_is_shown_as_text() -> None:
    async with picking(lambda: Picker().fill("context", OPTIONS)) as (app, _pilot):
        assert "[b]odd[/]  [2J" in text(app)
        assert "[/nope]" in text(app)


async def test_favorite_key_toggles_an_option() -> None:
    toggled: list[str] = []

    def make() -> Picker:
        return Picker().fill("context", OPTIONS, toggle_favorite=toggled.append)

    async with picking(make) as (app, pilot):
        assert text(app).count("★") == 1
        await pilot.press("ctrl+s")
        await until(lambda: text(app).count("★") == 2)
        await pilot.press("down", "ctrl+s")
        await until(lambda: text(app).count("★") == 1)
        assert toggled == ["prod-eu", "prod-us"]
        assert "ctrl+s" in app.screen.active_bindings


async def test_favorite_key_needs_a_callback() -> None:
    async with picking(lambda: Picker().fill("context", OPTIONS, free=True)) as (app, pilot):
        assert "ctrl+s" not in app.screen.active_bindings
        await pilot.press("ctrl+s", *"typed", "ctrl+s")
        assert isinstance(app.screen, Picker)


@pytest.mark.parametrize("size", [(60, 20), (200, 60)])
async def test_two_thousand_options_are_drawn_lazily(size: tuple[int, int]) -> None:
    options = [
        PickerOption(f"ns-{number}", f"team-{number % 7}-{number}") for number in range(2000)
    ]
    async with picking(lambda: Picker().fill("namespace", options), size) as (app, pilot):
        started_at = process_time()
        for word in ("t", "te", "team-3", "33"):
            rank_options(options, word)
        assert process_time() - started_at < 1  # generous, for slow machines
        await pilot.press(*"1999")
        await until(lambda: app.screen.query_one(RowTable).keys == ("ns-1999",))
        # Only what is visible is drawn.
        assert len(app.screen.query_one(RowTable)._drawn) <= 20
        await pilot.press("enter")
        await until(lambda: app.answers == ["ns-1999"])


ACCOUNTS = [
    f"arn:aws:eks:eu-west-1:{account}:cluster/{name}"
    for account in ("111122223333", "444455556666")
    for name in ("prod-a", "prod-b")
]


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (44, 20)])
async def test_contexts_of_two_accounts_are_distinguishable(size: tuple[int, int]) -> None:
    options = [PickerOption(name, name, f"cluster {name}") for name in ACCOUNTS]
    async with picking(lambda: Picker().fill("context", options), size) as (app, pilot):
        lines = [line for line in text(app).splitlines() if "…" in line or "arn:" in line]
        for account in ("111122223333", "444455556666"):
            for name in ("prod-a", "prod-b"):
                assert any(account in line and name in line for line in lines), text(app)
        # What is cut of the line under the cursor is shown below.
        await pilot.press("down")
        without_layout = dict.fromkeys(map(ord, " │\n"), "")
        full = f"cluster {ACCOUNTS[1]}".translate(without_layout)
        await until(lambda: full in text(app).translate(without_layout))


async def test_cursor_is_visible_with_a_note_on_a_low_screen() -> None:
    options = [PickerOption(f"context-{number}", f"context-{number}") for number in range(60)]
    note = "the kubeconfig has no current context. Choose one."
    async with picking(lambda: Picker().fill("context", options, note=note)) as (app, pilot):
        for _ in range(45):
            await pilot.press("down")
        await until(lambda: "context-45 " in text(app))


@pytest.mark.parametrize("size", [(20, 10), (256, 60)])
async def test_picker_fits_any_width(size: tuple[int, int]) -> None:
    options = [PickerOption(name, name, "cluster") for name in ACCOUNTS]
    async with picking(lambda: Picker().fill("context", options), size) as (app, pilot):
        box = app.screen.query_one("Picker > Vertical")
        assert box.region.x >= 0
        assert box.region.right <= size[0]
        await pilot.press("down", "enter")
        await until(lambda: app.answers == [ACCOUNTS[1]])
