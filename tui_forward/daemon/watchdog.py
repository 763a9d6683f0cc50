"""Parent of the engine process, which starts another engine if that one is killed.

It is what `--detach` leaves in the background. An engine that ends by itself or on a signal
to the parent is not restarted; nor is one that is killed several times in a row before it serves.

The parent also keeps copies of the engine's lock and listening sockets (see `held_descriptors`).
After a kill the kernel continues to accept connections, which wait in the backlogs until the next
engine accepts them, and no other process can take the lock or the ports meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from tui_forward.daemon.held_descriptors import HeldDescriptors

_ATTEMPTS = 5
# Pause before the next engine, doubled with each engine in a row that was killed within
# `_STABLE_S` after it started.
_PAUSE_S = 0.1
_MAX_PAUSE_S = 5.0
_STABLE_S = 1.0
# A process that is killed closes its link a moment before it can be waited for.
_END_S = 1.0
_POLL_S = 0.002


@dataclass(frozen=True, slots=True)
class SupervisedProcess:
    """An engine's connection to its parent.

    Attributes:
        is_restart: It replaces an engine that was killed.
        link: Stream socket to the parent, for `parent_link.ParentLink`.
        held: What the killed engine had given to the parent; open in this process, too.
    """

    is_restart: bool
    link: socket.socket
    held: HeldDescriptors


def fork_supervised(*, attempts: int = _ATTEMPTS) -> SupervisedProcess:
    """Fork, and return in each engine; the parent exits once an engine has exited by itself."""
    is_restart, left, unstable = False, attempts, 0
    held = HeldDescriptors()
    while True:
        link, engine_link = socket.socketpair()
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            link.close()
            return SupervisedProcess(is_restart, engine_link, held)
        engine_link.close()
        held.has_served = False
        with link, _forwarded_signals(child) as received:
            close_standard_streams()
            # Everything that the engine has sent is read before the next one is forked.
            while held.receive(link):
                pass
            status = _wait(child, held)
        if not os.WIFSIGNALED(status):
            os._exit(os.waitstatus_to_exitcode(status))
        if received:  # before the engine could handle it
            os._exit(1)
        left = attempts if held.has_served else left - 1
        if left <= 0:
            os._exit(1)
        is_stable = held.has_served and time.monotonic() - started >= _STABLE_S
        unstable = 0 if is_stable else unstable + 1
        if unstable:
            time.sleep(min(_PAUSE_S * 2 ** (unstable - 1), _MAX_PAUSE_S))
        is_restart = True


def _wait(child: int, held: HeldDescriptors) -> int:
    """Wait for the end of a child that has closed its link, and return its wait status."""
    deadline = time.monotonic() + _END_S
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        time.sleep(_POLL_S)
    # It continues alone, and what it closes from now on would stay open here.
    held.close_all()
    return os.waitpid(child, 0)[1]


@contextlib.contextmanager
def _forwarded_signals(child: int) -> Iterator[list[int]]:
    """Forward SIGTERM and SIGINT to a child; yield the signals received so far."""
    received: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    previous = {
        number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def close_standard_streams() -> None:
    """Redirect stdin, stdout and stderr to /dev/null so that readers of the output see EOF."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)
