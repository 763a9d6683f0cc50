"""Return of free heap memory to the system when traffic has ended.

A burst of connections or a long transfer leaves glibc's heap full of holes, which it keeps:
an engine that needs 50 MiB would be shown with 150 until it ends. Other allocators (macOS,
musl) return memory by themselves, or cannot be made to.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable

from tui_forward.common.garbage import find_malloc_trim

_log = logging.getLogger(__name__)

_CHECK_INTERVAL_S = 3.0
# Trimming takes tens of milliseconds with a large cluster loaded: worth it only after traffic,
# and only when it delays no data.
_MIN_ACTIVITY = 4 * 1024 * 1024
_QUIET = 64 * 1024  # per second
# Trim at the first quiet check, and again when idle tunnels have been closed.
_IDLE_CHECKS = 14


class HeapTrimmer:
    """Trims the heap after traffic.

    `activity` returns how many bytes were moved so far; it only ever grows. While that cannot grow,
    `wait_for_activity` waits; it is used when nothing is left to trim.
    """

    def __init__(
        self,
        activity: Callable[[], int],
        *,
        wait_for_activity: Callable[[], Awaitable[None]] | None = None,
        trim: Callable[[int], int] | None = None,
        every_s: float = _CHECK_INTERVAL_S,
    ) -> None:
        self._activity = activity
        self._wait_for_activity = wait_for_activity
        self._trim = trim if trim is not None else find_malloc_trim()
        self._every_s = every_s

    async def run(self) -> None:
        """Trim when needed, until canceled."""
        if self._trim is None:
            return
        trimmed_at = latest = self._activity()
        quiet_checks = 0
        while True:
            if latest - trimmed_at < _MIN_ACTIVITY and self._wait_for_activity is not None:
                await self._wait_for_activity()
            await asyncio.sleep(self._every_s)
            now = self._activity()
            quiet_checks = quiet_checks + 1 if now - latest <= _QUIET * self._every_s else 0
            latest = now
            if now - trimmed_at >= _MIN_ACTIVITY and quiet_checks in (1, _IDLE_CHECKS):
                if quiet_checks == _IDLE_CHECKS:
                    trimmed_at = now
                # Closed connections contain reference cycles, and hold buffers of OpenSSL.
                gc.collect()
                self._trim(0)
                _log.debug("trimmed the heap after %d bytes", now)
