"""Styles of component classes are those of Textual, and are computed again only if they change."""

from __future__ import annotations

from pathlib import Path

from textual.app import App, ComposeResult
from textual.containers import Container
from textual.css.stylesheet import Stylesheet
from textual.screen import Screen
from textual.widget import Widget

from tests.support.fleet_app import fleet_app
from tui_forward.tui.textual_internals.apps import ScreenStylesApp

KEYS = ("question_mark", "f", "ctrl+p", "n", "ctrl+l")


def styles_of(node: Widget) -> dict[str, tuple[object, ...]]:
    """Return the styles of the component classes of a widget, with what they inherit."""
    names = sorted(node._get_component_classes())
    styles = [node.get_component_styles(name) for name in names]
    return {
        name: (
            one.base.get_rules(),
            one.rich_style,
            node.get_component_rich_style(name, partial=True),
        )
        for name, one in zip(names, styles, strict=True)
    }


def of_textual(sheet: Stylesheet, node: Widget) -> dict[str, tuple[object, ...]]:
    """Return the same, computed by Textual."""
    ours = node._component_styles
    node._component_styles = {}
    try:
        Stylesheet._process_component_classes(sheet, node)
        return styles_of(node)
    finally:
        node._component_styles = ours


def compare(app: App[None]) -> int:
    """Compare the styles of all widgets of the screen; return how many there are."""
    count = 0
    for node in app.screen.walk_children(Widget, with_self=True):
        styles = styles_of(node)
        assert styles == of_textual(app.stylesheet, node), node
        count += len(styles)
    return count


async def test_styles_of_every_screen_are_those_of_textual(tmp_path: Path) -> None:
    app = fleet_app(tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        assert compare(app) > 80
        app.theme = "textual-light"
        await pilot.pause()
        assert compare(app) > 80
        screens: set[type[Screen[object]]] = set()
        for key in KEYS:
            await pilot.press(key)
            compare(app)
            screens.add(type(app.screen))
            while app.screen is not app.dashboard:
                await pilot.press("escape")
        assert len(screens) == len(KEYS)


class Lamp(Widget, can_focus=True):
    COMPONENT_CLASSES = {"lamp--on", "lamp--off"}  # noqa: RUF012 - as Textual's


class Room(ScreenStylesApp[None]):
    CSS = ".lamp--on { color: red; } .lamp--off { color: blue; }"

    def compose(self) -> ComposeResult:
        yield Container(Lamp(id="first"))
        yield Lamp(id="second")


class RoomWithRules(Room):
    CSS = Room.CSS + "Container .lamp--on { color: green; } Lamp:focus .lamp--on { color: cyan; }"


async def test_rule_that_depends_on_the_parent_applies() -> None:
    app = RoomWithRules()
    async with app.run_test() as pilot:
        first, second = app.query(Lamp)
        for lamp in (first, second):
            lamp.focus()
            await pilot.pause()
            compare(app)
            assert lamp.get_component_styles("lamp--on").color.hex == "#00FFFF"
        assert first.get_component_styles("lamp--on").color.hex == "#008000"


async def test_styles_are_kept_until_the_rules_change() -> None:
    app = Room()
    async with app.run_test() as pilot:
        lamp = app.query_one("#second", Lamp)
        before = lamp._component_styles
        lamp.focus()
        await pilot.pause()
        assert lamp.has_focus
        app.stylesheet.parse()
        app.stylesheet.update(app)
        assert lamp._component_styles is before
        app.stylesheet.add_source(".lamp--on { color: yellow; }", read_from=("more", ""))
        app.stylesheet.parse()
        app.stylesheet.update(app.screen)
        assert lamp.get_component_styles("lamp--on").color.hex == "#FFFF00"
