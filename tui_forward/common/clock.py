"""Times that stay right when the system clock is set.

A clock that is set (NTP after a boot, by hand, a virtual machine that resumes) would make ages and
countdowns negative or years long. So the engine records times of `steady_time`, which has the
system clock's value at the start of the process and from then on runs as fast as time passes, also
during sleep. When it shows them, it adds `correction_s`, so that differences to the system clock of
any process of the machine are right.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

# Differences below are adjustments that the system makes gradually. The correction is constant
# meanwhile, so that a time that is shown again is the same number.
_TOLERANCE_S: Final = 0.25


def boottime() -> float:
    """Return seconds on a clock that cannot be set, and that runs on while the machine sleeps."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    # Unlike `time.monotonic`, which on macOS is mach_absolute_time and stands still.
    return time.clock_gettime(time.CLOCK_MONOTONIC)


class SteadyClock:
    """Seconds since the epoch that pass steadily.

    `wall` is the system clock, which may be set; `uptime` is one that cannot.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, uptime: Callable[[], float] = boottime
    ) -> None:
        self._wall = wall
        self._uptime = uptime
        self._offset = wall() - uptime()
        self._correction = 0.0

    def time(self) -> float:
        """Return seconds since the epoch, as the system clock would if it had not been set."""
        return self._uptime() + self._offset

    def correction_s(self) -> float:
        """Return what to add to times of this clock to compare them with the system clock."""
        difference = self._wall() - self.time()
        if abs(difference - self._correction) > _TOLERANCE_S:
            self._correction = 0.0 if abs(difference) <= _TOLERANCE_S else difference
        return self._correction


_clock = SteadyClock()


def steady_time() -> float:
    """Return `SteadyClock.time` of this process."""
    return _clock.time()


def correction_s() -> float:
    """Return `SteadyClock.correction_s` of this process."""
    return _clock.correction_s()
