"""Timestamps of the API and ages in tables."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> str:
    """Return the current time as RFC 3339 in UTC, in whole seconds."""
    return format_rfc3339(time.time())


def format_rfc3339(seconds: float) -> str:
    """Return a time in seconds since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(text: str | None) -> float:
    """Return a time as seconds since the epoch; 0 if it is missing or malformed."""
    if not text:
        return 0.0
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def format_age(text: str | None, now: float) -> str:
    """Return the age of an RFC 3339 time, such as `5m30s`."""
    if not text:
        return "<unknown>"
    return format_duration(now - parse_rfc3339(text))


def format_duration(seconds: float) -> str:
    """Return a duration in its one or two largest units (apimachinery `HumanDuration`)."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    if total < 0:
        return "0s"
    if total < 120:
        return f"{total}s"
    minutes = total // 60
    if minutes < 10:
        return _two_units(minutes, "m", total % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = total // 3600
    if hours < 8:
        return _two_units(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 192:
        return _two_units(days, "d", hours % 24, "h")
    if hours < 24 * 365 * 2:
        return f"{days}d"
    years = days // 365
    if hours < 24 * 365 * 8:
        return _two_units(years, "y", days % 365, "d")
    return f"{years}y"


def _two_units(major: int, unit: str, minor: int, small: str) -> str:
    return f"{major}{unit}{minor}{small}" if minor else f"{major}{unit}"
