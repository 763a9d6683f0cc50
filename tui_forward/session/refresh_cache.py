"""Stale-while-revalidate cache for API server reads (RFC 5861).

Coalesces concurrent reads of a key. The first read waits at most `FIRST_RESULT_TIMEOUT_S`; later
ones return the cached value and refresh it in the background.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from tui_forward.errors import ApiError, TransportError, TuiForwardError
from tui_forward.model import Reason, ReasonCode

_log = logging.getLogger(__name__)

FIRST_RESULT_TIMEOUT_S = 2.0
"""How long the first read of a key waits."""

_READ_TIMEOUT_S = 10.0
# Interval of retries after a temporary failure.
_RETRY_S = 5.0
_UNUSED_S = 120.0
_MAX_ENTRIES = 64

T = TypeVar("T")


class _Entry(Generic[T]):
    def __init__(self) -> None:
        self.value: T | None = None
        self.error: TuiForwardError | None = None
        self.is_loaded = False
        self.started_at = 0.0
        self.loaded_at = 0.0
        self.used_at = 0.0
        self.task: asyncio.Task[None] | None = None


class StaleWhileRevalidateCache(Generic[T]):
    """Cached values by key, each with its age and its latest failure."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, _Entry[T]] = {}
        self._closed = False

    async def get(
        self, key: Hashable, read: Callable[[], Awaitable[T]], *, max_age_s: float, until: float
    ) -> T | None:
        """Return a value, at most `max_age_s` old if the server keeps up; None if unavailable.

        The first read waits until `until` (monotonic seconds). Later the cached value is returned
        at once, and refreshed in the background. Safe to cancel. A `TuiForwardError` is cached like
        a value; a refusal (403) or absence (404) replaces the previous value.
        """
        if self._closed:
            return None
        now = time.monotonic()
        self._drop_unused(now)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry()
        entry.used_at = now
        if entry.task is None and not self._is_fresh(entry, now, max_age_s):
            entry.started_at = now
            entry.task = asyncio.create_task(self._load(entry, read), name="API server read")
        if entry.task is not None and not entry.is_loaded:
            timeout_s = min(entry.started_at + FIRST_RESULT_TIMEOUT_S, until) - now
            if timeout_s > 0:
                await asyncio.wait({entry.task}, timeout=timeout_s)
        return entry.value

    async def close(self) -> None:
        """Cancel all reads; `get` returns None from now on."""
        self._closed = True
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        self._entries.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    def _is_fresh(entry: _Entry[T], now: float, max_age_s: float) -> bool:
        if not entry.is_loaded:
            return False
        if entry.error is not None and not _is_final(entry.error):
            max_age_s = min(max_age_s, _RETRY_S)
        return now - entry.loaded_at < max_age_s

    async def _load(self, entry: _Entry[T], read: Callable[[], Awaitable[T]]) -> None:
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                entry.value = await read()
            entry.error = None
        except TimeoutError:
            entry.error = TransportError(Reason(code=ReasonCode.NETWORK_TIMEOUT))
        except TuiForwardError as error:
            entry.error = error
            if _is_final(error):
                entry.value = None
        except Exception as error:  # noqa: BLE001 - the entry must be loaded in any case
            _log.exception("a read of the API server failed")
            entry.error = TuiForwardError(str(error))
        finally:
            entry.is_loaded = True
            entry.loaded_at = time.monotonic()
            entry.task = None

    def _drop_unused(self, now: float) -> None:
        """Drop unused entries, and the longest unused ones if there are too many."""
        idle = [(entry.used_at, key) for key, entry in self._entries.items() if entry.task is None]
        idle.sort(key=lambda one: one[0])
        surplus = len(self._entries) - _MAX_ENTRIES
        for number, (used_at, key) in enumerate(idle):
            if number < surplus or now - used_at > _UNUSED_S:
                del self._entries[key]


def _is_final(error: TuiForwardError) -> bool:
    return isinstance(error, ApiError) and (error.forbidden or error.not_found)
