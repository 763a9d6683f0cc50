"""Parent of the engine process, which starts another engine if that one is killed.

It is what `--detach` leaves in the background: a copy of a process that has imported little. An
engine that ends by itself or on a signal to the parent is not restarted; nor is one that is killed
several times in a row before it serves.
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
    """An engine's connection to its parent."""

    is_restart: bool  # it replaces an engine that was killed
    _pipe: int

    def notify_ready(self) -> None:
        """Report to the parent that this engine serves."""
        with contextlib.suppress(OSError):
            os.write(self._pipe, b"!")
            os.close(self._pipe)


def fork_supervised(*, attempts: int = _ATTEMPTS) -> SupervisedProcess:
    """Fork, and return in each engine; the parent exits once an engine has exited by itself."""
    is_restart, left = False, attempts
    while True:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            return SupervisedProcess(is_restart, writer)
        os.close(writer)
        status = _wait(child)
        has_served = bool(os.read(reader, 1))
        os.close(reader)
        if not os.WIFSIGNALED(status):
            os._exit(os.waitstatus_to_exitcode(status))
        left = attempts if has_served else left - 1
        if left <= 0:
            os._exit(1)
        time.sleep(_PAUSE_S)
        is_restart = True


def _wait(child: int) -> int:
    """Wait for a child and forward signals to it; return its wait status."""
    close_standard_streams()

    def forward(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    previous = {
        number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        _, status = os.waitpid(child, 0)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return status


def close_standard_streams() -> None:
    """Redirect stdin, stdout and stderr to /dev/null so that readers of the output see EOF."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)
