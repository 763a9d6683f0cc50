from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.app import App
from textual.pilot import Pilot

from tests.support.waiting import until
from tui_forward.tui.screens import confirmation
from tui_forward.tui.screens.confirmation import ConfirmationScreen, Question
from tui_forward.tui.themes import ThemedApp

STOP = Question("Stop deploy/web:http? Closes 3 connections.", "Stop", ("x",))


class Asking(ThemedApp[None]):
    """App that asks at once, with a clock of the test."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.answers: list[bool | None] = []

    def on_mount(self) -> None:
        self.push_screen(ConfirmationScreen(STOP, lambda: self.now), self.answers.append)


@asynccontextmanager
async def asking() -> AsyncIterator[tuple[Asking, Pilot[None]]]:
    app = Asking()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: isinstance(app.screen, ConfirmationScreen) and app.screen.is_mounted)
        yield app, pilot


def text(app: App[None]) -> str:
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def test_same_key_confirms_after_a_pause_only() -> None:
    async with asking() as (app, pilot):
        await until(lambda: f" {STOP.text}  x Stop  esc Cancel" in text(app))
        for at in (0.1, 0.3, 0.55, 0.8):  # a key that is held repeats
            app.now = at
            await pilot.press("x")
        assert app.answers == []
        app.now = 1.2
        await pilot.press("x")
        await until(lambda: app.answers == [True])


@pytest.mark.parametrize(("key", "answer"), [("enter", True), ("escape", False)])
async def test_key_answers_at_once(key: str, answer: bool) -> None:
    async with asking() as (app, pilot):
        await pilot.press("q", "d", key)
        await until(lambda: app.answers == [answer])


async def test_question_that_is_not_answered_is_canceled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmation, "TIMEOUT_S", 0.05)
    app = Asking()
    async with app.run_test(size=(80, 24)):
        await until(lambda: app.answers == [False])  # the question may be gone already


@pytest.mark.parametrize(("word", "answer"), [("x Stop", True), ("esc Cancel", False)])
async def test_keys_can_be_clicked(word: str, answer: bool) -> None:
    async with asking() as (app, pilot):
        await until(lambda: word in text(app))
        line = next(line for line in text(app).splitlines() if word in line)
        await pilot.click(offset=(line.index(word) + 1, 22))
        await until(lambda: app.answers == [answer])


async def test_click_elsewhere_cancels() -> None:
    async with asking() as (app, pilot):
        await pilot.click(offset=(3, 3))
        await until(lambda: app.answers == [False])
