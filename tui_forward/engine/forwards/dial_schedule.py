"""When the dials of one forward may begin. Times are monotonic seconds.

A delay follows each failure. Events may shorten it, but no dial begins without a pause after the
one before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tui_forward.engine.forwards.auto_reset_event import AutoResetEvent
from tui_forward.engine.forwards.backoff import Backoff
from tui_forward.model import Reason, ReasonCode
from tui_forward.reasons import blocked_by

# What needs the user is retried automatically, but slowly: an exec plugin may open a browser.
_BLOCKED_RETRY_S: Final = (15.0, 30.0, 60.0, 120.0, 300.0)
# Events may shorten a back-off, but not below half of its bound, or this.
_MAX_MIN_PAUSE_S: Final = 3.0
# An API server that has just started knows its roles within a fraction of a second.
_STARTING_RETRY_S: Final = 0.5
# Longest pause that a server can ask for (`Retry-After`).
_MAX_RETRY_AFTER_S: Final = 60.0
# An error of this program may repeat at once.
_MIN_CRASH_DELAY_S: Final = 1.0


class DialSchedule:
    """Delay until the next dial.

    `wake` is set when it becomes shorter. `count_dialing` returns the number of forwards that dial
    the same cluster, this one included.
    """

    def __init__(self, wake: AutoResetEvent, count_dialing: Callable[[], int]) -> None:
        self._wake = wake
        self._count_dialing = count_dialing
        self._backoff = Backoff()
        self._blocked_attempts = 0
        self._failed_at = 0.0
        self._retry_at = 0.0  # a past time is "now"

    def pause_s(self, now: float) -> float:
        """Return how long the next dial must wait; 0 or less if it may begin."""
        # Not even an event that ends a delay makes dials spin.
        return max(self._retry_at - now, self._backoff.earliest_s(now))

    def delay_s(self, now: float) -> float:
        """Return what remains of the delay after the latest failure."""
        return self._retry_at - now

    def retry_now(self) -> None:
        """Reset all delays, and dial now."""
        self._backoff.reset()
        self._blocked_attempts = 0
        self._retry_by(0.0)

    def end_delay(self) -> None:
        """Dial now; the delay after another failure is as long as without this call."""
        self._retry_by(0.0)

    def shorten_delay(self, now: float) -> None:
        """Dial soon, because the pod has changed; not faster than repeated failures allow."""
        pause_s = self._backoff.bound_s(now, competitors=self._count_dialing()) / 2
        self._retry_by(self._failed_at + min(_MAX_MIN_PAUSE_S, pause_s))

    def attempted(self, now: float) -> None:
        """Record that a dial begins."""
        self._backoff.attempted(now)

    def succeeded(self, now: float) -> None:
        """Record that a dial has succeeded."""
        self._retry_at = 0.0
        self._blocked_attempts = 0
        self._backoff.succeeded(now)

    def failed(self, reason: Reason, now: float, *, at_least_s: float = 0.0) -> float:
        """Record that a dial has failed; return the delay. The server asks for `at_least_s`."""
        self._failed_at = now
        return self._delay(now, self._delay_after(reason, now, at_least_s))

    def lost(self, now: float) -> None:
        """Record that the tunnels are down."""
        self._failed_at = now
        self._delay(now, self._back_off(now))

    def crashed(self, reason: Reason | None, now: float) -> float:
        """Record that the task has failed, for None unexpectedly; return the delay."""
        if reason is not None:
            return self._delay(now, self._delay_after(reason, now, 0.0))
        return self._delay(now, max(_MIN_CRASH_DELAY_S, self._back_off(now)))

    def _retry_by(self, earliest: float) -> None:
        self._retry_at = min(self._retry_at, earliest)
        self._wake.set()

    def _delay(self, now: float, delay_s: float) -> float:
        self._retry_at = now + delay_s
        return delay_s

    def _back_off(self, now: float) -> float:
        return self._backoff.failed(now, competitors=self._count_dialing())

    def _delay_after(self, reason: Reason, now: float, at_least_s: float) -> float:
        if reason.code is ReasonCode.API_STARTING:
            return _STARTING_RETRY_S
        if blocked_by(reason) is None:
            return max(self._back_off(now), min(at_least_s, _MAX_RETRY_AFTER_S))
        delay_s = _BLOCKED_RETRY_S[min(self._blocked_attempts, len(_BLOCKED_RETRY_S) - 1)]
        self._blocked_attempts += 1
        return delay_s
