"""Waiting for conditions instead of for time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], timeout_s: float = 60.0, what: str = "") -> None:
    """Wait until a condition holds, polling every few milliseconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what or "timed out waiting"
        await asyncio.sleep(0.002)
