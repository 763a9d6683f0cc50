"""Times to first byte of a forward's connections, in bounded memory: percentiles, histogram."""

from __future__ import annotations

import math
import time
from array import array
from bisect import bisect_left
from typing import Final

from tui_forward.model import FIRST_BYTE_BOUNDS_S, FirstByteHistogram, FirstByteTimes

WINDOW_S: Final = 300.0  # percentiles are of this time up to twice this time
_SHORTEST_S: Final = 1e-4
_STEPS: Final = 8  # buckets for each doubling: a percentile is within 5 % of the time
_DOUBLINGS: Final = 22  # up to seven minutes
_BUCKETS: Final = _STEPS * _DOUBLINGS


class FirstByteRecorder:
    """Histograms: with logarithmic buckets of the current window and of the one before; of all.

    One call for each connection, none for its bytes.
    """

    __slots__ = ("_all", "_before", "_began_at", "_current", "_known", "_sum_s")

    def __init__(self, now: float | None = None) -> None:
        self._current = array("I", bytes(4 * _BUCKETS))
        self._before = array("I", bytes(4 * _BUCKETS))
        self._began_at = time.monotonic() if now is None else now
        self._known: FirstByteTimes | None = None  # until something changes
        self._all = array("Q", bytes(8 * (len(FIRST_BYTE_BOUNDS_S) + 1)))
        self._sum_s = 0.0

    def record(self, seconds: float, now: float | None = None) -> None:
        """Record the time to first byte of a connection."""
        self._turn(time.monotonic() if now is None else now)
        ratio = max(1.0, seconds / _SHORTEST_S)
        self._current[min(_BUCKETS - 1, int(math.log2(ratio) * _STEPS))] += 1
        self._known = None
        self._all[bisect_left(FIRST_BYTE_BOUNDS_S, seconds)] += 1
        self._sum_s += seconds

    def histogram(self) -> FirstByteHistogram:
        """Return the times of all connections so far."""
        return FirstByteHistogram(counts=tuple(self._all), sum_s=self._sum_s)

    def snapshot(self, now: float | None = None) -> FirstByteTimes | None:
        """Return the percentiles; None if no connection got a byte in the window."""
        self._turn(time.monotonic() if now is None else now)
        if self._known is None:
            counts = [one + other for one, other in zip(self._current, self._before, strict=True)]
            total = sum(counts)
            if total:
                self._known = FirstByteTimes(
                    count=total, p50_s=_percentile(counts, total * 0.50),
                    p99_s=_percentile(counts, total * 0.99),
                )  # fmt: skip
        return self._known

    def _turn(self, now: float) -> None:
        """Begin another window when this one has lasted long enough."""
        elapsed = now - self._began_at
        if elapsed < WINDOW_S:
            return
        empty = array("I", bytes(4 * _BUCKETS))
        self._before = self._current if elapsed < 2 * WINDOW_S else empty
        self._current = array("I", bytes(4 * _BUCKETS))
        self._began_at = now
        self._known = None


def _percentile(counts: list[int], rank: float) -> float:
    """Return the time, in the middle of its bucket, that `rank` connections do not exceed."""
    seen = 0
    for bucket, count in enumerate(counts):
        seen += count
        if seen >= rank:
            return float(_SHORTEST_S * 2 ** ((bucket + 0.5) / _STEPS))
    return float(_SHORTEST_S * 2**_DOUBLINGS)
