"""The events of a session: a bounded ring that any number of readers follow.

Readers keep nothing here, so a slow one costs nobody anything: it loses the oldest events
and sees the gap in `sequence`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

import msgspec

from tui_forward.model import Event

_LIMIT = 4096
# Events handed out before other tasks get their turn.
_BATCH = 256


class EventLog:
    """The latest events, numbered from 1 without gaps."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._events: deque[Event] = deque(maxlen=limit)
        self._sequence = 0
        self._news = asyncio.Event()
        self._closed = False

    @property
    def sequence(self) -> int:
        """The number of the latest event."""
        return self._sequence

    def append(self, event: Event) -> None:
        """Number an event and hand it to the readers."""
        self._sequence += 1
        self._events.append(msgspec.structs.replace(event, sequence=self._sequence))
        self._news.set()

    def close(self) -> None:
        """End all readers once they have read everything."""
        self._closed = True
        self._news.set()

    async def read(self, since: int = 0) -> AsyncIterator[Event]:
        """Events after `since`, then as they happen, until `close`."""
        seen = since
        while True:
            batch = self._after(seen)
            for event in batch:
                seen = event.sequence
                yield event
            if len(batch) == _BATCH:
                await asyncio.sleep(0)  # a burst must not hold the loop
                continue
            if self._sequence > seen:
                continue
            if self._closed:
                return
            # One event for all readers: each clears it and looks again before it waits, and
            # `set` wakes all that wait, so nobody can miss news.
            self._news.clear()
            await self._news.wait()

    def _after(self, seen: int) -> list[Event]:
        if not self._events or self._sequence <= seen:
            return []
        first = self._events[0].sequence
        start = max(0, seen + 1 - first)
        # Indexing a deque is linear from its nearer end: walk back from the newest for the
        # common case of a reader that is nearly up to date.
        count = len(self._events) - start
        if count <= _BATCH:
            tail: list[Event] = []
            for event in reversed(self._events):
                if event.sequence <= seen:
                    break
                tail.append(event)
            tail.reverse()
            return tail
        return [self._events[start + offset] for offset in range(_BATCH)]
