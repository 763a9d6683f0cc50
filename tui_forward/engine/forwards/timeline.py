"""Bounded timeline of one forward, and the outages in it.

Pure: the caller has the clock.
"""

from __future__ import annotations

from collections import deque

from tui_forward.common.formatting import format_duration
from tui_forward.model import ReasonCode, TimelineEntry, TimelineKind

_LIMIT = 200


class Timeline:
    """The latest entries, oldest first.

    A repeated entry (a client that polls a closed port) becomes one entry with a count, so
    that it cannot push out everything else.
    """

    __slots__ = ("_entries", "_repeats")

    def __init__(self, limit: int = _LIMIT) -> None:
        self._entries: deque[TimelineEntry] = deque(maxlen=limit)
        self._repeats: deque[tuple[str, int]] = deque(maxlen=limit)

    def add(self, at: float, kind: TimelineKind, text: str, code: ReasonCode | None = None) -> None:
        """Append an entry, or count up the latest one if it is the same."""
        if self._entries:
            last, (words, count) = self._entries[-1], self._repeats[-1]
            if last.kind is kind and words == text:
                self._repeats[-1] = (words, count + 1)
                self._entries[-1] = TimelineEntry(
                    at=at, kind=kind, text=f"{text} (×{count + 1})", code=code
                )
                return
        self._entries.append(TimelineEntry(at=at, kind=kind, text=text, code=code))
        self._repeats.append((text, 1))

    @property
    def entries(self) -> tuple[TimelineEntry, ...]:
        """Return all entries, oldest first."""
        return tuple(self._entries)


class Outage:
    """A period without a tunnel, and the outcome of its queued connections.

    For the user it is over only once the queued connections are settled, so `summary` is
    recorded when `settled` turns true, not when a tunnel is up.
    """

    __slots__ = ("began", "ended", "first", "given_up", "queued", "served")

    def __init__(self, began: float, *, first: bool = False) -> None:
        self.began = began
        self.ended: float | None = None
        self.first = first
        self.queued = 0
        self.served = 0
        self.given_up = 0

    @property
    def settled(self) -> bool:
        """Return whether a tunnel is up again and every queued connection is settled."""
        return self.ended is not None and self.served + self.given_up >= self.queued

    def summary(self, now: float) -> str:
        """Return one sentence ("was down 1.8 s, 3 connections queued, all served")."""
        lasted = format_duration((self.ended if self.ended is not None else now) - self.began)
        text = f"ready after {lasted}" if self.first else f"was down {lasted}"
        if not self.queued:
            return text
        noun = "connection" if self.queued == 1 else "connections"
        text = f"{text}, {self.queued} {noun} queued"
        if self.given_up:
            return f"{text}, {self.served} served, {self.given_up} given up"
        if not self.settled:
            return text
        return f"{text}, served" if self.queued == 1 else f"{text}, all served"
