"""Whether tunnels end because something in between has a time limit. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from tui_forward.model import Reason, ReasonCode

# So many tunnels in a row must end at the same age.
_SAME: Final = 3
_TOLERANCE_S: Final = 0.5
_TOLERANCE: Final = 0.02  # of the age
# What ends tunnels that are younger fails; it has no time limit.
_MIN_AGE_S: Final = 2.0
# Tunnels that end together have one cause, and count once.
_TOGETHER_S: Final = 1.0
# Ends that a program in between causes: an end of file, or a reset.
_CUT: Final = frozenset({ReasonCode.TUNNEL_CLOSED_BY_SERVER, ReasonCode.NETWORK_RESET})


class TimeLimitDetector:
    """Ages of the latest tunnels that were cut."""

    def __init__(self) -> None:
        self._ages: deque[float] = deque(maxlen=_SAME)
        self._ended_at = float("-inf")

    def ended(self, age_s: float, reason: Reason, now: float) -> Reason:
        """Return why a tunnel has ended: the reason given, or a time limit; seconds."""
        together = now - self._ended_at < _TOGETHER_S
        self._ended_at = now
        if reason.code not in _CUT or reason.status or age_s < _MIN_AGE_S:
            if not together:
                self._ages.clear()
            return reason
        if not together:
            self._ages.append(age_s)
        if len(self._ages) < _SAME:
            return reason
        shortest, longest = min(self._ages), max(self._ages)
        if longest - shortest > max(_TOLERANCE_S, _TOLERANCE * longest):
            return reason
        return Reason(code=ReasonCode.TUNNEL_TIME_LIMIT, timeout_s=float(round(shortest)))
