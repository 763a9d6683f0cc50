"""Timestamps of Kubernetes objects and credentials."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache


@lru_cache(maxsize=4096)
def parse_rfc3339(timestamp: str | None) -> float:
    """Return an RFC 3339 timestamp in seconds since the epoch; 0 when absent or invalid."""
    if not timestamp:
        return 0.0
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return 0.0
