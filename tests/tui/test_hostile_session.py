"""The whole dashboard on a session whose every text was written by an attacker.

Each screen must open, show the texts as data, and write printable characters only.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen

from tests.cli.fake_session import until
from tests.support.hostile_session import CONTEXT, HOSTILE, MARKUP, HostileSession, fill
from tests.tui.app_harness import screen_text
from tui_forward.daemon.log_record import LogEntry, encode_entry
from tui_forward.errors import ForwardError, TuiForwardError
from tui_forward.model import Hop, HopKind
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.controllers.restore_controller import RestoreOffer
from tui_forward.tui.storage.paths import DashboardPaths
from tui_forward.tui.widgets.log_view import LogView


def files_of(folder: Path, text: str) -> DashboardPaths:
    """Return files of the attacker: profiles, a working tree and a log."""
    name = "".join(text.split("/"))[:40].replace("\0", "").encode()[:200].decode(errors="ignore")
    profiles, tree = folder / "profiles", folder / f"tree{name}"
    profiles.mkdir()
    (tree / ".git").mkdir(parents=True)
    good = {
        "description": MARKUP, "context": MARKUP, "label": MARKUP,
        "forwards": {"db": {"target": "svc/db", "port": 80, "label": MARKUP, "address": "::"}},
    }  # fmt: skip
    (profiles / "good.yaml").write_bytes(msgspec.json.encode(good))
    (profiles / f"bad{name}.yaml").write_bytes(msgspec.json.encode({text[:300] or "x": text}))
    (tree / ".tui-forward.yaml").write_bytes(msgspec.json.encode(good))
    log = folder / "log"
    lines = [
        encode_entry(LogEntry(time="t", level=level, logger=text, message=text, exception=text))
        for level in ("info", "error")
    ]
    log.write_bytes("\n".join([*lines, text]).encode() + b"\n\xff\x9b\x1b[2J\n")
    return DashboardPaths(
        log=log, profiles=profiles, trusted_profiles=folder / "trusted.json", working_dir=tree,
        favorites=folder / "favorites.json",
    )  # fmt: skip


class Visitor:
    """Presses keys, and checks the screen after each of them."""

    def __init__(self, app: TuiForwardApp, pilot: Pilot[None]) -> None:
        self.app = app
        self._pilot = pilot
        self.visited: set[str] = set()

    def check(self) -> None:
        app = self.app
        assert app.crash is None, app.crash
        assert app.is_running
        self.visited.add(type(app.screen).__name__)
        for strip in app.screen._compositor.render_strips():
            for segment in strip:
                assert segment.text.isprintable(), segment.text
                meta = segment.style.meta if segment.style is not None else {}
                assert "app.quit" not in str(meta), "markup became an action"
            assert strip.cell_length == app.size.width

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self._pilot.press(key)
            self.check()

    async def close_dialogs(self) -> None:
        for _ in range(10):
            if self.app.screen is self.app.dashboard:
                return
            await self.press("escape")
        raise AssertionError(self.app.screen)

    async def until(self, condition: Callable[[], bool]) -> None:
        await until(condition, 30)
        self.check()

    async def open(self, key: str, screen: str) -> Screen[Any]:
        """Open a screen by a key."""
        await self.press(key)
        await self.until(lambda: type(self.app.screen).__name__ == screen)
        return self.app.screen


@asynccontextmanager
async def visiting(text: str, folder: Path) -> AsyncIterator[Visitor]:
    session = HostileSession(text)

    async def restore() -> list[TuiForwardError]:
        return [ForwardError(f"restore{text}", hint=text)]

    offer = RestoreOffer([one.spec for one in session.forwards.values()], restore, lambda: None)
    app = TuiForwardApp(
        session, context=CONTEXT, namespace="", paths=files_of(folder, text),
        startup_message=f"startup{text}", restore_offer=offer,
    )  # fmt: skip
    async with app.run_test(size=(110, 34), notifications=True, tooltips=True) as pilot:
        yield Visitor(app, pilot)
    assert app.crash is None


def shown(app: App[None], text: str) -> bool:
    return text in screen_text(app)  # type: ignore[arg-type]


@pytest.mark.timeout(180)
async def test_every_screen_shows_hostile_texts_as_data(tmp_path: Path) -> None:
    async with visiting(HOSTILE, tmp_path) as visitor:
        app = visitor.app
        await visitor.until(lambda: type(app.screen).__name__ == "RestoreScreen")
        await visitor.press("y")  # each forward that is not restored is a notification
        await visitor.until(lambda: app.screen is app.dashboard)
        await visitor.until(lambda: shown(app, "[/nope]c"))
        # Lists of workloads, pods and services; groups and sort orders; all panes.
        await visitor.press("1", "m", "asterisk", "right", "t", "1", "t", "1", "t")
        await visitor.press("tab", "b", "b", "b", "b", "z", "z", "T", "a", "l")
        await visitor.close_dialogs()
        await visitor.press("x")
        await visitor.close_dialogs()
        await visitor.press("slash", "[", "escape")
        # What keys ask in the place of their line, and the columns to sort by.
        await visitor.open("s", "SortPrompt")
        await visitor.close_dialogs()
        for key, screen in (
            ("colon", "JumpScreen"), ("d", "DescribeScreen"), ("l", "PodLogScreen"),
            ("n", "Picker"), ("c", "Picker"), ("v", "PasteDialog"), ("question_mark", "HelpScreen"),
            ("ctrl+p", "PaletteScreen"), ("W", "SaveProfileScreen"), ("f", "ForwardForm"),
        ):  # fmt: skip
            app.dashboard.tables.entries.focus()
            await visitor.open(key, screen)
            await visitor.press("[")
            await visitor.close_dialogs()
        # The log of the engine.
        await visitor.open("ctrl+l", "LogScreen")
        await visitor.until(lambda: app.screen.query_one(LogView)._lines != ())
        await visitor.press("w", "slash", "[", "enter", "escape")
        await visitor.close_dialogs()
        # Profiles: a valid one, an invalid one, one of a working tree.
        for number in range(3):
            await visitor.open("P", "Picker")
            await visitor.press(*["down"] * number, "enter")
            await visitor.until(lambda: type(app.screen).__name__ == "ProfileScreen")
            await visitor.press("m", "r")
            await visitor.close_dialogs()
        # Details of a forward, with the log of its pod, and its form.
        app.dashboard.tables.forwards.focus()
        await visitor.press("y", "p", "x")
        await visitor.close_dialogs()
        await visitor.open("d", "DetailScreen")
        await visitor.press("left_square_bracket", "c", "left_square_bracket", "x", "J", "K", "R")
        await visitor.open("l", "PodLogScreen")
        await visitor.close_dialogs()
        await visitor.open("d", "DetailScreen")
        await visitor.open("e", "ForwardForm")
        await visitor.close_dialogs()
        await visitor.open("q", "QuitScreen")
        await visitor.close_dialogs()
        assert app.is_running
        assert len(visitor.visited) >= 11


def texts_of(value: Any) -> Iterator[str]:
    for field in msgspec.structs.fields(value):
        item = getattr(value, field.name)
        if isinstance(item, str) and not isinstance(item, enum.Enum):
            yield item


def test_the_attacker_fills_every_text() -> None:
    filled = fill(Hop(kind=HopKind.API, name="n", facts=("f",)), MARKUP)
    assert all(MARKUP in text for text in texts_of(filled))
    assert MARKUP in filled.facts[0]
