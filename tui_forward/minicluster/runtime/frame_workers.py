"""Who waits for whom inside a tunnel: the frame workers of spdystream.

A Go server has one reader per tunnel and five workers, chosen by stream id modulo five. Each
worker has a queue of 50 frames and hands one frame at a time to the stream's reader. A reader
that stops therefore blocks its worker after one frame, every stream of that worker behind it,
and, once 50 more frames are queued, the reader of the tunnel: everything stalls. PINGs take
the workers in turn, and wait in their queues like everything else.

Only DATA waits for a reader: the end or the reset of a stream is done by the worker itself,
though not before what is queued ahead of it. So DATA for a connection that was refused, which
nobody will ever read, stops its worker for as long as the tunnel lives.

`Workers` has the same effects with queues of calls and no threads. Legacy channels are one
worker without a queue; without the faithful behaviour each connection has a worker of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

SPDY_WORKERS = 5
SPDY_QUEUE = 50
SOLO_QUEUE = 256


class FrameSink(Protocol):
    """Where a worker delivers: one forwarded connection."""

    @property
    def over(self) -> bool:
        """Whether `take_eof` is all that can still be done, and at any time."""

    def can_take(self) -> bool:
        """Whether `take` would not have to wait; call `Workers.unblocked` once that is so."""

    def receive(self, data: memoryview) -> None:
        """Take bytes for the application."""

    def take_eof(self) -> None:
        """The client sends no more."""


class FrameWorkers:
    """The workers of one tunnel.

    Args:
        count: How many; 0 gives every key one of its own.
        queue: How many frames each queues before the tunnel's reader stops.
        pause: Called when the reader has to stop.
        resume: Called when it may go on.
    """

    __slots__ = ("_count", "_full", "_limit", "_pause", "_queues", "_resume", "_turn")

    def __init__(
        self,
        count: int,
        queue: int,
        pause: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        self._count = count
        self._limit = queue
        self._pause = pause
        self._resume = resume
        # Only workers that wait for somebody have an entry.
        self._queues: dict[int, deque[tuple[FrameSink, bytes | None]]] = {}
        self._full: set[int] = set()
        self._turn = 0

    def deliver(self, key: int, taker: FrameSink, data: memoryview | None) -> None:
        """Deliver bytes, or the end of them (None), in order with what is queued."""
        worker = key % self._count if self._count else key
        queue = self._queues.get(worker)
        if queue is None:
            if _can_take(taker, data):
                if data is None:
                    taker.take_eof()
                else:
                    taker.receive(data)
                return
            queue = self._queues[worker] = deque()
        queue.append((taker, None if data is None else bytes(data)))
        # The one in the worker's hands does not count.
        if len(queue) > self._limit and worker not in self._full:
            self._full.add(worker)
            if len(self._full) == 1:
                self._pause()

    def unblocked(self, key: int) -> None:
        """The connection with this key can take again."""
        worker = key % self._count if self._count else key
        queue = self._queues.get(worker)
        if queue is None:
            return
        while queue and _can_take(*queue[0]):
            taker, data = queue.popleft()
            if data is None:
                taker.take_eof()
            else:
                taker.receive(memoryview(data))
        if not queue:
            self._queues.pop(worker, None)
        if worker in self._full and len(queue) <= self._limit:
            self._full.discard(worker)
            if not self._full:
                self._resume()

    def take_turns(self, taker: FrameSink) -> None:
        """Have the next worker whose turn it is call `take_eof`: how PINGs go through."""
        self.deliver(self._turn, taker, None)
        self._turn = (self._turn + 1) % (self._count or 1)

    def clear(self) -> None:
        """Forget everything: the tunnel has ended."""
        self._queues.clear()
        self._full.clear()

    @property
    def stalled(self) -> bool:
        """Whether the tunnel's reader is stopped."""
        return bool(self._full)


def _can_take(taker: FrameSink, data: bytes | memoryview | None) -> bool:
    return taker.can_take() or (data is None and taker.over)
