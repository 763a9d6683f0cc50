"""Waiting for conditions instead of for time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_POLL_S = 0.002
# A condition that is slow to compute, as the text of a screen, is not computed all the time:
# that would delay what it waits for.
_PAUSES_PER_CHECK = 8
_MAX_POLL_S = 0.05


async def until(condition: Callable[[], object], timeout_s: float = 60.0, what: str = "") -> None:
    """Wait until a condition holds, polling every few milliseconds."""
    deadline = time.monotonic() + timeout_s
    while True:
        started = time.thread_time()
        if condition():
            return
        took_s = time.thread_time() - started
        assert time.monotonic() < deadline, what or "the condition did not hold in time"
        await asyncio.sleep(min(max(_POLL_S, _PAUSES_PER_CHECK * took_s), _MAX_POLL_S))
