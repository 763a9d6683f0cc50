"""Timestamps of Kubernetes objects and credentials."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

_MAX_LENGTH = 64


def parse_rfc3339(timestamp: str | None) -> float:
    """Return an RFC 3339 timestamp in seconds since the epoch; 0 when absent or invalid."""
    # A longer text must not be kept in the cache.
    return _parse(timestamp) if timestamp and len(timestamp) <= _MAX_LENGTH else 0.0


@lru_cache(maxsize=4096)
def _parse(timestamp: str) -> float:
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except (ValueError, OverflowError):
        return 0.0
