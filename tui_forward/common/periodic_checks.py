"""Checks of what no system reports, such as clocks and networks, at intervals in one thread.

A task that waits for such a change registers a check here. However many there are, an idle process
wakes once per interval for all of them, and its event loop not at all. `file_checks` has those of
files that change rarely and should be noticed soon.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

INTERVAL_S: Final = 1.2

Check = Callable[[], bool]


class PeriodicChecks:
    """Runs checks in a thread of its own, which exists while there are any.

    One that blocks delays the others, so those of files and those of the system have a thread each.
    A subclass may pause in another way.
    """

    def __init__(self, name: str, interval_s: float = INTERVAL_S) -> None:
        self._name = name
        self.interval_s = interval_s  # from one call of each check to the next
        self._checks: dict[int, tuple[Check, Callable[[], None]]] = {}
        self._ids = itertools.count()
        self._lock = threading.Lock()
        self._is_running = False

    async def wait(self, check: Check) -> None:
        """Wait until a check returns True; it is called first after the interval. Safe to cancel.

        A check that raises an exception counts as one that returns True: the caller looks itself.
        It may be called once more after the wait has ended.
        """
        loop = asyncio.get_running_loop()
        found = asyncio.Event()

        def report() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(found.set)

        number = next(self._ids)
        with self._lock:
            self._checks[number] = check, report
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
        try:
            await found.wait()
        finally:
            with self._lock:
                self._checks.pop(number, None)
                if not self._checks:
                    self._end_pause()

    def _pause(self) -> None:
        """Wait until the checks are due."""
        time.sleep(self.interval_s)

    def _end_pause(self) -> None:
        """Let a pause end soon, if that is possible. The lock is held."""

    def _finish(self) -> None:
        """Release what pauses need, at the end of the thread. The lock is held."""

    def _run(self) -> None:
        while True:
            self._pause()
            with self._lock:
                checks = list(self._checks.items())
                if not checks:
                    self._finish()
                    self._is_running = False
                    return
            for number, (check, report) in checks:
                if self._is_due(check):
                    with self._lock:
                        is_waiting = self._checks.pop(number, None) is not None
                    if is_waiting:
                        report()

    def _is_due(self, check: Check) -> bool:
        try:
            return check()
        except Exception as error:  # noqa: BLE001 - the other checks go on
            _log.debug("a check failed: %r", error)
            return True


SETTINGS_CHECKS: Final = PeriodicChecks("settings-checks")
SYSTEM_CHECKS: Final = PeriodicChecks("system-checks", 2.0)
