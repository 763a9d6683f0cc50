"""Delay before the next attempt: in proportion to the outage, with full jitter.

Pure: the caller has the clock and does the waiting. Jitter (a uniform draw below the growing
bound) keeps fifty forwards that lost the same API server from coming back in step.

However an attempt ends, and whatever hurries the next one, `earliest_s` keeps a pause between
them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tui_forward.common.jitter import JITTER

# The bound of a delay as a fraction of the outage: the end of an outage is noticed within a
# twentieth of its length on average, and an hour's outage costs few attempts.
_OUTAGE_FRACTION = 0.15
# So many forwards may dial at full speed; more of them share it.
_FULL_SPEED_DIALS = 4
# Attempts that begin within so many seconds of each other are rare but for retries; after a few
# of them the pause doubles, up to `_LONGEST_PAUSE_S`.
_QUICK_ATTEMPT_S = 1.5
_LONGEST_PAUSE_S = 1.0
_FREE_QUICK_ATTEMPTS = 8
_MAX_DOUBLINGS = 10


class Backoff:
    """Delays of a repeated attempt.

    A success counts only once it has lasted: a tunnel that comes up and ends at once must not
    reset the delay, or a broken path is retried at full speed for ever.
    """

    def __init__(
        self,
        *,
        first_s: float = 0.1,  # bound of the first delay
        longest_s: float = 15.0,  # bound that no delay exceeds
        stable_s: float = 2.0,  # how long a success must hold to count
        shortest_s: float = 0.05,  # between the beginnings of two attempts
        draw: Callable[[], float] = JITTER.random,  # from [0, 1)
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._stable_s = stable_s
        self._shortest_s = shortest_s
        self._attempted_at = -math.inf
        self._quick_attempts = 0  # in a row
        self._draw = draw
        self.failures = 0  # since the last success that lasted
        self._started_at: float | None = None
        self._succeeded_at: float | None = None

    def attempted(self, now: float) -> None:
        """Record the beginning of an attempt at `now`."""
        is_quick = now - self._attempted_at < _QUICK_ATTEMPT_S
        self._quick_attempts = self._quick_attempts + 1 if is_quick else 0
        self._attempted_at = now

    def earliest_s(self, now: float) -> float:
        """Return how long the next attempt must wait at least, whatever the reason for it."""
        pause = self._shortest_s
        if self._quick_attempts > _FREE_QUICK_ATTEMPTS:
            excess = min(self._quick_attempts - _FREE_QUICK_ATTEMPTS, _MAX_DOUBLINGS)
            pause = min(_LONGEST_PAUSE_S, pause * 2**excess)
        return max(0.0, self._attempted_at + pause - now)

    def succeeded(self, now: float) -> None:
        """Record a success at `now` (monotonic seconds)."""
        if self._succeeded_at is None:
            self._succeeded_at = now

    def failed(self, now: float, *, competitors: int = 1) -> float:
        """Record a failure or a loss at `now`, and return the seconds to wait.

        After a success that has lasted the next attempt is due at once. `competitors` is the number
        of forwards that dial the same server, this one included.
        """
        succeeded_at, self._succeeded_at = self._succeeded_at, None
        if succeeded_at is not None and now - succeeded_at >= self._stable_s:
            self.failures = 0
            self._started_at = now
            return 0.0
        if self._started_at is None:
            self._started_at = now
        self.failures += 1
        bound = self.bound_s(now, competitors=competitors)
        return max(self._shortest_s, self._draw() * bound)

    def bound_s(self, now: float, *, competitors: int = 1) -> float:
        """Return the upper bound of a delay that begins now."""
        outage_s = 0.0 if self._started_at is None else now - self._started_at
        bound = max(self._first_s, _OUTAGE_FRACTION * outage_s) * max(
            1.0, competitors / _FULL_SPEED_DIALS
        )
        return min(self._longest_s, bound)

    def reset(self) -> None:
        """Restart with short delays, after a change of the network or the credentials."""
        self.failures = 0
        self._started_at = None
        self._succeeded_at = None
