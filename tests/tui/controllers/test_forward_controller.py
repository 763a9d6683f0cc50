from __future__ import annotations

from tests.cli.fake_session import until
from tests.tui.app_harness import running, shows
from tests.tui.samples import shop
from tui_forward.errors import ForwardError
from tui_forward.model import (
    TargetKind,
)


async def test_digit_starts_and_stops_a_port() -> None:
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
        await pilot.press("2")
        await until(lambda: not session.forwards)
        assert [call[0] for call in session.calls if call[0] in ("start", "stop")] == [
            "start", "stop",
        ]  # fmt: skip


async def test_commands_run_in_order() -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1", "1", "1")
        await until(lambda: len([c for c in session.calls if c[0] in ("start", "stop")]) == 3)
        assert len(session.forwards) == 1


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
        await shows(app, "● ready", "127.0.0.1:8081")
        await pilot.press("x")
        await until(lambda: not session.forwards)
        await shows(app, "Press u to restore it")
        await pilot.press("u")
        await until(lambda: session.forwards)
        assert next(iter(session.forwards.values())).spec.local_port == 8081
        await pilot.press("u")  # no more to restore
        await shows(app, "● ready")
        assert len(session.forwards) == 1
