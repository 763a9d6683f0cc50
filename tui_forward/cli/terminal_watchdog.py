"""Ends the dashboard when its terminal is lost or a signal arrives, whatever it is doing.

A terminal emulator that is closed, a dropped SSH connection and `tmux kill-pane` send SIGHUP, but
not to a process that ignores it (nohup), nor to one in another session; then only the terminal
itself tells. The dashboard may be unable to react: its event loop waits for a write to a terminal
that is not read, or for an editor. So a thread watches, asks for an orderly end, and ends the
process if that takes too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.signals import handled_signals

T = TypeVar("T")
Action = Callable[[], object]

# An orderly end has this long.
EXIT_S = 1.5
# For a write to a terminal that is not read.
_RESTORE_S = 0.3
# poll() reports a hangup at once on Linux, but not on every system; None: no other check.
_CHECK_S = None if sys.platform == "linux" else 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WAKE = b"w"
# All that a pipe holds, so that a flood of signals is read at once.
_PIPE_BYTES = 1 << 16


class TerminalWatchdog:
    """Watches signals and the terminal from `watch` to the end of the process.

    `exit_process` is called, with an exit code, in place of `os._exit`.
    """

    def __init__(self, *, exit_process: Callable[[int], object] = os._exit) -> None:
        self.is_ending = False  # the terminal is lost, or a signal has arrived
        self._is_stopped = False
        self._exit_process = exit_process
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: Action | None = None
        self._interrupt: Action | None = None
        self._restore: Action | None = None
        self._wake_receiver, self._wake_sender = os.pipe()
        os.set_blocking(self._wake_sender, False)
        self._terminal = 0 if os.isatty(0) else None
        self._thread = threading.Thread(target=self._watch, name="terminal-watchdog", daemon=True)

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Handle signals in the body. The terminal is watched until the process ends.

        An ignored SIGHUP stays ignored.
        """
        self._previous = {one: signal.getsignal(one) for one in handled_signals(_SIGNALS)}
        self._thread.start()
        for number in self._previous:
            signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            # A second Ctrl-C during the last steps of the interpreter would print a traceback.
            if not self.is_ending:
                self._restore_handlers()

    def _restore_handlers(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def stop(self) -> None:
        """Stop watching, for tests: a process that ends need not."""
        self._restore_handlers()
        self._is_stopped = True
        self._wake()
        self._thread.join()
        os.close(self._wake_receiver)
        os.close(self._wake_sender)

    def _on_signal(self, *_: object) -> None:
        # Only this is safe while the main thread may hold any lock.
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes the thread, too
            os.write(self._wake_sender, _WAKE)

    async def run(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return the result of `work`, or None if it was canceled because the process ends."""
        self._loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work)
        with self.ending(end=task.cancel):
            try:
                return await task
            except asyncio.CancelledError:
                if self.is_ending:
                    return None
                raise

    @contextlib.contextmanager
    def ending(
        self, *, end: Action, interrupt: Action | None = None, restore: Action | None = None
    ) -> Iterator[None]:
        """Call `end` in the event loop when the process has to end during the body.

        `interrupt` is called first, in a thread, to unblock the loop; `restore` restores the
        terminal, in a thread, before the process is ended by force. Afterwards the actions before
        are not in effect again: what remains to be done is short.
        """
        self._end, self._interrupt, self._restore = end, interrupt, restore
        if self.is_ending:
            end()
        try:
            yield
        finally:
            self._end = self._interrupt = self._restore = None

    def _watch(self) -> None:
        if not self._wait_for_end():
            return
        deadline = time.monotonic() + EXIT_S
        self.is_ending = True
        if self._interrupt is not None:
            self._interrupt()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._run_end)
        while (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([self._wake_receiver], [], [], left)
            if readable:
                os.read(self._wake_receiver, _PIPE_BYTES)
            if self._is_stopped:
                return
        if self._restore is not None:
            restoring = threading.Thread(target=self._restore, daemon=True)
            restoring.start()
            restoring.join(_RESTORE_S)
        self._exit_process(ExitCode.DONE)

    def _run_end(self) -> None:
        if self._end is not None:
            self._end()

    def _wait_for_end(self) -> bool:
        """Return True when a signal has arrived or the terminal is lost, False on `stop`."""
        poller = select.poll()
        poller.register(self._wake_receiver, select.POLLIN)
        if self._terminal is not None:
            poller.register(self._terminal, 0)
        while True:
            found = dict(poller.poll(None if _CHECK_S is None else 1000 * _CHECK_S))
            if self._wake_receiver in found:
                os.read(self._wake_receiver, _PIPE_BYTES)
                return not self._is_stopped
            if self._terminal is None:
                continue
            if found.get(self._terminal, 0) & select.POLLNVAL:
                poller.unregister(self._terminal)  # as macOS answers for some terminals
            if not os.isatty(self._terminal):
                return True
