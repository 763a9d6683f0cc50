"""Exact totals and current rates, cheap enough for the data path.

The data path only adds to plain integers. Rates are computed when a snapshot is taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

import msgspec

from tui_forward.common.clock import steady_time
from tui_forward.engine.connections.first_byte_times import FirstByteRecorder
from tui_forward.model import Counters, Forward

_MIN_INTERVAL_S = 0.1
_SMOOTHING_S = 1.0


class Rate:
    """Current rate of a growing total: an exponential average over a second or two.

    May be sampled at any interval by any number of callers; samples closer than 0.1 s repeat
    the previous result.
    """

    __slots__ = ("_at", "_rate", "_total")

    def __init__(self, now: float) -> None:
        self._at = now
        self._total = 0
        self._rate = 0.0

    def sample(self, total: int, now: float) -> float:
        """Return the rate in bytes per second at `now` (monotonic seconds)."""
        elapsed = now - self._at
        if elapsed < _MIN_INTERVAL_S:
            return self._rate
        rate = (total - self._total) / elapsed
        weight = 1.0 - math.exp(-elapsed / _SMOOTHING_S)
        self._rate += weight * (rate - self._rate)
        # Less than one byte per second is a remainder of the average, not traffic.
        if self._rate < 1.0:
            self._rate = 0.0
        self._at = now
        self._total = total
        return self._rate


class ForwardCounters:
    """Totals of one forward since it was started; they survive reconnects.

    The attributes are written by connections, and may be read at any time.
    """

    def __init__(self) -> None:
        now = time.monotonic()
        self.bytes_from_pod = 0  # what the local sockets took
        # What was read from local sockets and handed to a tunnel, each byte once.
        self.bytes_to_pod = 0
        self.connections_open = 0  # accepted and not ended, the queued ones included
        self.connections_total = 0  # ever accepted
        self.connections_failed = 0  # ended by a failure
        self.failed_at: float | None = None  # the latest failure, `steady_time`
        self.first_byte = FirstByteRecorder(now)
        self._rate_from_pod = Rate(now)
        self._rate_to_pod = Rate(now)

    def record_failure(self) -> None:
        """Count a connection that failed."""
        self.connections_failed += 1
        self.failed_at = steady_time()

    def snapshot(self) -> Counters:
        """Return the counters now. Rates are meaningful when called about once a second."""
        now = time.monotonic()
        return Counters(
            bytes_from_pod=self.bytes_from_pod,
            bytes_to_pod=self.bytes_to_pod,
            rate_from_pod=self._rate_from_pod.sample(self.bytes_from_pod, now),
            rate_to_pod=self._rate_to_pod.sample(self.bytes_to_pod, now),
            connections_open=self.connections_open,
            connections_total=self.connections_total,
            connections_failed=self.connections_failed,
        )


class SessionTotals:
    """Sum of the counters of all forwards, which does not shrink when one is stopped."""

    def __init__(self) -> None:
        self._stopped = Counters()

    def add_stopped(self, counters: Counters) -> None:
        """Keep the counters of a forward that was stopped, with all its connections."""
        counters = msgspec.structs.replace(
            counters, connections_open=0, rate_from_pod=0.0, rate_to_pod=0.0
        )
        self._stopped = _sum([self._stopped, counters])

    def sum(self, forwards: Iterable[Forward]) -> Counters:
        """Return the totals, given all forwards that were not stopped."""
        return _sum([self._stopped, *(forward.counters for forward in forwards)])


def _sum(parts: list[Counters]) -> Counters:
    return Counters(
        **{name: sum(getattr(part, name) for part in parts) for name in Counters.__struct_fields__}
    )
