"""What the compositor and overlays paint, compared with Textual's, and how long lines are kept."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from rich.segment import Segment
from textual._compositor import Compositor, CompositorUpdate
from textual._styles_cache import StylesCache
from textual.app import App, ComposeResult
from textual.cache import FIFOCache
from textual.color import Color
from textual.containers import Horizontal, Vertical
from textual.geometry import Region, Size
from textual.message import Message
from textual.messages import Prompt, Update
from textual.renderables.background_screen import BackgroundScreen
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from tests.support import waiting
from tests.support.fleet_app import fleet_app, settled
from tests.support.terminal_grid import TerminalGrid
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.textual_internals.painting import (
    LINE_CACHES,
    LineCompositor,
    create_line_caches_late,
    free_lines_early,
)
from tui_forward.tui.textual_internals.screens import CompleteFrameScreen, OverlayScreen
from tui_forward.tui.viewmodel.lines import part
from tui_forward.tui.widgets.lines_view import LinesView

SIZE = (40, 12)
KEYS = ("down", "up", "tab", "shift+tab", "t", "s", "escape", "z", "G", "g", "space", "pagedown")


def cells(segments: list[Segment]) -> list[tuple[str, str]]:
    """Return each character with its style."""
    return [
        (character, str(style or "")) for text, style, _ in segments for character in text
    ]  # fmt: skip


def by_textual(screen: CompleteFrameScreen[object]) -> list[list[tuple[str, str]]]:
    """Return the screen as Textual's compositor renders it."""
    compositor = screen._compositor
    pieces = Compositor._render_chops(compositor, compositor.size.region, lambda _: True)
    return [cells(list(Strip.join(line.values()))) for line in pieces]


