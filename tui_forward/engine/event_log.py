"""The events of a session: a bounded ring that any number of readers follow.

There is no queue per reader, so a slow one costs nothing: it loses the oldest events and
detects the gap in `sequence`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from itertools import islice

import msgspec

from tui_forward.model import Event

_LIMIT = 4096
# Events yielded before other tasks run.
_BATCH = 256


class EventLog:
    """The latest events, numbered from 1 without gaps."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._events: deque[Event] = deque(maxlen=limit)
        self._sequence = 0
        self._appended = asyncio.Event()
        self._closed = False

    def append(self, event: Event) -> None:
        """Append an event with the next number, and wake the readers."""
        self._sequence += 1
        self._events.append(msgspec.structs.replace(event, sequence=self._sequence))
        self._appended.set()

    def close(self) -> None:
        """End all readers once they have read everything."""
        self._closed = True
        self._appended.set()

    async def read(self, since: int = 0) -> AsyncIterator[Event]:
        """Yield events after `since`, then as they happen, until `close`."""
        latest = since
        while True:
            batch = self._after(latest)
            for event in batch:
                latest = event.sequence
                yield event
            if len(batch) == _BATCH:
                await asyncio.sleep(0)  # a burst must not block the loop
                continue
            if self._sequence > latest:
                continue
            if self._closed:
                return
            # One asyncio.Event for all readers: each clears it right before it waits, without
            # a task switch in between, and `set` wakes all that wait, so none misses an event.
            self._appended.clear()
            await self._appended.wait()

    def _after(self, latest: int) -> list[Event]:
        if not self._events or self._sequence <= latest:
            return []
        first = self._events[0].sequence
        start = max(0, latest + 1 - first)
        # Indexing a deque is linear from its nearer end: walk back from the newest for the
        # common case of a reader that is nearly up to date.
        count = len(self._events) - start
        if count <= _BATCH:
            return list(islice(reversed(self._events), count))[::-1]
        return [self._events[start + offset] for offset in range(_BATCH)]
