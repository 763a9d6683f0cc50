from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult

from tui_forward.tui.rows import Cell, Row
from tui_forward.tui.rowtable import Column, RowTable, column_widths, fit
from tui_forward.tui.stylesheets import stylesheet

COLUMNS = (
    Column("name", 6, flexible=True),
    Column("n", 4, right=True, drop=1),
    Column("more", 4, drop=2),
)


@given(st.text(), st.integers(1, 40), st.booleans(), st.booleans())
def test_text_fits_exactly(text: str, width: int, right: bool, middle: bool) -> None:
    assert cell_len(fit(text, width, right=right, middle=middle)) == width


def test_what_is_left_out_is_said() -> None:
    assert fit("abcdef", 4) == "abc…"
    assert fit("web-6d8c9f7b5-0001", 12, middle=True) == "web-6d…-0001"
    assert fit("5", 3, right=True) == "  5"
    assert fit("a\x1b[31m", 8) == "a [31m  "


@given(st.integers(1, 300))
def test_columns_never_exceed_the_table_unless_nothing_can_go(width: int) -> None:
    widths = column_widths(COLUMNS, width)
    shown = [w for w in widths if w]
    assert sum(shown) + len(shown) - 1 == max(width, 6)


def test_less_important_columns_go_first() -> None:
    assert column_widths(COLUMNS, 16) == [6, 4, 4]
    assert column_widths(COLUMNS, 20) == [10, 4, 4]
    assert column_widths(COLUMNS, 15) == [10, 4, 0]
    assert column_widths(COLUMNS, 10) == [10, 0, 0]


class TableApp(App[None]):
    CSS_PATH = stylesheet("dashboard.tcss")

    def __init__(self) -> None:
        super().__init__()
        self.table = RowTable(COLUMNS, empty="nothing here", id="table")
        self.computed: list[str] = []
        self.versions: dict[str, int] = {}
        self.moved: list[str | None] = []
        self.chosen: list[str] = []

    def compose(self) -> ComposeResult:
        yield self.table

    def row(self, key: str) -> Row:
        self.computed.append(key)
        return Row((Cell(key), Cell(str(self.versions.get(key, 0))), Cell("x")))

    def show(self, keys: Sequence[str]) -> None:
        self.computed.clear()
        self.table.show(keys, self.row)

    def on_row_table_moved(self, event: RowTable.Moved) -> None:
        self.moved.append(event.key)

    def on_row_table_chosen(self, event: RowTable.Chosen) -> None:
        self.chosen.append(event.key)

    def lines(self) -> list[str]:
        return ["".join(s.text for s in strip) for strip in self.screen._compositor.render_strips()]


KEYS = [f"row-{n:05d}" for n in range(10_000)]


async def test_only_visible_rows_are_computed() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 12)) as pilot:
        app.show(KEYS)
        await pilot.pause()
        assert len(set(app.computed)) <= 12
        app.show(KEYS)
        assert len(set(app.computed)) <= 12
        assert app.lines()[2].startswith(" row-00000")


async def test_only_changed_lines_are_drawn() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 12)) as pilot:
        app.show(KEYS)
        await pilot.pause()
        drawn: list[int] = []
        original = app.table.render_line

        def watch(y: int) -> object:
            drawn.append(y)
            return original(y)

        app.table.render_line = watch  # type: ignore[assignment,method-assign]
        app.show(KEYS)
        await pilot.pause()
        assert drawn == []
        app.versions["row-00003"] = 7
        app.show(KEYS)
        await pilot.pause()
        assert set(drawn) == {4}
        assert app.lines()[5].split()[:2] == ["row-00003", "7"]


async def test_the_cursor_stays_with_its_row() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 12)) as pilot:
        app.table.focus()
        app.show(KEYS)
        await pilot.press("down", "down", "down")
        assert app.table.cursor == "row-00003"
        app.show(["new-1", "new-2", *KEYS])
        await pilot.pause()
        assert app.table.cursor == "row-00003"
        app.show([key for key in KEYS if key != "row-00003"])
        await pilot.pause()
        assert app.table.cursor is not None
        app.show([])
        await pilot.pause()
        assert app.table.cursor is None
        assert "nothing here" in app.lines()[2]
        assert app.moved[-1] is None


@pytest.mark.parametrize(
    ("keys", "place"),
    [(["end"], 9_999), (["end", "home"], 0), (["pagedown"], 10), (["end", "down"], 9_999),
     (["up"], 0), (["j", "j", "k"], 1), (["G", "g"], 0)],
)  # fmt: skip
async def test_moving_keeps_the_cursor_in_view(keys: list[str], place: int) -> None:
    app = TableApp()
    async with app.run_test(size=(40, 13)) as pilot:
        app.table.focus()
        app.show(KEYS)
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        assert app.table.cursor == KEYS[place]
        assert any(KEYS[place] in line for line in app.lines())


async def test_mouse() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 12)) as pilot:
        app.show(KEYS)
        await pilot.pause()
        await pilot.click("#table", offset=(5, 4))
        assert app.table.cursor == "row-00002"
        await pilot.double_click("#table", offset=(5, 4))
        assert app.chosen == ["row-00002"]
        await pilot.click("#table", offset=(5, 1))  # the head is no row
        assert app.table.cursor == "row-00002"


async def test_a_smaller_terminal_keeps_the_cursor_in_view() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 30)) as pilot:
        app.table.focus()
        app.show(KEYS)
        await pilot.press(*["down"] * 20)
        await pilot.resize_terminal(20, 8)
        await pilot.pause()
        assert any("…020" in line for line in app.lines())
