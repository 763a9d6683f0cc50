from __future__ import annotations

import asyncio

import msgspec
import pytest

from tests.cli.fake_session import until
from tests.tui.app_harness import notifications, running, shows
from tests.tui.samples import shop
from tui_forward.errors import TransportError
from tui_forward.model import (
    Counters,
    EngineNotice,
    EventKind,
    ForwardSpec,
    ForwardState,
    Target,
    TargetKind,
    TrafficHistory,
)
from tui_forward.tui.controllers import sampler
from tui_forward.tui.screens.help import HelpScreen


async def test_traffic_before_the_start_is_shown() -> None:
    session = shop()
    target = Target(context="here", namespace="shop", kind=TargetKind.POD, name="web", port="80")
    forward_id = await session.start(ForwardSpec(target=target))
    session.make_ready(forward_id)
    session.history_list = (
        TrafficHistory(forward_id=forward_id, seconds=((100, 0), (0, 0), (2_000_000_000, 0))),
    )
    async with running(session, (140, 34)) as (app, _pilot):
        await shows(app, "▁ █")


async def test_lost_engine_is_shown_and_recovers() -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        session.fail(TransportError("the engine process has ended"))
        await shows(app, "■ the engine process has ended", "web-1")
        await pilot.press("1", "tab", "x", "r", "question_mark", "escape")
        session.broken = None
        await shows(app, "API ●")


async def test_hanging_session_does_not_block_the_screen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tui_forward.tui.controllers.session_timeout.ANSWER_TIMEOUT_S", 0.1)
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")

        async def hang() -> object:
            return await asyncio.Event().wait()

        monkeypatch.setattr(session, "snapshot", hang)
        await shows(app, "the engine is not responding")
        await pilot.press("question_mark")
        await until(lambda: isinstance(app.screen, HelpScreen))


async def test_blocked_forward_notifies_once() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        session.change("f1", ForwardState.BLOCKED, "the token has expired", hint="log in again")
        await shows(app, "blocked: the token has expired")
        await until(lambda: len(app._notifications) == 1)


async def test_toast_replaces_one_of_its_topic_or_text() -> None:
    async with running(shop(), (120, 34)) as (app, _pilot):
        await shows(app, "web-1")
        for count in range(2, 6):
            app.notify(f"prod!: {count} forwards reconnecting", topic="reconnecting prod")
        for _ in range(5):
            app.notify("Nothing to undo")
        await shows(app, "prod!: 5 forwards reconnecting")
        await until(
            lambda: notifications(app) == ["prod!: 5 forwards reconnecting", "Nothing to undo"]
        )
        for number in range(5):
            app.notify(f"number {number}")
        await until(lambda: notifications(app) == [f"number {number}" for number in (2, 3, 4)])


async def test_state_change_does_not_wait_for_the_next_sample() -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        app._sampler.set_interval(60.0)
        await pilot.press("1")
        await shows(app, "● ready")
        session.change("f1", ForwardState.RECONNECTING, "pod web-1 was deleted")
        await shows(app, "◐ reconnecting", "pod web-1 was deleted")


async def test_first_change_after_a_pause_does_not_wait_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        app._sampler.set_interval(3600.0)
        await pilot.press("1")
        await shows(app, "● ready")
        monkeypatch.setattr(sampler, "COALESCE_S", 3600.0)
        app._sampler._sampled_at -= 3600.0
        session.change("f1", ForwardState.RECONNECTING, "pod web-1 was deleted")
        await shows(app, "◐ reconnecting")
        session.change("f1", ForwardState.READY)
        await pilot.pause()
        assert app._sampler.snapshot.forwards[0].state is ForwardState.RECONNECTING


async def test_idle_dashboard_samples_seldom_until_a_connection_opens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = shop()
    samples = 0
    snapshot = session.snapshot

    async def count() -> object:
        nonlocal samples
        samples += 1
        return await snapshot()

    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        monkeypatch.setattr(sampler, "QUIET_INTERVAL_S", 60.0)
        app._sampler.set_interval(15.0)
        await until(lambda: app._sampler._is_idle)
        monkeypatch.setattr(session, "snapshot", count)
        assert app._sampler._next_interval_s() == 60.0
        session.emit(EventKind.CONNECTION_OPENED, "f1")
        await until(lambda: samples >= 1)
        app._sampler.snapshot = msgspec.structs.replace(
            app._sampler.snapshot, totals=Counters(bytes_from_pod=5)
        )
        assert app._sampler._next_interval_s() == 15.0


async def test_problems_of_the_engine_are_shown_once_whatever_the_clock_is() -> None:
    """Problems last, so those from before the start are shown, too; news of profiles is not."""
    session = shop()

    def notice(number: int, profile: str, *, is_problem: bool = True) -> EngineNotice:
        # The engine's clock was set back, or ours was.
        return EngineNotice(
            number=number, at=1.0, profile=profile, text=f"text {number}", is_problem=is_problem
        )

    session.notices = (notice(1, "old"), notice(2, ""), notice(3, "", is_problem=False))
    async with running(session) as (app, _):
        await until(lambda: notifications(app) == ["Engine: text 2"])
        session.notices = (*session.notices, notice(4, "new"))
        await until(lambda: notifications(app) == ["Engine: text 2", "Profile new: text 4"])
