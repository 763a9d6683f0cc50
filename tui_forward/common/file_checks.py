"""Checks of files, when the system reports a change in their folders, in one thread.

One watch has the folders of all checks. Its library looks once a second whether the system has
reported something (a shorter step would wake an idle process more often) and reports a change when
a second has passed without another. Folders that do not exist yet, and network file systems, which
report nothing, are compared every few seconds.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tui_forward.common.bounded_file import is_folder
from tui_forward.common.periodic_checks import Check, PeriodicChecks

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

_STEP_S: Final = 1.0
# Between two checks without a report, in steps.
_STEPS_PER_CHECK: Final = 5

Paths = Callable[[], Iterable[Path]]


class FileChecks(PeriodicChecks):
    """Runs checks of files soon after they change; `interval_s` is the step of the watch."""

    def __init__(self, name: str, interval_s: float = _STEP_S) -> None:
        super().__init__(name, interval_s)
        self._paths: dict[int, Paths] = {}
        self._stop = threading.Event()
        self._folders: frozenset[Path] = frozenset()
        self._watch: RustNotify | None = None

    async def wait_for(self, paths: Paths, check: Check) -> None:
        """Wait until a check of the files that `paths` returns, in the thread, is True.

        Otherwise as `wait`.
        """
        with self._lock:
            self._paths[id(check)] = paths
            self._end_pause()
        try:
            await self.wait(check)
        finally:
            with self._lock:
                self._paths.pop(id(check), None)

    def _end_pause(self) -> None:
        self._stop.set()

    def _pause(self) -> None:
        with self._lock:
            self._stop.clear()
            is_idle, paths = not self._checks, list(self._paths.values())
        if is_idle:
            return
        folders = frozenset(folder for one in paths for folder in _folders(one()))
        try:
            if folders != self._folders:
                self._close()
                self._watch = _watch(folders) if folders else None
                self._folders = folders
                return  # what has changed before the watch began is found now
            if self._watch is not None:
                step_ms = max(1, round(self.interval_s * 1000))
                self._watch.watch(step_ms, step_ms, step_ms * _STEPS_PER_CHECK, self._stop)
                return
        except (OSError, RuntimeError):  # a folder is gone, or there are too many watches
            self._close()
        time.sleep(self.interval_s)

    def _finish(self) -> None:
        self._close()

    def _close(self) -> None:
        watch, self._watch, self._folders = self._watch, None, frozenset()
        if watch is not None:
            watch.close()


def _watch(folders: Iterable[Path]) -> RustNotify:
    """Watch folders, without those below them; OSError, RuntimeError: it is not possible."""
    # Imported in the thread: it takes as long as the rest of a small command. The package's
    # function `watch` does not tell when its watch has begun.
    from watchfiles._rust_notify import RustNotify

    return RustNotify([str(one) for one in folders], False, False, 0, False, True)


def _folders(paths: Iterable[Path]) -> set[Path]:
    """Return the folders of files, and of those that symbolic links lead to."""
    both = {one for path in paths for one in (path, Path(os.path.realpath(path)))}
    return {path.parent for path in both if is_folder(path.parent)}


FILE_CHECKS: Final = FileChecks("file-checks")
