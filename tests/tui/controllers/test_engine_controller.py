from __future__ import annotations

import asyncio

from tests.cli.fake_session import until
from tests.tui.app_harness import notifications, running, shows
from tests.tui.samples import shop
from tui_forward.errors import TransportError
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.controllers.engine_controller import EngineController

COMMAND = "Restart the engine; ports stay open"


def titles(app: TuiForwardApp) -> list[str]:
    return [command.title for command in app.palette_commands()]


async def test_palette_restarts_the_engine_once() -> None:
    release = asyncio.Event()
    calls: list[int] = []

    async def restart() -> int:
        calls.append(1)
        await release.wait()
        if len(calls) > 1:
            raise TransportError("the engine is busy", hint="try again")
        return 2

    async with running(shop(), (110, 34)) as (app, pilot):
        await shows(app, "web-1")
        assert COMMAND not in titles(app)  # an engine in this process
        app._engine = EngineController(app, app._sampler, app._notifier, restart)
        await pilot.press("ctrl+p", *"restart the")
        await shows(app, COMMAND)
        await pilot.press("enter")
        await until(lambda: calls == [1])
        app._engine.restart()
        await until(lambda: "The engine is being restarted" in notifications(app))
        release.set()
        answer = "Engine restarted. 2 connections continue in the old one."
        await until(lambda: answer in notifications(app))
        app._engine.restart()
        await until(lambda: any("the engine is busy" in one for one in notifications(app)))
        assert calls == [1, 1]
