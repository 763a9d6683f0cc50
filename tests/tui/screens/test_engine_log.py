from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.app import App
from textual.pilot import Pilot

from tests.support.waiting import until
from tui_forward.daemon.log_record import LogEntry, encode_entry
from tui_forward.tui.screens.engine_log import LogScreen
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.themes import ThemedApp
from tui_forward.tui.viewmodel.header import HeaderCell, HeaderContent
from tui_forward.tui.widgets.log_view import LogView

HEADER = HeaderContent((HeaderCell("head"), HeaderCell("● 3 ready", "ok")))
TIME = "2026-01-02T03:04:05.678+01:00"


@pytest.fixture(autouse=True)
def fast_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_forward.tui.screens.engine_log.POLL_S", 0.02)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "engine.log"


def write(path: Path, text: str) -> None:
    path.write_text(text)


def append(path: Path, text: str) -> None:
    with path.open("a") as stream:
        stream.write(text)


def screen_lines(app: App[None]) -> list[str]:
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def screen_text(app: App[None]) -> str:
    return "\n".join(screen_lines(app))


async def shows(app: App[None], *texts: str) -> None:
    def are_shown() -> bool:
        shown = screen_text(app)
        return all(text in shown for text in texts)

    try:
        await until(are_shown)
    except AssertionError:
        raise AssertionError(f"{texts} are not all on\n{screen_text(app)}") from None


class LogApp(ThemedApp[None]):
    CSS_PATH = stylesheet("app.tcss")


@asynccontextmanager
async def running(
    path: Path, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[tuple[App[None], Pilot[None], LogView]]:
    app = LogApp()
    async with app.run_test(size=size) as pilot:
        screen = LogScreen(path)
        app.push_screen(screen)
        await until(lambda: app.screen is screen and screen.is_mounted)
        screen.draw_header(lambda _width: HEADER)
        yield app, pilot, app.screen.query_one(LogView)


def line(level: str, message: str, exception: str = "") -> str:
    return encode_entry(LogEntry(TIME, level, "x", message, exception=exception)) + "\n"


def numbered(first: int, last: int) -> str:
    return "".join(line("info", f"line {number}.") for number in range(first, last + 1))


async def test_end_of_the_log_is_followed(path: Path) -> None:
    write(path, numbered(1, 100))
    async with running(path) as (app, _pilot, view):
        await shows(app, "line 100.", "▼ following", "● 3 ready")
        assert "line 1." not in screen_text(app)
        append(path, numbered(101, 101))
        await shows(app, "line 101.")
        assert view.following


async def test_new_lines_do_not_move_a_scrolled_view(path: Path) -> None:
    write(path, numbered(1, 100))
    async with running(path) as (app, pilot, view):
        await shows(app, "line 100.")
        await pilot.press("home")
        await shows(app, "line 1.", "‖ paused")

        def text_columns() -> list[str]:  # without the scroll bar, which may shrink
            return [line.ljust(60)[:60] for line in screen_lines(app)[2:20]]

        before = text_columns()
        append(path, numbered(101, 300))
        await until(lambda: view._rows[-1] == 300)
        assert text_columns() == before
        await pilot.press("end")
        await shows(app, "line 300.", "▼ following")


async def test_dropped_lines_do_not_move_a_scrolled_view(path: Path) -> None:
    write(path, numbered(1, 2000))
    async with running(path) as (app, pilot, view):
        await shows(app, "line 2000.")
        await pilot.press("pageup", "pageup")
        await shows(app, "‖ paused")
        await pilot.pause()

        def text_columns() -> list[str]:  # without the scroll bar, which may shrink
            return [line.ljust(60)[:60] for line in screen_lines(app)[2:20]]

        before = text_columns()
        append(path, numbered(2001, 2100))
        await until(lambda: view._lines[-1].number == 2100)
        await pilot.pause()
        assert text_columns() == before


async def test_missing_file_is_reported_until_it_appears(path: Path) -> None:
    async with running(path, (160, 12)) as (app, _pilot, _view):
        await shows(app, "No log file at", "It appears when the engine", "not readable")
        write(path, "")
        await shows(app, "Log is empty")
        write(path, numbered(1, 1))
        await shows(app, "line 1.")


async def test_level_key_hides_lower_levels(path: Path) -> None:
    write(
        path,
        "".join(map(line, ("debug", "info", "warning"), ("aaa", "bbb", "ccc")))
        + line("error", "ddd", "Traceback"),
    )
    async with running(path) as (app, pilot, _view):
        await shows(app, "aaa", "bbb", "ccc", "ddd", "Traceback")
        await pilot.press("l", "l")
        await shows(app, "≥ warning", "ccc", "ddd")
        assert "bbb" not in screen_text(app)
        await pilot.press("l")
        await shows(app, "≥ error", "Traceback")
        assert "ccc" not in screen_text(app)
        await pilot.press("l")
        await shows(app, "aaa")


async def test_empty_level_is_reported(path: Path) -> None:
    write(path, numbered(1, 3))
    async with running(path) as (app, pilot, _view):
        await shows(app, "line 3.")
        await pilot.press("l", "l", "l")
        await shows(app, "No lines at level error or above")


async def test_search_moves_between_matches(path: Path) -> None:
    write(path, numbered(1, 100).replace("line 5.", "NEEDLE").replace("line 50.", "needle 2"))
    async with running(path) as (app, pilot, _view):
        await shows(app, "line 100.")
        await pilot.press("slash", *"needle")
        await shows(app, "/needle 2 of 2", "needle 2")
        await pilot.press("enter", "n")
        await shows(app, "/needle 1 of 2", "NEEDLE")
        await pilot.press("N")
        await shows(app, "/needle 2 of 2")
        await pilot.press("escape")
        await until(lambda: "/needle" not in screen_text(app))
        assert isinstance(app.screen, LogScreen)
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, LogScreen))


