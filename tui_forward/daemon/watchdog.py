"""The engine's parent: begins another one if the engine is killed, and does nothing else.

It is what `--detach` leaves behind: a copy of a process that had loaded next to nothing. An
engine that ends by itself, or is told to, is not begun again; nor is one that is killed again
and again before it serves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from types import FrameType

_ATTEMPTS = 5
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class SupervisedProcess:
    """What an engine knows of its parent.

    Attributes:
        again: It takes the place of one that was killed.
    """

    is_restart: bool
    _pipe: int

    def notify_ready(self) -> None:
        """Tell the parent that it was worth it."""
        with contextlib.suppress(OSError):
            os.write(self._pipe, b"!")
            os.close(self._pipe)


def fork_supervised(*, attempts: int = _ATTEMPTS) -> SupervisedProcess:
    """Fork. Returns in each engine; the parent ends when an engine has ended in order."""
    again, left = False, attempts
    while True:
        heard, said = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(heard)
            return SupervisedProcess(again, said)
        os.close(said)
        status = _watch(child)
        served = bool(os.read(heard, 1))  # at the end of the pipe, if it never did
        os.close(heard)
        if not os.WIFSIGNALED(status):
            os._exit(os.waitstatus_to_exitcode(status))
        left = attempts if served else left - 1
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
