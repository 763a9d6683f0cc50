"""What wakes the dashboard while nothing happens, and what does not wait for that."""

from __future__ import annotations

import pytest

from tests.support.virtual_time import VirtualTime
from tests.tui.app_harness import running, shows
from tests.tui.samples import SHOP, pod, shop, view
from tui_forward.model import EventKind, ForwardSpec, Target, TargetKind
from tui_forward.tui.controllers import sampler
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.viewmodel.context_names import ContextNaming

# What may set a timer, and why: see "Timers" in ARCHITECTURE.md.
KNOWN = {
    "Sampler.run", "Sampler.run.<locals>", "InspectorController._poll",
    "ProtectionController.run", "MemoryController.run",
}  # fmt: skip


async def test_idle_dashboard_wakes_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    session = shop()
    for number in range(1, 16):
        target = Target(
            context="here", namespace="shop", kind=TargetKind.POD, name="web-1", port="http"
        )
        await session.start(ForwardSpec(target=target))
        session.update(f"f{number}", since=1.0)
    async with running(session, size=(160, 48), clock=lambda: 1e9) as (app, _pilot):
        monkeypatch.setattr(sampler, "QUIET_INTERVAL_S", 15.0)
        time = VirtualTime(monkeypatch)
        await time.pass_seconds(60)
        before = app._sampler.count
        drawn: list[ContextNaming] = []
        monkeypatch.setattr(Dashboard, "name_contexts", lambda _, naming: drawn.append(naming))
        await time.pass_seconds(120)
        assert not drawn, "the names of contexts have not changed"
        assert app._sampler.count - before <= 9
        unknown = {name for name in time.fired if name not in KNOWN}
        assert not unknown
        assert sum(time.fired.values()) <= 30
    monkeypatch.undo()


async def test_change_is_shown_although_the_next_sample_is_far(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = shop()
    async with running(session, size=(120, 36), clock=lambda: 1e9) as (app, _pilot):
        monkeypatch.setattr(sampler, "QUIET_INTERVAL_S", 3600.0)
        await shows(app, "web-1")
        await app._sampler.wait_for_sample()
        session.views[SHOP] = view(pod("api-7"), version=2)
        session.emit(EventKind.LOGIN, "")  # wakes readers of `changes`; no event of a forward
        await shows(app, "api-7")
