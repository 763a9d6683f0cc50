"""The engine's parent: begins another one if the engine is killed, and does nothing else.

It is what `--detach` leaves behind: a copy of a process that had loaded next to nothing. An
engine that ends by itself, or is told to, is not begun again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from types import FrameType

# An engine that dies sooner than this has not worked; after so many in a row it is given up.
_WORKED_S = 10.0
_ATTEMPTS = 5
_PAUSE_S = 0.1


def engine(*, attempts: int = _ATTEMPTS) -> bool:
    """Fork. Returns in each engine: True if it takes the place of one that was killed.

    The parent never returns: it ends when an engine has ended in order.
    """
    again, left = False, attempts
    while True:
        begun = time.monotonic()
        child = os.fork()
        if child == 0:
            return again
        status = _watch(child)
        if not os.WIFSIGNALED(status):
            os._exit(os.waitstatus_to_exitcode(status))
        left = attempts if time.monotonic() - begun > _WORKED_S else left - 1
        if left <= 0:
            os._exit(1)
        time.sleep(_PAUSE_S)
        again = True


def _watch(child: int) -> int:
    """Wait for a child's end, passing on what this process is told; gives its status."""
    _let_go_of_the_terminal()

    def pass_on(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        _, status = os.waitpid(child, 0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status


def _let_go_of_the_terminal() -> None:
    """Whoever waits for the engine's words must not wait for this process."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)
