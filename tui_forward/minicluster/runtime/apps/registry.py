"""The applications by name: the images that select them, and the run of one in a container."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Final

from tui_forward.minicluster.process_lifecycle import loop_factory, signal_on_parent_death
from tui_forward.minicluster.runtime.apps import (
    database,
    echo,
    faulty_port,
    http_site,
    metrics,
    toolbox,
)
from tui_forward.minicluster.runtime.apps.context import AppContext


async def crash_loop(context: AppContext) -> int:
    """Exit with `EXIT_CODE` (3) after `LIFE_S` (2) seconds."""
    life_s = context.get_seconds("LIFE_S", 2.0)
    context.log("crash-loop: connecting to the payment provider …")
    context.report_ready()
    await asyncio.sleep(life_s)
    context.log("crash-loop: FATAL: no route to payment provider, giving up")
    return int(context.get_setting("EXIT_CODE", "3"))


async def memory_hog(context: AppContext) -> int:
    """End after `LIFE_S` (1) seconds as one that the kernel ends for its memory."""
    context.log("memory-hog: loading the catalog …")
    context.report_ready()
    await asyncio.sleep(context.get_seconds("LIFE_S", 1.0))
    context.report_out_of_memory()
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


async def silent(context: AppContext) -> int:
    """Run without listening on any port."""
    context.log("silent: working, but not listening on any port")
    context.report_ready()
    while True:
        await asyncio.sleep(60.0)
        context.log("silent: still working")


App = Callable[[AppContext], Awaitable[int]]

APPS: Final[dict[str, App]] = {
    "http-site": http_site.main,
    "echo": echo.main,
    "database": database.main,
    "metrics": metrics.main,
    "crash-loop": crash_loop,
    "silent": silent,
    "memory-hog": memory_hog,
    "faulty-port": faulty_port.main,
    "toolbox": toolbox.main,
}


def find_app(image: str) -> str | None:
    """Return the name of an image's application, None if there is none."""
    name = image.rpartition("@")[0] or image
    head, _, last = name.rpartition("/")
    if head not in ("", "local", "docker.io/local"):
        return None
    app = last.partition(":")[0]
    return app if app in APPS else None


def full_reference(image: str) -> str:
    """Return the full reference of an image, as a runtime reports it."""
    app = find_app(image)
    tag = image.rpartition("/")[2].partition(":")[2] or "latest"
    return f"docker.io/local/{app}:{tag}"


# Exit code of a shell for a program that SIGTERM ended.
_TERMINATED: Final = 128 + signal.SIGTERM


def run(
    app: str, context: AppContext, *, status: int | None = None, lifeline: int | None = None
) -> int:
    """Run an application until it returns or gets SIGTERM; return its exit code.

    It reports to the descriptor `status` (see `AppContext`), and ends when the descriptor
    `lifeline` reaches its end: the parent process has ended.
    """
    if lifeline is not None:
        signal_on_parent_death(signal.SIGKILL)
        if sys.platform != "linux":
            threading.Thread(target=_exit_with_parent, args=(lifeline,), daemon=True).start()
    if status is not None:
        context.report_to(status)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_run_until_terminated(APPS[app], context))


def _exit_with_parent(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(_TERMINATED)


async def _run_until_terminated(app: App, context: AppContext) -> int:
    terminated = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    task = asyncio.ensure_future(app(context))
    waiter = asyncio.ensure_future(terminated.wait())
    await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
    if terminated.is_set() and not task.done():
        context.log("SIGTERM: shutting down")
        await asyncio.sleep(context.get_seconds("TERM_DELAY_S", 0.0))
        code = int(context.get_setting("TERM_EXIT_CODE", "0"))
        sys.stdout.flush()
        # Open connections end with the process, as those of most servers do.
        os._exit(code)
    waiter.cancel()
    return task.result()
