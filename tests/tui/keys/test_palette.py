"""The provider itself is asked: Textual would swallow what it raises."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import pytest
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.command import CommandPalette, DiscoveryHit, Hit
from textual.content import Content
from textual.screen import Screen
from textual.style import Style
from textual.widgets import Static

from tests.support.waiting import until
from tui_forward.tui.keys.palette import ActionProvider, PaletteCommand, match_score, match_spans

EVIL = "Context: [bold]prod[/nope] \x1b[2J[@click=app.bell]x"


class Pane(Static, can_focus=True):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "end", "Stop", id="forwards.stop", tooltip="Stop the forward"),
        Binding("k", "up", "Up", id="table.up", tooltip="The row above"),
        Binding("1", "nth(1)", "Port", id="ports.1", tooltip="Switch the port"),
        Binding("2", "nth(2)", "Port", id="ports.2", tooltip="Switch the port"),
        Binding("z", "nameless", "Without id"),
    ]

    def action_end(self) -> None:
        self.app.done.append("end")  # type: ignore[attr-defined]


class Place(Screen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "Sort", id="browse.sort", tooltip="Another order"),
        Binding("g", "gone", "Gone", id="browse.gone", tooltip="Cannot work now"),
        Binding("d", "dim", "Dim", id="browse.dim", tooltip="Is shown dim"),
        Binding("b", "app.bell", "Bell", id="browse.bell", tooltip="Ring"),
        Binding("e", "odd(x)", "Odd", id="browse.odd", tooltip="No such syntax"),
    ]

    def compose(self) -> ComposeResult:
        yield Pane("pane")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return {"gone": False, "dim": None}.get(action, True)


class Palettes(App[None]):
    COMMANDS: ClassVar = {ActionProvider}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit", id="app.quit", tooltip="Leave"),
        Binding("s", "shadowed", "Shadowed", id="app.shadowed", tooltip="Its key is taken"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []
        self.bells = 0

    def on_mount(self) -> None:
        self.push_screen(Place())

    async def action_bell(self) -> None:
        self.bells += 1

    def palette_commands(self) -> Iterable[PaletteCommand]:
        yield PaletteCommand("Namespace: shop", "look at [it]", lambda: self.done.append("shop"))
        yield PaletteCommand(EVIL, "[/]", lambda: self.done.append("evil"))


def by_title(provider: ActionProvider) -> dict[str, PaletteCommand]:
    return {command.title: command for command in provider.commands()}


async def searched(provider: ActionProvider, query: str) -> list[Hit]:
    return [hit async for hit in provider.search(query) if isinstance(hit, Hit)]


async def test_available_actions_are_listed_with_keys() -> None:
    app = Palettes()
    app.set_keymap({"forwards.stop": "ctrl+x,delete"})
    async with app.run_test():
        found = by_title(ActionProvider(app.screen))
        assert found["Stop the forward"].help == "key: ctrl+x del"
        assert found["Another order"].help == "key: s"
        assert found["Leave"].help == "key: q"
        assert "Its key is taken" in found  # by no key here, but from the palette
        assert {"Switch the port: 1", "Switch the port: 2", "Namespace: shop"} <= found.keys()
        for absent in ("Cannot work now", "Is shown dim", "The row above", "No such syntax"):
            assert absent not in found


async def test_commands_run_their_action() -> None:
    app = Palettes()
    async with app.run_test() as pilot:
        found = by_title(ActionProvider(app.screen))
        await found["Stop the forward"].run()  # type: ignore[misc]
        await found["Ring"].run()  # type: ignore[misc]
        found["Namespace: shop"].run()
        await pilot.pause()
        assert (app.done, app.bells) == (["end", "shop"], 1)


async def test_discover_lists_everything_without_markup() -> None:
    app = Palettes()
    async with app.run_test():
        provider = ActionProvider(app.screen)
        hits = [hit async for hit in provider.discover() if isinstance(hit, DiscoveryHit)]
        assert len(hits) == len(provider.commands())
        evil = next(hit for hit in hits if "prod" in str(hit.display))
        assert isinstance(evil.display, Content)
        assert "[bold]prod[/nope]" in evil.display.plain
        assert "\x1b" not in evil.display.plain
        assert Content.from_markup(evil.help or "").plain == "[/]"


async def test_search_matches_words_best_first() -> None:
    app = Palettes()
    async with app.run_test():
        provider = ActionProvider(app.screen, match_style=Style(bold=True))
        best = sorted(await searched(provider, "ns shop"), key=lambda hit: -hit.score)
        assert [hit.text for hit in best] == ["Namespace: shop"]
        assert [hit.text for hit in await searched(provider, "shop space")] == ["Namespace: shop"]
        assert not await searched(provider, "shop zebra")
        assert len(await searched(provider, "[bold]prod")) == 1
        stop = next(
            hit for hit in await searched(provider, "stop") if hit.text == "Stop the forward"
        )
        assert isinstance(stop.match_display, Content)
        assert [(span.start, span.end) for span in stop.match_display.spans] == [(0, 4)]


async def test_app_without_own_commands() -> None:
    class Plain(App[None]):
        BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "quit", "Quit", id="app.quit")]

    app = Plain()
    async with app.run_test():
        assert [command.title for command in ActionProvider(app.screen).commands()] == ["Quit"]


async def test_palette_shows_unusual_names_unchanged() -> None:
    app = Palettes()
    async with app.run_test(size=(100, 40)) as pilot:
        app.action_command_palette()
        await until(lambda: isinstance(app.screen, CommandPalette))
        await pilot.press(*"context")

        def text() -> str:
            strips = app.screen._compositor.render_strips()
            return "\n".join("".join(segment.text for segment in strip) for strip in strips)

        await until(lambda: "Context: [bold]prod[/nope]" in text())
        await pilot.press("enter")
        await until(lambda: app.done == ["evil"])


@pytest.mark.parametrize(
    ("query", "title", "more", "found"),
    [("", "x", "", False), ("x", "x", "", True), ("ab", "b a", "", False),
     ("theme dark", "Theme: forward-dark", "", True), ("key", "Sort", "key: s", True),
     ("zz", "Sort", "key: s", False)],
)  # fmt: skip
def test_matching(query: str, title: str, more: str, found: bool) -> None:
    score = match_score(query, title, more)
    assert (score is not None) is found
    assert score is None or 0 < score <= 1


def test_title_has_more_weight_than_help() -> None:
    assert (match_score("stop", "Stop x", "") or 0) > (
        match_score("stop", "End x", "to stop it") or 0
    )
    assert match_spans("b c", "a b") == [(2, 3)]
    assert match_spans("i", "İx") == []
