"""Timestamps of the Kubernetes API."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache


@lru_cache(maxsize=4096)
def parse_rfc3339(timestamp: str | None) -> float:
    """Return the seconds since the epoch; 0 for a timestamp that is absent or invalid."""
    if not timestamp:
        return 0.0
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return 0.0
