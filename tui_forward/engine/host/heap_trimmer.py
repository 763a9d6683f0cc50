"""Gives memory back to the system when the bytes have stopped flowing.

A burst of connections or a long transfer leaves glibc's heap full of holes, which it keeps:
an engine that holds 50 MiB would be shown with 150 for the rest of the day. Other allocators
(macOS, musl, Windows) give back by themselves, or cannot be asked.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import sys
from collections.abc import Callable

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 3.0
# Some tens of milliseconds' work with a large cluster on show: worth it only after traffic,
# and only when it disturbs nobody.
_WORTH = 4 * 1024 * 1024
_QUIET = 64 * 1024  # per second
# Once at the first rest, and once more when idle tunnels have been closed.
_IDLE_LOOKS = 14


def _trim() -> Callable[[int], int] | None:
    """`malloc_trim(3)`, where there is one."""
    if sys.platform != "linux":
        return None
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    return trim


class HeapTrimmer:
    """Trims the heap after traffic.

    Args:
        activity: How much has happened so far, in bytes moved; only ever grows.
        trim: Gives memory back; None where that cannot be.
        every_s: Period of the looks.
    """

    def __init__(
        self,
        activity: Callable[[], int],
        *,
        trim: Callable[[int], int] | None = None,
        every_s: float = _LOOK_EVERY_S,
    ) -> None:
        self._activity = activity
        self._trim = trim if trim is not None else _trim()
        self._every_s = every_s

    async def run(self) -> None:
        """Look after the heap until cancelled."""
        if self._trim is None:
            return
        settled = last = self._activity()
        quiet_looks = 0
        while True:
            await asyncio.sleep(self._every_s)
            now = self._activity()
            quiet_looks = quiet_looks + 1 if now - last <= _QUIET * self._every_s else 0
            last = now
            if now - settled >= _WORTH and quiet_looks in (1, _IDLE_LOOKS):
                if quiet_looks == _IDLE_LOOKS:
                    settled = now
                # What has ended refers to itself here and there, and holds buffers of OpenSSL.
                gc.collect()
                self._trim(0)
                _log.debug("gave memory back after %d bytes", now)
