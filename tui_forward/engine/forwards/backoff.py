"""Delay before the next attempt: in proportion to the outage, with full jitter.

Pure: the caller has the clock and does the waiting. Full jitter (a uniform draw between
zero and the growing bound) keeps fifty forwards that lost the same API server from coming
back in step.
"""

from __future__ import annotations

import random
from collections.abc import Callable

# The bound of a delay as a fraction of the outage: the end of an outage is noticed within a
# twentieth of its length on average, and an hour's outage costs few attempts.
_OUTAGE_FRACTION = 0.15
# So many forwards may dial at full speed; more of them share it.
_FULL_SPEED_DIALS = 4


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
        draw: Callable[[], float] = random.random,  # from [0, 1)
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._stable_s = stable_s
        self._draw = draw
        self.failures = 0  # since the last success that lasted
        self._started_at: float | None = None
        self._succeeded_at: float | None = None

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
        return self._draw() * self.bound_s(now, competitors=competitors)

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
