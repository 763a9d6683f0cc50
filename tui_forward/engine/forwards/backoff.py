"""How long to wait before the next try: in proportion to the outage, with full jitter.

Pure: the caller has the clock and does the waiting. Full jitter (a uniform draw between
zero and the growing bound) keeps fifty forwards that lost the same API server from coming
back in step.
"""

from __future__ import annotations

import random
from collections.abc import Callable

# The bound of a delay, as a part of what the outage has lasted: so an outage is over for us a
# twentieth of its length after its end, and the tries of an hour are still few.
_PART = 0.15
# As many may try at full speed at once; more of them share it.
_FEW = 4


class Backoff:
    """The delays of one thing that is tried again and again.

    A success counts only once it has lasted: a tunnel that comes up and dies at once must
    not bring the delay back to its beginning, or a broken chain is retried at full speed
    for ever.

    Args:
        first_s: Bound of the first delay.
        longest_s: Bound that no delay exceeds.
        lasting_s: How long a success must hold to count.
        draw: Gives a number in [0, 1); tests pass their own.
    """

    __slots__ = (
        "_began_at",
        "_draw",
        "_failures",
        "_first_s",
        "_lasting_s",
        "_longest_s",
        "_succeeded_at",
    )

    def __init__(
        self,
        *,
        first_s: float = 0.1,
        longest_s: float = 15.0,
        lasting_s: float = 2.0,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._lasting_s = lasting_s
        self._draw = draw
        self._failures = 0
        self._began_at: float | None = None
        self._succeeded_at: float | None = None

    @property
    def failures(self) -> int:
        """Failures since the last success that lasted."""
        return self._failures

    def succeeded(self, now: float) -> None:
        """It works since `now` (monotonic seconds)."""
        if self._succeeded_at is None:
            self._succeeded_at = now

    def failed(self, now: float, *, crowd: int = 1) -> float:
        """It failed, or stopped working, at `now`; returns the seconds to wait.

        What had worked for long enough is tried again at once.

        Args:
            now: Monotonic seconds.
            crowd: How many try to reach the same server, this one included.
        """
        succeeded_at, self._succeeded_at = self._succeeded_at, None
        if succeeded_at is not None and now - succeeded_at >= self._lasting_s:
            self._failures = 0
            self._began_at = now
            return 0.0
        if self._began_at is None:
            self._began_at = now
        self._failures += 1
        return self._draw() * self.bound_s(now, crowd=crowd)

    def bound_s(self, now: float, *, crowd: int = 1) -> float:
        """No wait that begins now is longer."""
        outage_s = 0.0 if self._began_at is None else now - self._began_at
        bound = max(self._first_s, _PART * outage_s) * max(1.0, crowd / _FEW)
        return min(self._longest_s, bound)

    def reset(self) -> None:
        """The world has changed (network, credentials): begin again with short delays."""
        self._failures = 0
        self._began_at = None
        self._succeeded_at = None
