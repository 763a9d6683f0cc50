"""Orderly end of a command on Ctrl-C, SIGTERM or SIGHUP.

SIGHUP stays ignored where it is ignored when the program starts, which is how nohup lets a command
outlive its terminal. SIGINT is handled even so: shells ignore it for the background jobs of
scripts, which end them by `kill -INT`, and kubectl handles it there, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def handled_signals(signals: Iterable[signal.Signals]) -> list[signal.Signals]:
    """Return those signals that the program handles: all but an ignored SIGHUP."""
    return [
        number
        for number in signals
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    ]


@contextlib.contextmanager
def call_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` in the running loop on Ctrl-C, SIGTERM or SIGHUP; the second signal kills.

    Uses `signal.signal`, because `loop.add_signal_handler` cannot restore earlier handlers.
    """
    loop = asyncio.get_running_loop()
    previous = {number: signal.getsignal(number) for number in handled_signals(_SIGNALS)}

    def on_signal(*_: object) -> None:
        for number in previous:
            signal.signal(number, signal.SIG_DFL)
        loop.call_soon_threadsafe(stop)

    for number in previous:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


async def run_until_signal(work: Coroutine[Any, Any, T]) -> T | None:
    """Return the result of `work`, or None if a signal canceled it."""
    task = asyncio.ensure_future(work)
    signaled = False

    def cancel() -> None:
        nonlocal signaled
        signaled = True
        task.cancel()

    with call_on_signals(cancel):
        try:
            return await task
        except asyncio.CancelledError:
            if signaled:
                return None
            raise
