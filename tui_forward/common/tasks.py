"""Background tasks whose unexpected end is noticed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_log = logging.getLogger(__name__)

_RESTART_DELAY_S = 1.0

T = TypeVar("T")


def spawn(
    coro: Coroutine[Any, Any, T],
    *,
    name: str,
    on_error: Callable[[BaseException], None] | None = None,
) -> asyncio.Task[T]:
    """Start a task, and log the exception that ends it, if any; then call `on_error` with it.

    The caller keeps a reference to the task and cancels it when it is not needed any more.
    """

    def report(task: asyncio.Task[T]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        _log.error("task %s failed", name, exc_info=error)
        if on_error is not None:
            on_error(error)

    task = asyncio.create_task(coro, name=name)
    task.add_done_callback(report)
    return task


def spawn_restarting(
    run: Callable[[], Coroutine[Any, Any, None]], *, name: str, delay_s: float = _RESTART_DELAY_S
) -> asyncio.Task[None]:
    """Start a task that is restarted when it fails; it ends when `run` returns."""

    async def keep_running() -> None:
        while True:
            try:
                await run()
            except Exception:  # noqa: BLE001  # whatever it is, the task is needed
                _log.exception("task %s failed, restarting it in %g s", name, delay_s)
                await asyncio.sleep(delay_s)
            else:
                return

    return asyncio.create_task(keep_running(), name=name)
