"""How a hop begins and ends: one ready line, and never an orphan.

The supervisor starts every hop with a pipe as its stdin and keeps the other end. End of file
there means that the supervisor is gone, however it went; on Linux the kernel also sends
SIGTERM at that moment, so that a busy hop hears of it as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

if sys.platform != "win32":
    import resource

# A hop that was asked to end and does not is ended by force after this time.
GRACE_S = 3.0
DESCRIPTORS = 65536

PR_SET_PDEATHSIG = 1


def announce(**fields: object) -> None:
    """Print the ready line, the only thing a hop ever writes to stdout."""
    sys.stdout.write(msgspec.json.encode({"ready": True, **fields}).decode() + "\n")
    sys.stdout.flush()


def signal_on_parent_death(signum: int = signal.SIGTERM) -> None:
    """Ask the kernel for a signal when the parent dies; does nothing outside Linux."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0)


class Lifetime:
    """Tells a hop when to end.

    Attributes:
        ending: Set when the hop is to end; await it.
    """

    def __init__(self) -> None:
        self.ending = asyncio.Event()
        self._orphaned = False
        self._parent = os.getppid()

    @property
    def orphaned(self) -> bool:
        """Whether the supervisor vanished; its signal may come before the end of stdin does."""
        return self._orphaned or os.getppid() != self._parent

    def end(self, *, orphaned: bool = False) -> None:
        """Ask the hop to end; may be called any number of times."""
        self._orphaned = self._orphaned or orphaned
        if not self.ending.is_set():
            self.ending.set()
            # A thread, not a task: it must also work when the loop is what hangs.
            timer = threading.Timer(GRACE_S, os._exit, (70,))
            timer.daemon = True
            timer.start()


def run_component(main: Callable[[Lifetime], Coroutine[Any, Any, None]]) -> int:
    """Run a hop until it ends by itself or is asked to; gives its exit code.

    `main` serves until `Lifetime.ending` is set, then cleans up and returns. uvloop is used
    where it is installed.
    """
    signal_on_parent_death()
    _raise_descriptor_limit()

    async def supervised() -> None:
        loop = asyncio.get_running_loop()
        lifetime = Lifetime()
        if sys.platform == "win32":
            signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(lifetime.end))
        else:
            loop.add_signal_handler(signal.SIGTERM, lifetime.end)
            loop.add_signal_handler(signal.SIGINT, lifetime.end)
        watch = threading.Thread(
            target=_watch_stdin,
            args=(lambda: loop.call_soon_threadsafe(lambda: lifetime.end(orphaned=True)),),
            name="stdin",
            daemon=True,
        )
        watch.start()
        await main(lifetime)

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(supervised())
    return 0


def _raise_descriptor_limit() -> None:
    """A thousand WebSockets at once are two thousand sockets in each hop."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The fastest event loop here; on Windows the one that can watch sockets."""
    if sys.platform == "win32":
        return asyncio.SelectorEventLoop
    try:
        import uvloop  # an optional extra, absent on some systems
    except ImportError:
        return None
    return uvloop.new_event_loop


def _watch_stdin(ended: Callable[[], object]) -> None:
    """Call `ended` once stdin is at its end; a terminal or /dev/null is not watched."""
    try:
        descriptor = sys.stdin.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError, AttributeError):
        return
    if (mode & 0o170000) not in (0o010000, 0o140000):  # a pipe, a socket
        return
    while True:
        try:
            if sys.platform != "win32":
                select.select([descriptor], [], [])
            if not os.read(descriptor, 4096):
                break
        except OSError:
            break
    with contextlib.suppress(RuntimeError):  # the loop is closed: ending already
        ended()
