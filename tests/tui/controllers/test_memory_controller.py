from __future__ import annotations

import gc
import weakref

import pytest
from textual.widget import Widget

from tests.cli.fake_session import until
from tests.tui.app_harness import running, shows
from tests.tui.samples import shop
from tui_forward.common.garbage import GarbageCollector
from tui_forward.tui.controllers import memory_controller
from tui_forward.tui.screens.help import HelpScreen


class Collector(GarbageCollector):
    """Collects without exempting the objects of other tests."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def freeze(self) -> None:
        self.calls.append("freeze")

    def collect_recent(self) -> None:
        self.calls.append("recent")
        gc.collect()

    def collect(self) -> None:
        self.calls.append("all")
        gc.collect()


# Whether the user pauses, or opens one screen after the other.
@pytest.mark.parametrize(("pause_s", "call"), [(1.0, "all"), (1000.0, "recent")])
async def test_closed_screens_are_freed(
    monkeypatch: pytest.MonkeyPatch, pause_s: float, call: str
) -> None:
    monkeypatch.setattr(memory_controller, "_PAUSE_S", pause_s)
    caches: list[weakref.ref[object]] = []
    collector = Collector()
    async with running(shop()) as (app, pilot):
        app._memory._collector = collector
        app.run_worker(app._memory.run())
        await until(lambda: collector.calls == ["freeze"])

        async def open_and_close() -> None:
            app.push_screen(HelpScreen().fill([("keys", (("q", "quit"),))]))
            await until(lambda: isinstance(app.screen, HelpScreen))
            widgets = (app.screen, *app.screen.walk_children(Widget))
            caches.extend(weakref.ref(one._styles_cache) for one in widgets)
            await pilot.press("escape")
            await until(lambda: app.screen is app.dashboard)

        await open_and_close()
        shown_first = list(caches)
        if call == "recent":
            # One screen after the other: the closed ones are freed in between.
            while "recent" not in collector.calls or any(cache() for cache in shown_first):
                await open_and_close()
        await until(lambda: not any(cache() for cache in shown_first))
        assert set(collector.calls) == {"freeze", call}


async def test_collection_waits_while_keys_are_pressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_controller, "_PAUSE_S", 0.01)
    collector, now, looks = Collector(), 5.0, 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return now

    async with running(shop()) as (app, _pilot):
        memory = memory_controller.MemoryController(app._sampler, collector, clock)
        memory.note_input()
        app.run_worker(memory.run())
        await until(lambda: collector.calls == ["freeze"])
        memory.note_closed()
        await until(lambda: looks >= 5)
        assert collector.calls == ["freeze"]
        now = 6.0
        await until(lambda: collector.calls == ["freeze", "all"])


async def test_input_is_noted() -> None:
    async with running(shop()) as (app, pilot):
        await shows(app, "web-1")
        before = app._memory._last_input
        await pilot.press("j")
        after_key = app._memory._last_input
        assert after_key > before
        await pilot.click()
        assert app._memory._last_input > after_key


async def test_lines_of_closed_screens_are_freed_at_once() -> None:
    async with running(shop()) as (app, pilot):
        await shows(app, "web-1")
        app.push_screen(HelpScreen().fill([("keys", (("q", "quit"),))]))  # no kept one
        await shows(app, "Run the key")
        caches = [one._styles_cache for one in app.screen.walk_children(Widget)]
        assert any(cache._cache for cache in caches)
        await pilot.press("escape")
        await until(lambda: app.screen is app.dashboard)
        assert not any(cache._cache for cache in caches)
