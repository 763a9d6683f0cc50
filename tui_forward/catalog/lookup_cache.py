"""Cache of requests to an API server: one at a time for each key, and results kept for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final, Generic, TypeVar

from tui_forward.common.tasks import spawn

_MAX_RESULTS: Final = 1000

Result = TypeVar("Result")


class LookupCache(Generic[Result]):
    """Results by key, `max_age_s` seconds old at most; errors are not kept."""

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._results: dict[Hashable, tuple[float, Result]] = {}  # the oldest first
        self._running: dict[Hashable, asyncio.Task[Result]] = {}

    async def get(self, key: Hashable, load: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Return the result for a key. Safe to cancel; raises what `load` raises."""
        now = time.monotonic()
        if key in self._results:
            loaded_at, result = self._results[key]
            if now - loaded_at < self._max_age_s:
                return result
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = spawn(self._load(key, load), name=f"look up {key}")
        return await asyncio.shield(task)

    async def _load(self, key: Hashable, load: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        try:
            result = await load()
        finally:
            del self._running[key]
        self._results.pop(key, None)
        self._results[key] = (time.monotonic(), result)
        if len(self._results) > _MAX_RESULTS:
            del self._results[next(iter(self._results))]
        return result

    async def close(self) -> None:
        """Cancel the requests that run."""
        running = [*self._running.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
