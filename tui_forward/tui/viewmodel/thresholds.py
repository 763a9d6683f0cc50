"""From which figures on something is amber or red. Pure."""

from __future__ import annotations

from typing import Final

# Seconds: amber above the first, red above the second.
API: Final = (0.5, 2.0)  # latency of the API server
ROUND_TRIP: Final = (0.25, float("inf"))  # a PING through the whole path
FIRST_BYTE: Final = (1.0, 5.0)  # of a connection
# A credential that expires in less is amber.
CREDENTIAL_S: Final = 15 * 60.0
RECENT_FAILURE_S: Final = 5 * 60.0
RECENT_RESTART_S: Final = 3600.0
HIGH_RATE: Final = 100e6  # bytes per second, shown bold


def time_style(seconds: float | None, limits: tuple[float, float], *, good: str = "dim") -> str:
    """Return the style of a latency: "warn" or "bad" above its limits, else `good`."""
    if seconds is None or not seconds > limits[0]:
        return good
    return "bad" if seconds > limits[1] else "warn"
