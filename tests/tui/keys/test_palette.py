"""Commands of the palette: what is listed, in which groups, and what is found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import pytest
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Static

from tests.support.waiting import until
from tui_forward.tui.app_actions import bindable_classes
from tui_forward.tui.keys.key_names import bindings_of
from tui_forward.tui.keys.palette import (
    Group,
    PaletteCommand,
    collect,
    find_commands,
    group_of,
    match_score,
    match_spans,
)
from tui_forward.tui.screens.palette import PaletteScreen

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
    ENABLE_COMMAND_PALETTE: ClassVar = False
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
        yield PaletteCommand("Namespace: shop", lambda: self.done.append("shop"), Group.GO_TO)
        yield PaletteCommand(EVIL, lambda: self.done.append("evil"), only_found=True)

    def action_command_palette(self) -> None:
        def run(command: PaletteCommand | None) -> None:
            if command is not None:
                self.call_later(command.run)

        commands = collect(self, self.screen, self.palette_commands())
        self.push_screen(PaletteScreen().fill(commands, "Forward web"), run)


def by_title(app: Palettes) -> dict[str, PaletteCommand]:
    return {command.title: command for command in collect(app, app.screen, app.palette_commands())}


async def test_available_actions_are_listed_with_keys() -> None:
    app = Palettes()
    app.set_keymap({"forwards.stop": "ctrl+x,delete"})
    async with app.run_test():
        found = by_title(app)
        assert found["Stop the forward"].keys == "ctrl+x del"
        assert found["Stop the forward"].group is Group.THIS
        assert found["Another order"].keys == "s"
        assert found["Leave"].keys == "q"
        assert found["Its key is taken"].keys == ""  # from the palette only
        assert {"Switch the port: 1", "Switch the port: 2", "Namespace: shop"} <= found.keys()
        for absent in ("Cannot work now", "Is shown dim", "The row above", "No such syntax"):
            assert absent not in found


async def test_commands_run_their_action() -> None:
    app = Palettes()
    async with app.run_test() as pilot:
        found = by_title(app)
        await found["Stop the forward"].run()  # type: ignore[misc]
        await found["Ring"].run()  # type: ignore[misc]
        found["Namespace: shop"].run()
        await pilot.pause()
        assert (app.done, app.bells) == (["end", "shop"], 1)


async def test_commands_of_keys_only() -> None:
    class Plain(App[None]):
        BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "quit", "Quit", id="app.quit")]

    app = Plain()
    async with app.run_test():
        assert [command.title for command in collect(app, app.screen)] == ["Quit"]


def nothing() -> None:
    return None


COMMANDS = (
    PaletteCommand("Reconnect now", nothing, Group.THIS, "r"),
    PaletteCommand("Stop the forward; u restores it", nothing, Group.THIS, "x"),
    PaletteCommand("Stop the forward; u restores it", nothing, Group.THIS, "space"),
    PaletteCommand("Quit", nothing, Group.PROGRAM, "q"),
    PaletteCommand("Reconnect all that are not ready (2)", nothing, Group.ALL),
    PaletteCommand("Namespace retail", nothing, Group.GO_TO, only_found=True),
)


@pytest.mark.parametrize(
    ("query", "lines", "best"),
    [
        (
            "",
            ["Forward web", "Reconnect now", "Stop the forward; u restores it", "All forwards",
             "Reconnect all that are not ready (2)", "Program", "Quit"],
            1,
        ),
        (
            "re",
            ["Forward web", "Reconnect now", "Stop the forward; u restores it", "All forwards",
             "Reconnect all that are not ready (2)", "Go to", "Namespace retail"],
            1,
        ),
        ("namesp ret", ["Go to", "Namespace retail"], 1),
        ("program", ["Program", "Quit"], 1),
        ("rcon", ["Forward web", "Reconnect now", "All forwards",
                   "Reconnect all that are not ready (2)"], 1),
        ("nothing like it", [], -1),
    ],
)  # fmt: skip
def test_found_commands_are_in_groups(query: str, lines: list[str], best: int) -> None:
    found = find_commands(COMMANDS, query, "Forward web")
    shown = [line if isinstance(line, str) else line.title for line in found.lines]
    assert (shown, found.best) == (lines, best)


def test_every_binding_has_a_group() -> None:
    """All keys of a forward are in the first group, all of the program in the last one."""
    for owner in bindable_classes():
        for binding in bindings_of(owner):
            if binding.id is not None and binding.id.startswith("forwards."):
                expected = Group.SHOW if "screen." in binding.action else Group.THIS
                if binding.action == "screen.forward('pause')":
                    expected = Group.THIS
                assert group_of(binding.id) is expected
    assert group_of("app.quit") is Group.PROGRAM
    assert group_of("app.save-profile") is Group.PROFILES
    assert group_of("log.wrap") is Group.SHOW


async def test_palette_shows_unusual_names_unchanged_and_keys_at_the_right() -> None:
    app = Palettes()
    async with app.run_test(size=(100, 40)) as pilot:
        app.action_command_palette()
        await until(lambda: isinstance(app.screen, PaletteScreen))

        def text() -> str:
            strips = app.screen._compositor.render_strips()
            return "\n".join("".join(segment.text for segment in strip) for strip in strips)

        await until(lambda: "Stop the forward" in text())
        lines = {line.strip(" │").split("  ")[0]: line for line in text().splitlines()}
        assert {"Forward web", "Go to", "Namespace: shop"} <= lines.keys()
        assert "prod" not in text()
        assert lines["Stop the forward"].rstrip(" │").endswith("x")
        assert lines["Leave"].rstrip(" │").endswith("  q")
        await pilot.press(*"context")
        await until(lambda: "Context: [bold]prod[/nope]" in text())
        assert "\x1b" not in text()
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