class Word(Widget):
    """Text that counts how often each of its lines is rendered."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.rendered: list[int] = []

    def render_lines(self, crop: Region) -> list[Strip]:
        self.rendered += crop.line_range
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        text = f"{self.text} {y}".ljust(self.size.width)
        return Strip([Segment(text, self.rich_style)], self.size.width)


class Base(CompleteFrameScreen[None]):
    def __init__(self) -> None:
        super().__init__()
        self.words = [Word(f"word{i}") for i in range(3)]

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield self.words[0]
            with Vertical():
                yield self.words[1]
                yield self.words[2]


class Box(Dialog[None]):
    DEFAULT_CSS = "Box { align: center middle; } Box > Static { width: 10; height: 3; }"

    def compose(self) -> ComposeResult:
        yield Static("a dialog")


class Painting(App[None]):
    CSS = "Box { background: $background 60%; } Word { width: 1fr; height: 1fr; }"

    def get_default_screen(self) -> Base:
        return Base()

    @property
    def base(self) -> Base:
        screen = self.screen_stack[0]
        assert isinstance(screen, Base)
        return screen


def text_of(screen: CompleteFrameScreen[object]) -> str:
    lines = screen.render_screen_lines(range(screen.size.height))
    return "\n".join(line.text for line in lines)


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 45), (200, 60)])
async def test_lines_are_those_of_textual(tmp_path: Path, size: tuple[int, int]) -> None:
    app = fleet_app(tmp_path)
    async with app.run_test(size=size) as pilot:
        await settled(app, pilot, lambda app: str(app.screen))
        for keys in ((), ("tab", "down"), ("colon",), ("escape", "question_mark")):
            await pilot.press(*keys)
            screen = app.screen
            assert isinstance(screen, CompleteFrameScreen)
            compositor = screen._compositor
            assert isinstance(compositor, LineCompositor)
            expected = by_textual(screen)
            height = screen.size.height
            for lines in (range(height), range(3, 5), range(height - 1, height)):
                rendered = [cells(list(line)) for line in compositor.render_lines(lines)]
                assert rendered == [expected[y] for y in lines], keys


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_terminal_shows_the_screen_after_each_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    grid = TerminalGrid(Size(*size))

    def show(app: App[None], _screen: object, update: object) -> None:
        if isinstance(update, CompositorUpdate):
            grid.show(app, update)

    monkeypatch.setattr(App, "_display", show)
    app = fleet_app(tmp_path)
    async with app.run_test(size=size) as pilot:
        random = Random(7)
        for key in [*random.choices(KEYS, k=60), "colon", "escape", "question_mark", "escape"]:
            await pilot.press(key)
            await app.sample()
            screen = app.screen
            assert isinstance(screen, CompleteFrameScreen)

            def differing(screen: CompleteFrameScreen[object] = screen) -> list[tuple[str, str]]:
                expected = screen.render_screen_lines(range(size[1]))
                pairs = zip(grid.lines, (line.text for line in expected), strict=True)
                return [pair for pair in pairs if pair[0] != pair[1]]

            await waiting.until(lambda: not differing(), 60, f"{key}: {differing()}")


async def test_only_dirty_lines_of_dirty_widgets_are_rendered() -> None:
    app = Painting()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        base = app.base
        for word in base.words:
            word.rendered.clear()
        base.words[0].refresh(Region(0, 2, 5, 1))
        base.words[2].refresh(Region(0, 5, 5, 1))  # line 11 of the screen
        await waiting.until(lambda: bool(base.words[2].rendered))
        assert [word.rendered for word in base.words] == [[2], [], [5]]


async def test_layout_is_painted_once_with_a_paint_of_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Painting()
    painted: list[set[Region]] = []
    paint = Screen._compositor_refresh

    def count(screen: Screen[object]) -> None:
        painted.append(set(screen._compositor._dirty_regions))
        paint(screen)

    async with app.run_test(size=(40, 12)) as pilot:
        await waiting.until(lambda: app.base._is_complete)
        await pilot.pause()
        monkeypatch.setattr(Screen, "_compositor_refresh", count)
        app.base.refresh(layout=True)
        await waiting.until(lambda: not app.base._layout_required and bool(painted))
        assert painted == [{app.base.size.region}]


async def test_widget_that_draws_itself_is_painted_without_messages() -> None:
    app = Painting()
    async with app.run_test(size=SIZE) as pilot:
        line = LinesView()
        await app.base.mount(line)
        line.styles.height = 2
        await pilot.pause()
        posted: list[Message] = []
        for receiver in (line, app.base):

            def post(message: Message, receiver: Widget = receiver) -> bool:
                posted.append(message)
                return Widget.post_message(receiver, message)

            receiver.post_message = post  # type: ignore[method-assign]

        def shown() -> str:
            return "\n".join(strip.text for strip in app.base.render_screen_lines(range(SIZE[1])))

        line.show(lambda _width, _height: ((part("a line"),),))
        assert not posted
        await waiting.until(lambda: "a line" in shown())
        assert not any(isinstance(one, Prompt | Update) for one in posted)


async def test_overlay_tints_the_screen_beneath_as_textual_does() -> None:
    app = Painting()
    async with app.run_test(size=SIZE) as pilot:
        await app.push_screen(Box())
        await pilot.pause()
        box = app.screen
        assert isinstance(box, OverlayScreen)
        color = box.styles.background
        assert 0 < color.a < 1
        expected = [
            cells(list(BackgroundScreen.process_segments(line, color)))
            for line in app.base.render_screen_lines(range(SIZE[1]))
        ]
        shown = box.render_lines(Region(0, 0, *SIZE))
        assert [cells(list(line)) for line in shown] == expected


async def test_overlays_show_what_changes_beneath_and_render_only_that_again() -> None:
    app = Painting()
    async with app.run_test(size=SIZE) as pilot:
        for _ in range(2):
            await app.push_screen(Box())
        await pilot.pause()
        top = app.screen
        assert isinstance(top, OverlayScreen)
        assert "word0 1" in text_of(top)
        word = app.base.words[0]

        async def lines_rendered_for(text: str) -> set[int]:
            word.rendered.clear()
            word.text = text
            word.refresh(Region(0, 1, 10, 1))
            await waiting.until(lambda: f"{text} 1" in text_of(top))
            assert "word0 2" in text_of(top)
            return set(word.rendered)

        # The first frames of the overlays, of all lines, may still follow: they are a few.
        rendered = [await lines_rendered_for(f"other{number}") for number in range(20)]
        assert rendered[-1] == {1}


async def test_overlay_follows_a_new_size_and_a_new_theme() -> None:
    app = Painting()
    async with app.run_test(size=SIZE) as pilot:
        await app.push_screen(Box())
        await pilot.pause()
        top = app.screen
        assert isinstance(top, OverlayScreen)
        before = top.render_screen_lines(range(1))
        app.theme = "textual-light"
        await waiting.until(
            lambda: cells(list(top.render_screen_lines(range(1))[0])) != cells(list(before[0]))
        )
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        assert [line.cell_length for line in top.render_lines(Region(0, 0, 60, 20))] == [60] * 20


class Line(Strip):
    """A strip that weak references can refer to."""


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
def test_lines_are_freed_without_the_garbage_collector() -> None:
    free_lines_early()
    line = Line([Segment("a line")])
    assert line.divide([6]) == [line]
    assert [one.text for one in line.divide([2, 6])] == ["a ", "line"]
    freed = weakref.ref(line)
    del line
    assert freed() is None


@pytest.mark.usefixtures("without_collector")
def test_backgrounds_keep_no_lines() -> None:
    free_lines_early()
    cache, red, green = StylesCache(), Color.parse("red"), Color.parse("#00ff0080")
    inner, outer = cache.get_inner_outer(red, green)
    assert (inner.background, outer.background) == (red + green, red)
    freed = weakref.ref(cache)
    del cache
    assert freed() is None


def test_lines_have_only_the_caches_that_they_use() -> None:
    create_line_caches_late()
    line = Strip([Segment("a line")])
    assert not [one for one in gc.get_referents(line) if isinstance(one, FIFOCache)]
    assert line.crop(0, 1).text == "a"
    assert line.crop(0, 1) is line.crop(0, 1)
    assert len([one for one in gc.get_referents(line) if isinstance(one, FIFOCache)]) == 1
    with pytest.raises(AttributeError):
        _ = line.no_such_attribute  # type: ignore[attr-defined]


def test_all_caches_of_lines_are_known() -> None:
    caches = {one for one in Strip.__slots__ if one.endswith("_cache")} - {"_render_cache"}
    assert set(LINE_CACHES) == caches
    line = Strip([])
    assert all(getattr(line, one)._maxsize == size for one, size in LINE_CACHES.items())
