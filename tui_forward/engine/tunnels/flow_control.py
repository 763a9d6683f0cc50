"""Windows that keep one stopped application from blocking the other channels of its tunnel.

SPDY as Kubernetes uses it has no flow control. Instead, on the server (spdystream,
`Connection.Serve`), one reader sorts frames into the queues of five workers, by stream id
modulo 5; PINGs take the workers in turn, beginning with the first. A worker hands a frame to
the reader of its stream and waits until that takes it. So when an application stops reading,
its worker stops; when 50 more frames are queued for that worker, the one reader stops, and
the whole tunnel with it.

From this follow four rules, which make up for the missing flow control:

1. Streams on different workers do not wait for each other, so a new stream gets an id of the
   least busy worker (ids only have to increase; skipping some is legal).
2. A PING that is answered has passed its worker's queue, and with it every frame sent to
   that worker before. So PINGs acknowledge what was sent, and no more than `WINDOW_FRAMES`
   (or `WINDOW_BYTES`) stay unacknowledged on a worker: its queue never fills, the reader
   never stops, and PINGs to the other workers are still answered.
3. A worker with a PING unanswered for long has stopped: new streams avoid it.
4. DATA for a stream that is not read any more, because the application has ended or was never
   reached, stops its worker for good; not even the RST behind it is processed. So the worker
   of an ended stream that carried DATA is suspect until it has answered a PING.

A channel that has its tunnel to itself is not metered: it can only make itself wait.

A server that is built differently answers PINGs, too; then the rules cost a little and the
protection is TCP's, per tunnel.
"""

from __future__ import annotations

from collections import deque
from typing import Final

WORKERS: Final = 5
QUEUE_FRAMES: Final = 50

# Below the queue's 50, with room for the PINGs and the RST that may join them.
WINDOW_FRAMES: Final = 36
# Bounds what a stopped application makes the server hold; seldom less than TCP allows.
WINDOW_BYTES: Final = 8 * 1024 * 1024
PING_FRAMES: Final = 16
# After so much a PING is sent along, early enough that a healthy stream never waits.
PING_BYTES: Final = 2 * 1024 * 1024
MAX_UNANSWERED: Final = 8  # PINGs that may lie in the queue of a worker that has stopped


