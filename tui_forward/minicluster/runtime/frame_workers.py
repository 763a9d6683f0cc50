"""Frame workers of a tunnel, which decide who waits for whom, as in spdystream.

A Go server has one reader per tunnel and five workers, chosen by stream id modulo five. Each
worker has a queue of 50 frames and delivers one frame at a time to the stream's reader. A reader
that stops therefore blocks its worker after one frame, every other stream of that worker, and,
once 50 more frames are queued, the reader of the tunnel: everything stalls. PINGs are assigned
to the workers in turn and wait in their queues like other frames.

Only DATA waits for a reader: the worker itself handles the end or the reset of a stream, but not
before the frames queued ahead of it. So DATA for a connection that was refused, which is never
read, blocks its worker for as long as the tunnel exists.

`FrameWorkers` has the same effects with queues of calls and no threads. Legacy channels are one
worker without a queue; without this backpressure each connection has a worker of its own.
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
    def closed(self) -> bool:
        """Whether only `receive_eof` is left to call, which is then possible at any time."""

    def can_receive(self) -> bool:
        """Return whether `receive` may be called; `FrameWorkers.retry` is called once it may."""

    def receive(self, data: memoryview) -> None:
        """Handle bytes for the application."""

    def receive_eof(self) -> None:
        """Handle the end of the client's data."""


class FrameWorkers:
    """The `count` workers of one tunnel; 0 gives every key one of its own.

    Each queues as many frames as `queue` before `pause` stops the tunnel's reader.
    """

    __slots__ = ("_count", "_full", "_limit", "_next", "_pause", "_queues", "_resume")

    def __init__(
        self, count: int, queue: int, pause: Callable[[], None], resume: Callable[[], None]
    ) -> None:
        self._count = count
        self._limit = queue
        self._pause = pause
        self._resume = resume
        # Only blocked workers have an entry.
        self._queues: dict[int, deque[tuple[FrameSink, bytes | None]]] = {}
        self._full: set[int] = set()
        self._next = 0

    def deliver(self, key: int, sink: FrameSink, data: memoryview | None) -> None:
        """Deliver bytes, or the end of data (None), after what is queued for the same worker."""
        worker = key % self._count if self._count else key
        queue = self._queues.get(worker)
        if queue is None:
            if _can_deliver(sink, data):
                if data is None:
                    sink.receive_eof()
                else:
                    sink.receive(data)
                return
            queue = self._queues[worker] = deque()
        queue.append((sink, None if data is None else bytes(data)))
        # The frame that the worker is delivering does not count.
        if len(queue) > self._limit and worker not in self._full:
            self._full.add(worker)
            if len(self._full) == 1:
                self._pause()

    def retry(self, key: int) -> None:
        """Deliver queued frames after the connection with this key can receive again."""
        worker = key % self._count if self._count else key
        queue = self._queues.get(worker)
        if queue is None:
            return
        while queue and _can_deliver(*queue[0]):
            sink, data = queue.popleft()
            if data is None:
                sink.receive_eof()
            else:
                sink.receive(memoryview(data))
        if not queue:
            self._queues.pop(worker, None)
        if worker in self._full and len(queue) <= self._limit:
            self._full.discard(worker)
            if not self._full:
                self._resume()

    def deliver_in_turn(self, sink: FrameSink) -> None:
        """Have the next worker in turn call `receive_eof`, as for PINGs."""
        self.deliver(self._next, sink, None)
        self._next = (self._next + 1) % (self._count or 1)

    def clear(self) -> None:
        """Drop all queued frames: the tunnel has ended."""
        self._queues.clear()
        self._full.clear()


def _can_deliver(sink: FrameSink, data: bytes | memoryview | None) -> bool:
    return sink.can_receive() or (data is None and sink.closed)
