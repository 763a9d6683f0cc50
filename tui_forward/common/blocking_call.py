"""Blocking calls in threads of their own.

The event loop's default executor is one bounded pool: a few name lookups that hang would stop
everything else that needs a thread, and the interpreter would wait for them at exit. Threads
here are daemons and belong to one call.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

Result = TypeVar("Result")


_starters: Final[dict[threading.Thread, threading.Thread]] = {}  # of the calls in progress


def start_in_thread(function: Callable[[], Result], *, name: str) -> Future[Result]:
    """Call a function in a new daemon thread."""
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            _starters.pop(threading.current_thread(), None)

    thread = threading.Thread(target=run, name=name, daemon=True)
    _starters[thread] = threading.current_thread()
    thread.start()
    return future


def join_threads(starter: threading.Thread, timeout_s: float) -> None:
    """Wait for the calls that a thread has started, but no longer than a time: one may hang."""
    deadline = time.monotonic() + timeout_s
    for thread, started_by in list(_starters.items()):
        if started_by is starter:
            thread.join(max(0.0, deadline - time.monotonic()))


class ThreadSlots:
    """A limited number of calls at a time, for what can be left out if they all hang."""

    def __init__(self, count: int) -> None:
        self._free = count

    async def run(self, function: Callable[[], Result], *, name: str) -> Result | None:
        """Do what `run_in_thread` does; return None at once if too many calls have not ended."""
        if not self._free:
            return None
        self._free -= 1
        future = start_in_thread(function, name=name)
        loop = asyncio.get_running_loop()

        def release(_: Future[Result]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._release)

        future.add_done_callback(release)
        return await asyncio.wrap_future(future)

    def _release(self) -> None:
        self._free += 1


async def run_in_thread(function: Callable[[], Result], *, name: str) -> Result:
    """Call a function in a new daemon thread, which a canceled wait leaves running, and wait."""
    return await asyncio.wrap_future(start_in_thread(function, name=name))
