"""Times as the API server writes them, and ages as kubectl prints them."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> str:
    """This second, as RFC 3339 in UTC."""
    return stamp(time.time())


def stamp(seconds: float) -> str:
    """A time in seconds since the epoch, as RFC 3339 in UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_micro() -> str:
    """This microsecond, as `MicroTime` fields hold it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds(text: str | None) -> float:
    """A time as seconds since the epoch; 0 for none."""
    if not text:
        return 0.0
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def age(text: str | None, at: float) -> str:
    """How long ago, as apimachinery's `HumanDuration` writes it."""
    if not text:
        return "<unknown>"
    return human_duration(at - seconds(text))


def human_duration(elapsed: float) -> str:
    """A duration in the one or two units that matter."""
    total = int(elapsed)
    if total < -1:
        return "<invalid>"
    if total < 0:
        return "0s"
    if total < 120:
        return f"{total}s"
    minutes = total // 60
    if minutes < 10:
        return _two(minutes, "m", total % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = total // 3600
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if hours < 24 * 365 * 2:
        return f"{days}d"
    years = days // 365
    if hours < 24 * 365 * 8:
        return _two(years, "y", days % 365, "d")
    return f"{years}y"


def _two(major: int, unit: str, minor: int, small: str) -> str:
    return f"{major}{unit}{minor}{small}" if minor else f"{major}{unit}"
