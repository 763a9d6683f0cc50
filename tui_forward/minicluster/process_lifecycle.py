"""Start and end of a component process: the ready line, and its end with the supervisor.

The supervisor starts every component with a pipe as stdin and keeps the other end open. End of
file on stdin means that the supervisor has died. On Linux the kernel also sends SIGTERM then, so
that a component with a blocked event loop ends too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import os
import resource
import select
import signal
import stat
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from tui_forward.errors import TuiForwardError
from tui_forward.minicluster.config import ConfigT, load

# A component that does not end within this time exits immediately.
GRACE_PERIOD_S = 3.0
# A thousand WebSockets are two thousand sockets in each component.
FILE_DESCRIPTORS = 65536
# EX_SOFTWARE of sysexits.h.
HANG_EXIT_CODE = 70

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15


def announce(**fields: object) -> None:
    """Print the ready line, the only output of a component on stdout."""
    sys.stdout.write(msgspec.json.encode({"ready": True, **fields}).decode() + "\n")
    sys.stdout.flush()


def signal_on_parent_death(signum: int = signal.SIGTERM) -> None:
    """Make the kernel send a signal when the parent dies; do nothing outside Linux."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0)


def set_process_name(name: str) -> None:
    """Set the name that `ps -o comm` shows, 15 bytes of it; do nothing outside Linux."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


def process_exists(pid: int) -> bool:
    """Return whether a process runs, also as another user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


class Lifetime:
    """The lifetime of a component."""

    def __init__(self) -> None:
        self.ending = asyncio.Event()  # set when the component must end
        self._orphaned = False
        self._parent = os.getppid()

    @property
    def orphaned(self) -> bool:
        """Whether the supervisor has died; the signal may arrive before the end of stdin."""
        return self._orphaned or os.getppid() != self._parent

    def end(self, *, orphaned: bool = False) -> None:
        """Make the component end. Idempotent."""
        self._orphaned = self._orphaned or orphaned
        if not self.ending.is_set():
            self.ending.set()
            # A thread, so that it works even if the event loop hangs.
            timer = threading.Timer(GRACE_PERIOD_S, os._exit, (HANG_EXIT_CODE,))
            timer.daemon = True
            timer.start()


def run_component(
    kind: type[ConfigT], serve: Callable[[ConfigT, Lifetime], Coroutine[Any, Any, None]],
    prepare: Callable[[ConfigT], object] = lambda _: None,
) -> int:  # fmt: skip
    """Run a component with the file given by `--config` until it ends; return its exit code.

    `prepare` runs before there are an event loop and other threads; `serve` runs until
    `Lifetime.ending` is set, then cleans up and returns. The loop is uvloop's if it is installed.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True, help=f"JSON file, see {kind.__name__}")
    path = parser.parse_args().config
    signal_on_parent_death()
    _raise_descriptor_limit()

    async def supervised() -> None:
        loop = asyncio.get_running_loop()
        lifetime = Lifetime()
        loop.add_signal_handler(signal.SIGTERM, lifetime.end)
        loop.add_signal_handler(signal.SIGINT, lifetime.end)
        stdin_watcher = threading.Thread(
            target=_watch_stdin,
            args=(lambda: loop.call_soon_threadsafe(lambda: lifetime.end(orphaned=True)),),
            name="stdin",
            daemon=True,
        )
        stdin_watcher.start()
        await serve(config, lifetime)

    try:
        config = load(path, kind)
        prepare(config)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(supervised())
    except (TuiForwardError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = FILE_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(FILE_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the factory of uvloop's event loop, or None if uvloop is not installed."""
    try:
        import uvloop  # an optional dependency
    except ImportError:
        return None
    return uvloop.new_event_loop


def _watch_stdin(on_end: Callable[[], object]) -> None:
    """Call `on_end` at the end of stdin; a terminal or /dev/null is not watched."""
    try:
        descriptor = sys.stdin.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError, AttributeError):
        return
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return
    while True:
        try:
            select.select([descriptor], [], [])
            if not os.read(descriptor, 4096):
                break
        except OSError:
            break
    with contextlib.suppress(RuntimeError):  # the loop is closed
        on_end()
