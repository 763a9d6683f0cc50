"""What was asked of an API server a moment ago, so that a screen may ask once a second.

Nobody waits for it longer than `PATIENCE_S`, and each thing is asked for by one request at a
time, however many look.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from tui_forward.errors import ApiError, TuiForwardError

_log = logging.getLogger(__name__)

FIRST_RESULT_TIMEOUT_S = 2.0
"""How long the first answer is waited for."""

_ANSWER_S = 10.0
# What could not be had for a reason that passes is asked for again after this long.
_RETRY_S = 5.0
_UNUSED_S = 120.0
_MOST = 64

T = TypeVar("T")


class _Entry(Generic[T]):
    def __init__(self) -> None:
        self.value: T | None = None
        self.error: TuiForwardError | None = None
        self.known = False
        self.asked_at = 0.0
        self.answered_at = 0.0
        self.used_at = 0.0
        self.task: asyncio.Task[None] | None = None


class StaleWhileRevalidateCache(Generic[T]):
    """Values by key, each with its age and with the latest failure to renew it."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, _Entry[T]] = {}
        self._closed = False

    async def get(
        self,
        key: Hashable,
        ask: Callable[[], Awaitable[T]],
        *,
        lasts_s: float,
        until: float,
    ) -> T | None:
        """A value, at most `lasts_s` old if the server keeps up; None if it cannot be had.

        The first answer is waited for until `until` (monotonic seconds). Later on the value
        there is is returned at once, and renewed meanwhile. Safe to cancel.

        Args:
            key: What is asked for.
            ask: Asks. What it raises of `TuiForwardError` is remembered like a value; a
                refusal (403) or absence (404) in place of the value there was.
            lasts_s: How long an answer is good for.
            until: When patience ends.
        """
        if self._closed:
            return None
        now = time.monotonic()
        self._forget(now)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry()
        entry.used_at = now
        if entry.task is None and not self._is_fresh(entry, now, lasts_s):
            entry.asked_at = now
            entry.task = asyncio.create_task(self._ask(entry, ask), name="asking the API server")
        if entry.task is not None and not entry.known:
            patience_s = min(entry.asked_at + FIRST_RESULT_TIMEOUT_S, until) - now
            if patience_s > 0:
                await asyncio.wait({entry.task}, timeout=patience_s)
        return entry.value

    async def close(self) -> None:
        """Ask no more; what is asked for from now on is not known."""
        self._closed = True
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        self._entries.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    def _is_fresh(entry: _Entry[T], now: float, lasts_s: float) -> bool:
        if not entry.known:
            return False
        if entry.error is not None and not _is_final(entry.error):
            lasts_s = min(lasts_s, _RETRY_S)
        return now - entry.answered_at < lasts_s

    async def _ask(self, entry: _Entry[T], ask: Callable[[], Awaitable[T]]) -> None:
        try:
            async with asyncio.timeout(_ANSWER_S):
                entry.value = await ask()
            entry.error = None
        except TimeoutError:
            entry.error = TuiForwardError("the API server takes too long")
        except TuiForwardError as error:
            entry.error = error
            if _is_final(error):
                entry.value = None
        except Exception as error:  # noqa: BLE001 - a bug must not leave it unanswered
            _log.exception("cannot learn about a station")
            entry.error = TuiForwardError(str(error))
        finally:
            entry.known = True
            entry.answered_at = time.monotonic()
            entry.task = None

    def _forget(self, now: float) -> None:
        """Drop what nobody looks at any more, and the longest unused of too many."""
        idle = [(entry.used_at, key) for key, entry in self._entries.items() if entry.task is None]
        idle.sort(key=lambda one: one[0])
        surplus = len(self._entries) - _MOST
        for number, (used_at, key) in enumerate(idle):
            if number < surplus or now - used_at > _UNUSED_S:
                del self._entries[key]


def _is_final(error: TuiForwardError) -> bool:
    return isinstance(error, ApiError) and (error.forbidden or error.not_found)
