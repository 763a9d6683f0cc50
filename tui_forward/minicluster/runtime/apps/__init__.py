"""The applications of the embedded cluster's pods, by image.

An image `docker.io/local/NAME:TAG` (or `local/NAME`, `NAME`) runs the application NAME; the tag
is for show. All of them are configured by environment or `--key=value` arguments of the
container; the keys are described in each module.

================ ===== ============================================================
NAME             port  what it does
================ ===== ============================================================
``http-site``    8080  a small website, `/bytes/N`, `/upload`, `/counters`
``echo``         7000  says back what it hears
``database``     5432  line protocol: `SET k v`, `GET k`, `DUMP n`, …
``metrics``      9090  a chatty page of Prometheus metrics
``crash-loop``   –     ends with an error after a while
``silent``       –     listens nowhere
``toolbox``      7000… one port per behaviour, see `toolbox`
================ ===== ============================================================
"""

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
    http_site,
    idle,
    metrics,
    toolbox,
)
from tui_forward.minicluster.runtime.apps.context import AppContext

App = Callable[[AppContext], Awaitable[int]]

APPS: Final[dict[str, App]] = {
    "http-site": http_site.main,
    "echo": echo.main,
    "database": database.main,
    "metrics": metrics.main,
    "crash-loop": idle.crash_loop,
    "silent": idle.silent,
    "toolbox": toolbox.main,
}

# What a shell says of a program ended by SIGTERM; an application that minds nothing else
# ends so as well.
_TERMINATED: Final = 128 + signal.SIGTERM


def app_of(image: str) -> str | None:
    """The application behind an image reference, None if there is none."""
    name = image.rpartition("@")[0] or image
    head, _, last = name.rpartition("/")
    if head not in ("", "local", "docker.io/local"):
        return None
    app = last.partition(":")[0]
    return app if app in APPS else None


def reference(image: str) -> str:
    """An image reference in full, as a runtime reports it."""
    app = app_of(image)
    tag = image.rpartition("/")[2].partition(":")[2] or "latest"
    return f"docker.io/local/{app}:{tag}"


def run(
    app: str, context: AppContext, *, status: int | None = None, lifeline: int | None = None
) -> int:
    """Run an application until it ends or gets SIGTERM; gives its exit code.

    Args:
        app: Key of `APPS`.
        context: Its arguments and its network.
        status: Descriptor it reports to (see `AppContext`), None for nobody.
        lifeline: Descriptor that reaches its end when the process above has ended, None if
            that process takes care of this one in its own way.
    """
    if lifeline is not None:
        signal_on_parent_death(signal.SIGKILL)
        if sys.platform != "linux":
            threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
    if status is not None:
        context.report_to(status)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_until_terminated(APPS[app], context))


def _die_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(_TERMINATED)


async def _until_terminated(app: App, context: AppContext) -> int:
    terminated = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    task = asyncio.ensure_future(app(context))
    waiting = asyncio.ensure_future(terminated.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if terminated.is_set() and not task.done():
        context.log("SIGTERM: goodbye")
        await asyncio.sleep(context.seconds("TERM_DELAY_S", 0.0))
        code = int(context.setting("TERM_EXIT_CODE", "0"))
        sys.stdout.flush()
        # Open connections end with the process, as those of most servers do.
        os._exit(code)
    waiting.cancel()
    return task.result()
