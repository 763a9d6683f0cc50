from __future__ import annotations

from collections.abc import Sequence

import pytest
from rich.segment import Segment
from textual.app import ComposeResult
from textual.geometry import Region
from textual.widget import Widget

from tests.support.waiting import until
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.themes import ThemedApp
from tui_forward.tui.viewmodel.cell_layout import Column
from tui_forward.tui.viewmodel.rows import Cell, Row
from tui_forward.tui.widgets import row_messages
from tui_forward.tui.widgets.line_cache_view import RULE_LINE
from tui_forward.tui.widgets.row_renderer import DrawnLine
from tui_forward.tui.widgets.row_table import RowTable

COLUMNS = (
    Column("name", 6, flexible=True),
    Column("n", 4, right=True, drop=1),
    Column("more", 4, drop=2),
)


class TableApp(ThemedApp[None]):
    CSS_PATH = stylesheet("app.tcss")

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

    def on_mount(self) -> None:
        self.watch(self.table, "cursor", self.note)

    def note(self, key: str | None) -> None:
        self.moved.append(key)

    def on_row_table_chosen(self, event: row_messages.Chosen) -> None:
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
        original = app.table.draw_line

        def watch(y: int) -> DrawnLine:
            drawn.append(y)
            return original(y)

        app.table.draw_line = watch  # type: ignore[method-assign]
        app.show(KEYS)
        await pilot.pause()
        assert drawn == []
        app.versions["row-00003"] = 7
        app.show(KEYS)
        await pilot.pause()
        assert set(drawn) == {4}
        assert app.lines()[5].split()[:2] == ["row-00003", "7"]
        # Rows that come and go elsewhere are none of this screen's business.
        drawn.clear()
        app.table.rule.show("another")
        app.show([*KEYS[:-5], "another"])
        await pilot.pause()
        assert drawn == []


async def test_line_that_looks_the_same_for_another_row_is_not_painted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As those of the ports, which nearly all workloads have in common."""
    app = TableApp()
    async with app.run_test(size=(40, 12)) as pilot:
        app.table.show(["a", "b", "z"], lambda _key: Row((Cell("same"),)))
        await pilot.pause()
        painted: list[int] = []
        monkeypatch.setattr(
            app.table, "refresh", lambda *regions: painted.extend(region.y for region in regions)
        )
        app.table.show(["a", "b", "c"], lambda key: Row((Cell("other" if key == "b" else "same"),)))
        assert painted == [RULE_LINE, 2]
        monkeypatch.undo()
        await pilot.press("end", "enter")
        await until(lambda: app.chosen == ["c"])


async def test_lines_of_other_columns_are_kept_until_the_columns_return() -> None:
    """As those of the pods while the services are shown."""
    app = TableApp()
    async with app.run_test(size=(40, 12)) as pilot:
        app.show(KEYS[:5])
        await pilot.pause()
        before = dict(app.table.drawn_lines())
        assert before
        app.table.columns = COLUMNS[:2]
        app.table.show(["a", "b"], lambda key: Row((Cell(key), Cell("1"))))
        await pilot.pause()
        assert app.lines()[2].split() == ["a", "1"]
        app.table.columns = COLUMNS
        app.show(KEYS[:5])
        await pilot.pause()
        after = dict(app.table.drawn_lines())
        assert all(after[y] is line for y, line in before.items() if line.key is not None)


async def test_scroll_bar_looks_like_textuals() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 12)) as pilot:
        app.show(KEYS)
        await pilot.pause()
        bar = app.table.vertical_scrollbar
        height = bar.size.height
        assert height == 11
        for position in (0, 1234.5, len(KEYS) - height):
            bar.position = position
            bar._styles_cache.clear()
            bar._dirty_regions.add(bar.size.region)
            bar.refresh()
            region = Region(0, 2, 1, height - 2)
            own = bar.render_lines(region)
            textuals = Widget.render_lines(bar, region)
            assert [list(strip) for strip in own] == [
                [Segment(one.text, one.style) for one in strip] for strip in textuals
            ]


async def test_scroll_bar_is_painted_when_it_looks_different() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 12)) as pilot:
        app.show(KEYS)
        await pilot.pause()
        bar = app.table.vertical_scrollbar

        def is_painted() -> bool:
            """Return whether the last refresh asked for a paint, and draw it."""
            asked = bool(bar._repaint_regions)
            bar.render_lines(bar.size.region)
            bar._repaint_regions.clear()
            return asked

        is_painted()
        bar.refresh()
        assert not is_painted()
        bar.position = 5000
        assert is_painted()
        bar.mouse_over = True
        assert is_painted()
        await bar.remove()
        bar.refresh()  # while the app ends


async def test_lines_are_kept_at_another_height_and_drawn_again_at_another_width() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 20)) as pilot:
        app.show(KEYS)
        await pilot.pause()
        before = dict(app.table.drawn_lines())
        await pilot.resize_terminal(40, 12)
        await pilot.pause()
        lower = dict(app.table.drawn_lines())
        assert len(lower) == app.table.size.height < len(before)
        assert all(before[y] is line for y, line in lower.items())
        app.versions["row-00003"] = 7
        app.table.show(KEYS, app.row)
        await pilot.pause()
        assert "7" in app.lines()[5]
        await pilot.resize_terminal(30, 12)
        await pilot.pause()
        assert all(len(line) == 30 for line in app.lines())
        assert "row-00003" in app.lines()[5]


async def test_text_of_an_empty_table_may_change() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 12)) as pilot:
        app.show([])
        app.table.empty = "Listing …"
        await pilot.pause()
        assert "Listing …" in app.lines()[2]
        app.table.empty = "you may not list pods in namespace default → ask for a role"
        await pilot.pause()
        assert [line.strip() for line in app.lines()[2:5]] == [
            "you may not list pods in namespace", "default → ask for a role", "",
        ]  # fmt: skip
        app.table.empty = "None here"
        await pilot.pause()
        assert "None here" in app.lines()[2]


async def test_cursor_stays_on_its_row() -> None:
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


async def test_smaller_terminal_keeps_the_cursor_in_view() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 30)) as pilot:
        app.table.focus()
        app.show(KEYS)
        await pilot.press(*["down"] * 20)
        await pilot.resize_terminal(20, 8)
        await pilot.pause()
        assert any("…020" in line for line in app.lines())


async def test_cursor_row_stays_in_view_when_rows_are_inserted_above() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 12)) as pilot:
        app.table.focus()
        app.show(KEYS[20:25])
        await pilot.press("end")
        assert app.table.cursor == "row-00024"
        app.show(KEYS[:40])
        await pilot.pause()
        assert "row-00024" in "\n".join(app.lines())