async def test_next_key_works_only_during_a_search(path: Path) -> None:
    write(path, numbered(1, 3))
    async with running(path) as (app, pilot, _view):
        await shows(app, "line 3.")
        assert "n" not in app.screen.active_bindings
        await pilot.press("slash", "z", "enter")
        await shows(app, "/z no match")
        assert "n" in app.screen.active_bindings
        await pilot.press("n")


async def test_matches_are_marked_without_color(path: Path) -> None:
    write(path, "say Needle here\n")
    async with running(path) as (app, pilot, view):
        await shows(app, "Needle")
        await pilot.press("slash", *"needle")
        await pilot.pause()
        marked = [
            segment for segment in view.render_line(0) if segment.style and segment.style.reverse
        ]
        assert [segment.text for segment in marked] == ["Needle"]


async def test_wrap_key_toggles_wrapping(path: Path) -> None:
    write(path, "x" * 150 + "END\n" + "ü字" * 60 + "FIN\n")
    async with running(path, (80, 20)) as (app, pilot, view):
        await shows(app, "END", "FIN")
        assert view._rows == [0, 2, 5]
        await pilot.press("w")
        await until(lambda: view._rows == [0, 1, 2])
        assert "END" not in screen_text(app)
        assert view.virtual_size.width == 60 * 3 + 3
        await shows(app, "▼ following")
        for _ in range(110):
            view.action_scroll_right()
        await shows(app, "END")
        await pilot.press("w")
        await shows(app, "END", "FIN")


async def test_markup_is_shown_as_text(path: Path) -> None:
    write(path, "[bold red]x[/] [@click=app.quit]y[/] \x1b[2Jz\n")
    async with running(path) as (app, _pilot, _view):
        await shows(app, "[bold red]x[/] [@click=app.quit]y[/]  [2Jz")


@pytest.mark.parametrize("size", [(60, 20), (250, 70)])
async def test_log_fits_the_terminal(path: Path, size: tuple[int, int]) -> None:
    write(path, numbered(1, 500) + "w" * 300 + "\n")
    async with running(path, size) as (app, pilot, view):
        await shows(app, "www")
        assert all(len(line) <= size[0] for line in screen_lines(app))
        await pilot.resize_terminal(40, 12)
        await until(lambda: view._width < 40)
        await shows(app, "www")
        assert view.following


async def test_scrolling_up_stops_following(path: Path) -> None:
    write(path, numbered(1, 100))
    async with running(path) as (app, _pilot, view):
        await shows(app, "▼ following", "line 100.")
        view.scroll_relative(y=-3, animate=False)
        await shows(app, "‖ paused")


async def test_closed_screen_stops_polling(path: Path) -> None:
    write(path, numbered(1, 3))
    async with running(path) as (app, pilot, _view):
        await shows(app, "line 3.")
        assert [worker.group for worker in app.workers] == ["log"]
        await pilot.press("q")
        await until(lambda: not list(app.workers))


def test_every_binding_has_an_id_and_a_tooltip() -> None:
    for owner in (LogScreen, LogView):
        for binding in owner.BINDINGS:
            assert not isinstance(binding, tuple)
            assert binding.id is not None
            assert binding.id.startswith("log.")
            assert binding.tooltip