class WorkerWindow:
    """Accounting of what was sent to one worker of the server."""

    def __init__(self) -> None:
        self.sent_frames = self._sent_bytes = 0  # how many were sent to it
        self._pinged_frames = self._pinged_bytes = 0
        self._acked_frames = self._acked_bytes = 0
        self.open_streams = 0  # data streams on it, except those of half-closed channels
        self.full = False  # no more DATA may be sent to it now
        self.suspect = False  # it may have stopped for good; a PING will show
        self.suspect_frame = 0  # the number of the frame that may have stopped it
        self._clearing_ping = 0
        # Unanswered PINGs, oldest first: id, time, and frames and bytes before it.
        self.unanswered: deque[tuple[int, float, int, int]] = deque()

    def sent(self, size: int) -> bool:
        """Count a frame with `size` bytes of payload; return whether a PING is due."""
        self.sent_frames += 1
        self._sent_bytes += size
        if (
            self.sent_frames - self._acked_frames >= WINDOW_FRAMES
            or self._sent_bytes - self._acked_bytes >= WINDOW_BYTES
        ):
            self.full = True
        return (
            self.sent_frames - self._pinged_frames >= PING_FRAMES
            or self._sent_bytes - self._pinged_bytes >= PING_BYTES
        )

    def sent_unmetered(self, size: int) -> None:
        """Count a frame of a channel that is alone on its tunnel."""
        self.sent_frames += 1
        self._sent_bytes += size

    def record_ping(self, ping_id: int, now: float) -> None:
        """Record a PING that this worker will answer."""
        self._pinged_frames = self.sent_frames
        self._pinged_bytes = self._sent_bytes
        self.unanswered.append((ping_id, now, self.sent_frames, self._sent_bytes))
        if self.suspect and not self._clearing_ping:
            self._clearing_ping = ping_id

    def record_pong(self, ping_id: int) -> float | None:
        """Process a PONG. Returns when its PING was sent, None if another worker's."""
        for place, (sent_id, at, frames, size) in enumerate(self.unanswered):
            if sent_id == ping_id:
                # A worker answers in order: older PINGs will not be answered any more.
                for _ in range(place + 1):
                    if self.unanswered.popleft()[0] == self._clearing_ping:
                        self.suspect = False
                        self._clearing_ping = 0
                # `acknowledge_all` may have acknowledged more meanwhile.
                self._acked_frames = max(self._acked_frames, frames)
                self._acked_bytes = max(self._acked_bytes, size)
                if self.full:
                    self.full = (
                        self.sent_frames - self._acked_frames >= WINDOW_FRAMES // 2
                        or self._sent_bytes - self._acked_bytes >= WINDOW_BYTES // 2
                    )
                return at
        return None

    def mark_suspect(self, frame: int) -> None:
        """Avoid it until a later PING is answered: the frame of that number may have stopped it."""
        if not self.suspect:
            self.suspect = True
            self.suspect_frame = frame
        self._clearing_ping = 0

    @property
    def unacked_bytes(self) -> int:
        """Bytes sent and not acknowledged."""
        return self._sent_bytes - self._acked_bytes

    def acknowledge_all(self) -> None:
        """Count everything sent as acknowledged, and leave it to TCP."""
        self._acked_frames = self._pinged_frames = self.sent_frames
        self._acked_bytes = self._pinged_bytes = self._sent_bytes
        self.full = False

    def has_stopped(self, slow_before: float) -> bool:
        """Return whether it is full, or a PING from before `slow_before` is unanswered."""
        return self.full or bool(self.unanswered and self.unanswered[0][1] < slow_before)


class WorkerWindows:
    """The windows of the five workers of one tunnel's server."""

    __slots__ = ("_next_ping", "all")

    def __init__(self) -> None:
        self.all = tuple(WorkerWindow() for _ in range(WORKERS))
        self._next_ping = 0

    def window_for(self, stream_id: int) -> WorkerWindow:
        """Return the window of a stream's worker."""
        return self.all[stream_id % WORKERS]

    @property
    def next_pinged(self) -> WorkerWindow:
        """The window of the worker that answers the next PING."""
        return self.all[self._next_ping]

    def record_ping(self, ping_id: int, now: float) -> WorkerWindow:
        """Record a PING; return the window of the worker that will answer it."""
        window = self.all[self._next_ping]
        self._next_ping = (self._next_ping + 1) % WORKERS
        window.record_ping(ping_id, now)
        return window

    def stream_ids_to_skip(self, next_id: int, slow_before: float) -> int:
        """Return how many pairs of stream ids to skip so that the next pair is well placed.

        A pair takes `next_id` for its error stream and the id after it for its data stream. A
        worker with an unanswered PING from before `slow_before` has stopped.
        """
        best, best_cost = 0, None
        for skip in range(WORKERS):
            error = self.window_for(next_id + 4 * skip)
            data = self.window_for(next_id + 4 * skip + 2)
            avoid = any(one.suspect or one.has_stopped(slow_before) for one in (data, error))
            cost = (avoid, data.open_streams, data.unacked_bytes, skip)
            if best_cost is None or cost < best_cost:
                best, best_cost = skip, cost
        return best

    def acknowledge_all(self) -> None:
        """Begin to meter now: what was sent before is left to TCP."""
        for window in self.all:
            window.acknowledge_all()

    def any_stopped(self, slow_before: float) -> bool:
        """Return whether a worker has stopped, as far as this can be detected."""
        return any(window.has_stopped(slow_before) for window in self.all)

    @property
    def oldest_ping_at(self) -> float | None:
        """When the oldest unanswered PING was sent."""
        times = [window.unanswered[0][1] for window in self.all if window.unanswered]
        return min(times, default=None)
