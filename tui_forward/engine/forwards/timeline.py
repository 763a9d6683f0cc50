"""What happened to one forward, in words and bounded, and how long its outages were.

Pure: the caller has the clock.
"""

from __future__ import annotations

from collections import deque

from tui_forward.common.formatting import format_duration
from tui_forward.model import ReasonCode, TimelineEntry, TimelineKind

_LIMIT = 200


class Timeline:
    """The last things that happened, oldest first.

    The same text again and again (a client that polls a closed port) becomes one entry
    with a count, so that it cannot push everything else out.
    """

    __slots__ = ("_entries", "_repeats")

    def __init__(self, limit: int = _LIMIT) -> None:
        self._entries: deque[TimelineEntry] = deque(maxlen=limit)
        self._repeats: deque[tuple[str, int]] = deque(maxlen=limit)

    def add(self, at: float, kind: TimelineKind, text: str, code: ReasonCode | None = None) -> None:
        """Append an entry, or count it up if the latest one says the same."""
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
        """All entries, oldest first."""
        return tuple(self._entries)


class Outage:
    """One stretch of time without a tunnel, and what became of the connections in it.

    It is over for the person only when the connections it held are settled too, so its
    sentence is asked for when `settled` turns true, not at the moment a tunnel is up.

    Args:
        began: Monotonic seconds at which the forward stopped being ready.
        first: True when the forward has never been ready: then it is a start, not an outage.
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
        """Whether a tunnel is up again and every held connection has gone one way or the other."""
        return self.ended is not None and self.served + self.given_up >= self.queued

    def summary(self, now: float) -> str:
        """One sentence on all of it ("was down 1.8 s, 3 connections queued, all served")."""
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
