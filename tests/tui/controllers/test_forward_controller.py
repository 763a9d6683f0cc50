from __future__ import annotations

import asyncio

import pytest

from tests.cli.fake_session import until
from tests.tui.app_harness import notifications, running, shows
from tests.tui.samples import shop
from tui_forward.errors import ForwardError
from tui_forward.model import ForwardSpec, Target, TargetKind
from tui_forward.session import batch
from tui_forward.tui.controllers import session_timeout


def spec() -> ForwardSpec:
    target = Target(context="here", namespace="shop", kind=TargetKind.POD, name="web-1", port="80")
    return ForwardSpec(target=target)


async def test_digit_starts_a_port_and_never_stops_it() -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("2")
        await until(lambda: session.forwards)
        spec = next(iter(session.forwards.values())).spec
        assert (spec.target.kind, spec.target.name, spec.target.port) == (
            TargetKind.POD, "web-1", "metrics",
        )  # fmt: skip
        assert (spec.target.context, spec.target.namespace) == ("here", "shop")
        assert spec.local_port is None
        assert not spec.target.pin
        await shows(app, "● ready")
        await pilot.press("2")  # goes to it
        await until(lambda: app.focused is app.dashboard.tables.forwards)
        assert app.dashboard.tables.forwards.cursor == "f1"
        assert [call[0] for call in session.calls if call[0] in ("start", "stop")] == ["start"]


async def test_keys_of_an_active_port_stop_and_start_nothing() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1", "1", "1")  # all at once, before the first start is drawn
        await shows(app, "● ready")
        for keys in (("1",), ("enter", "enter"), ("enter", "space"), ("space",)):
            app.dashboard.tables.entries.focus()
            await pilot.press(*keys)
            await until(lambda: app.focused is app.dashboard.tables.forwards)
        app.dashboard.tables.entries.focus()
        await pilot.press("enter")
        ports = app.dashboard.query_one("#ports")
        await pilot.click("#ports", offset=(6, 2), times=2)
        await until(lambda: app.focused is not ports)
        calls = [call[0] for call in session.calls]
        assert calls.count("start") == 1
        assert not {"stop", "pause"} & set(calls)


async def test_failed_command_shows_error_and_hint() -> None:
    session = shop()

    def refuse(*_: object) -> None:
        raise ForwardError("port 8080 is taken by nginx (42)", hint="stop it")

    session.on_start = refuse
    async with running(session, (120, 30)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "port 8080 is taken by nginx (42)", "stop it")


async def test_undo_restores_a_forward_on_its_port() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready", ":8081")
        await pilot.press("x")
        await until(lambda: not session.forwards)
        await shows(app, "u restores it.")
        await pilot.press("u")
        await until(lambda: session.forwards)
        assert next(iter(session.forwards.values())).spec.local_port == 8081
        await pilot.press("u")  # no more to restore
        await shows(app, "● ready", "Nothing to undo")
        assert len(session.forwards) == 1


async def test_stop_of_many_reports_and_restores_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow ones are not lost because of a limit for all, and those stopped can be restored."""
    monkeypatch.setattr(session_timeout, "ANSWER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(batch, "STOP_TIMEOUT_S", 3.0)
    session = shop()
    stop = session.stop

    async def slow_stop(forward_id: str) -> None:
        await asyncio.sleep(60 if forward_id == "f2" else 0.2)
        await stop(forward_id)

    monkeypatch.setattr(session, "stop", slow_stop)
    async with running(session, (120, 40)) as (app, pilot):
        await shows(app, "web-1")
        for _ in range(5):
            await session.start(spec())
        await shows(app, "5 forwards: ●5")
        app._forwards.stop(list(session.forwards))
        await until(lambda: any("Stopped" in text for text in notifications(app)))
        failed, stopped = notifications(app)[-2:]
        assert failed.startswith("cannot stop 1 forward: the engine did not answer within 3 s\n")
        assert stopped == "Stopped 4 forwards. u restores them."
        assert list(session.forwards) == ["f2"]
        await pilot.press("u")
        await until(lambda: "4 forwards restored" in notifications(app))
        assert len(session.forwards) == 5


async def test_forward_that_cannot_be_restored_can_be_later() -> None:
    session = shop()
    async with running(session, (120, 40)) as (app, pilot):
        await shows(app, "web-1")
        await session.start(spec())
        await shows(app, "1 forward")
        app._forwards.stop(["f1"])
        await until(lambda: app._forwards._undo)

        def refuse(*_: object) -> None:
            session.forwards.clear()
            raise ForwardError("no port", hint="stop it")

        session.on_start, on_start = refuse, session.on_start
        await pilot.press("u")
        await shows(app, "no port")
        session.on_start = on_start
        await pilot.press("u")
        await shows(app, "restored", "1 forward")
