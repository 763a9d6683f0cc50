from __future__ import annotations

import gc
import weakref

import pytest
from textual.widget import Widget

from tests.cli.fake_session import until
from tests.tui.app_harness import running, shows
from tests.tui.samples import shop
from tui_forward.tui.controllers import memory_controller
from tui_forward.tui.screens.help import HelpScreen


# Whether the user pauses, or opens one screen after the other.
@pytest.mark.parametrize(("pause_s", "at_once"), [(0.3, 100), (1000.0, 2)])
async def test_closed_screens_are_freed(
    monkeypatch: pytest.MonkeyPatch, pause_s: float, at_once: int
) -> None:
    monkeypatch.setattr(memory_controller, "_PAUSE_S", pause_s)
    monkeypatch.setattr(memory_controller, "_MAX_CLOSED", at_once)
    caches: list[weakref.ref[object]] = []
    async with running(shop()) as (app, pilot):
        monkeypatch.setattr(app._memory, "_release", gc.collect)
        await shows(app, "web-1")

        async def open_and_close() -> None:
            await pilot.press("question_mark")
            await until(lambda: isinstance(app.screen, HelpScreen))
            widgets = (app.screen, *app.screen.walk_children(Widget))
            caches.extend(weakref.ref(one._styles_cache) for one in widgets)
            await pilot.press("escape")
            await until(lambda: app.screen is app.dashboard)

        await open_and_close()
        shown_once = list(caches)
        for _ in range(3 if at_once == 2 else 0):
            await open_and_close()
        await until(lambda: not any(cache() for cache in shown_once))


async def test_garbage_of_the_start_is_settled_with_the_first_rows() -> None:
    settled: list[str] = []
    async with running(shop()) as (app, _pilot):
        memory = memory_controller.MemoryController(
            app._sampler, release=lambda: None, settle=lambda: settled.append("settled")
        )
        worker = app.run_worker(memory.run())
        await until(lambda: settled == ["settled"])
        worker.cancel()
