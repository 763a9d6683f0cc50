"""Applications that do not serve: `crash-loop` and `silent`."""

from __future__ import annotations

import asyncio

from tui_forward.minicluster.runtime.apps.context import AppContext


async def crash_loop(context: AppContext) -> int:
    """Exit with `EXIT_CODE` (3) after `LIFE_S` (2) seconds."""
    life_s = context.get_seconds("LIFE_S", 2.0)
    context.log("crash-loop: connecting to the payment provider …")
    context.report_ready()
    await asyncio.sleep(life_s)
    context.log("crash-loop: FATAL: no route to payment provider, giving up")
    return int(context.get_setting("EXIT_CODE", "3"))


async def silent(context: AppContext) -> int:
    """Run without listening on any port."""
    context.log("silent: working, but not listening on any port")
    context.report_ready()
    while True:
        await asyncio.sleep(60.0)
        context.log("silent: still working")
