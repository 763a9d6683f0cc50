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
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Final

from tui_forward.common.bounded_file import is_folder
from tui_forward.common.periodic_checks import Check, PeriodicChecks

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
        self._changes: Generator[object, None, None] | None = None

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
        folders = frozenset(folder for one in paths for folder in _folders(one()))
        if is_idle:
            return
        if folders != self._folders:
            self._close()
        if not folders:
            time.sleep(self.interval_s)
            return
        try:
            if self._changes is None:
                self._changes = self._watch(folders)
                self._folders = folders
            next(self._changes)
        except (OSError, RuntimeError, StopIteration):
            # A folder is gone, there are too many watches, or other folders are to be watched.
            self._close()
            if not self._stop.is_set():
                time.sleep(self.interval_s)

    def _watch(self, folders: Iterable[Path]) -> Generator[object, None, None]:
        import watchfiles  # takes as long to import as the rest of a small command

        step_ms = max(1, round(self.interval_s * 1000))
        return watchfiles.watch(
            *folders, watch_filter=None, step=step_ms, debounce=step_ms, recursive=False,
            rust_timeout=step_ms * _STEPS_PER_CHECK, yield_on_timeout=True,
            stop_event=self._stop, raise_interrupt=False, ignore_permission_denied=True,
        )  # fmt: skip

    def _finish(self) -> None:
        self._close()

    def _close(self) -> None:
        changes, self._changes, self._folders = self._changes, None, frozenset()
        if changes is not None:
            changes.close()


def _folders(paths: Iterable[Path]) -> set[Path]:
    """Return the folders of files, and of those that symbolic links lead to."""
    both = {one for path in paths for one in (path, Path(os.path.realpath(path)))}
    return {path.parent for path in both if is_folder(path.parent)}


FILE_CHECKS: Final = FileChecks("file-checks")
