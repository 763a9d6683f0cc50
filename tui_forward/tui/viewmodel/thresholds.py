"""From which figures on something is amber or red: one table for every screen. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from math import inf
from typing import Final

import msgspec

from tui_forward.model import Forward

HIGH_RATE: Final = 100e6  # bytes per second, shown bold


class Figure(StrEnum):
    """What is judged: a number of seconds, or of connections."""

    API = "latency of the API server"
    ROUND_TRIP = "a PING through the whole chain"
    FIRST_BYTE = "time to first byte"
    QUEUED = "connections that wait for a pod"
    FAILED_AGO = "since a connection failed"
    RESTARTED_AGO = "since a container was restarted"
    CREDENTIALS = "until the credentials expire"


class Limits(msgspec.Struct, frozen=True):
    """Beyond which values a figure is amber and red: above them, or below if `is_low`."""

    amber: float
    red: float
    is_low: bool = False


LIMITS: Final[Mapping[Figure, Limits]] = {
    Figure.API: Limits(0.5, 2.0),
    Figure.ROUND_TRIP: Limits(0.25, inf),
    Figure.FIRST_BYTE: Limits(1.0, 5.0),
    Figure.QUEUED: Limits(0, inf),
    Figure.FAILED_AGO: Limits(5 * 60.0, -inf, is_low=True),
    Figure.RESTARTED_AGO: Limits(3600.0, -inf, is_low=True),
    Figure.CREDENTIALS: Limits(15 * 60.0, 0.0, is_low=True),
}


def failure_style(forward: Forward, now: float) -> str:
    """Return the style of the number of a forward's failed connections."""
    at = forward.failed_at
    return figure_style(Figure.FAILED_AGO, now - at if at is not None else None)


def figure_style(figure: Figure, value: float | None, *, good: str = "dim") -> str:
    """Return the style of a figure: "warn" or "bad" beyond its limits, else `good`.

    What is unknown, or no number, is good.
    """
    limits = LIMITS[figure]
    if value is None:
        return good
    if limits.is_low:
        return "bad" if value < limits.red else "warn" if value < limits.amber else good
    return "bad" if value > limits.red else "warn" if value > limits.amber else good
