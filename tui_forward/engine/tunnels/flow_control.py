"""How much may be sent into a tunnel so that one stopped server blocks nobody else.

SPDY as Kubernetes speaks it has no flow control. What there is instead, on the server
(spdystream, `Connection.Serve`): one reader sorts frames into the queues of five workers,
by stream id modulo 5; PINGs take the workers in turn, beginning with the first. A worker
hands a frame to the reader of its stream and waits until that takes it. So when an
application stops reading, its worker stops; when 50 more frames are queued for that
worker, the one reader stops, and the whole tunnel with it.

From this follow three rules, which make up for the missing flow control:

1. Streams open on different workers do not wait for each other, so a new stream is given
   an id of the least busy worker (ids only have to increase; leaving some out is legal).
2. A PING that is answered has passed its worker's queue, and with it every frame sent to
   that worker before. So PINGs acknowledge what was sent, and no more than `WINDOW_FRAMES`
   (or `WINDOW_BYTES`) stay unacknowledged on a worker: its queue never fills, the reader
   never stops, and PINGs to the other workers go on being answered.
3. A worker that owes an answer for long has stopped: new streams avoid it.
4. DATA for a stream that nobody reads any more, because the application has ended or was never
   reached, stops its worker for good; not even the RST behind it is read. So whoever has sent
   DATA on a stream that ended doubts its worker until it has answered.

A stream that has its tunnel to itself is not metered: it can only make itself wait.

A server that is built otherwise answers PINGs, too; then the rules cost a little and the
protection is TCP's, per tunnel.
"""

from __future__ import annotations

from collections import deque
from typing import Final

WORKERS: Final = 5
QUEUE_FRAMES: Final = 50

WINDOW_FRAMES: Final = 36
"""Below the queue's 50, with room for the PINGs and the RST that may join them."""

WINDOW_BYTES: Final = 8 * 1024 * 1024
"""Bounds what a stopped application makes the server hold; seldom less than TCP allows."""

ASK_FRAMES: Final = 16
ASK_BYTES: Final = 2 * 1024 * 1024
"""After so much a PING is sent along, early enough that a healthy stream never waits."""

MAX_UNANSWERED: Final = 8
"""PINGs that may lie in the queue of a worker that has stopped."""


class WorkerWindow:
    """What is known of one worker of the server.

    Attributes:
        streams: Data streams open on it, those of lingering connections excluded.
        full: No more DATA may be sent to it now.
        unanswered: When the PINGs were sent that it still owes an answer to.
        doubtful: It may have stopped for good; a PING will tell.
        doubted_from: The number of the frame that may have stopped it.
        sent_frames: How many were sent to it.
    """

    __slots__ = (
        "_acked_bytes",
        "_acked_frames",
        "_asked_bytes",
        "_asked_frames",
        "_cleared_by",
        "_sent_bytes",
        "doubted_from",
        "doubtful",
        "full",
        "sent_frames",
        "streams",
        "unanswered",
    )

    def __init__(self) -> None:
        self.sent_frames = self._sent_bytes = 0
        self._asked_frames = self._asked_bytes = 0
        self._acked_frames = self._acked_bytes = 0
        self.streams = 0
        self.full = False
        self.doubtful = False
        self.doubted_from = 0
        self._cleared_by = 0
        self.unanswered: deque[tuple[int, float, int, int]] = deque()

    def sent(self, size: int) -> bool:
        """A frame with `size` bytes of payload was sent. Returns whether to ask with a PING."""
        self.sent_frames += 1
        self._sent_bytes += size
        if (
            self.sent_frames - self._acked_frames >= WINDOW_FRAMES
            or self._sent_bytes - self._acked_bytes >= WINDOW_BYTES
        ):
            self.full = True
        return (
            self.sent_frames - self._asked_frames >= ASK_FRAMES
            or self._sent_bytes - self._asked_bytes >= ASK_BYTES
        )

    def sent_unmetered(self, size: int) -> None:
        """The same for a stream that is alone on its tunnel."""
        self.sent_frames += 1
        self._sent_bytes += size

    def record_ping(self, ping_id: int, now: float) -> None:
        """A PING was sent that this worker will answer."""
        self._asked_frames = self.sent_frames
        self._asked_bytes = self._sent_bytes
        self.unanswered.append((ping_id, now, self.sent_frames, self._sent_bytes))
        if self.doubtful and not self._cleared_by:
            self._cleared_by = ping_id

    def record_pong(self, ping_id: int) -> float | None:
        """A PONG came. Returns when its PING was sent, None if it was not this lane's."""
        for place, (asked_id, at, frames, size) in enumerate(self.unanswered):
            if asked_id == ping_id:
                # Its worker answers in order: older ones will not be answered any more.
                for _ in range(place + 1):
                    if self.unanswered.popleft()[0] == self._cleared_by:
                        self.doubtful = False
                        self._cleared_by = 0
                # What was forgiven meanwhile is not owed again.
                self._acked_frames = max(self._acked_frames, frames)
                self._acked_bytes = max(self._acked_bytes, size)
                if self.full:
                    self._judge()
                return at
        return None

    def mark_suspect(self, frame: int) -> None:
        """Do not rely on it before it has answered a PING that is sent after this.

        Args:
            frame: The number of the frame that may have stopped it.
        """
        if not self.doubtful:
            self.doubtful = True
            self.doubted_from = frame
        self._cleared_by = 0

    @property
    def unacked_bytes(self) -> int:
        """Bytes sent and not acknowledged."""
        return self._sent_bytes - self._acked_bytes

    def acknowledge_all(self) -> None:
        """Acknowledgements cannot be had any more: leave it to TCP."""
        self._acked_frames = self._asked_frames = self.sent_frames
        self._acked_bytes = self._asked_bytes = self._sent_bytes
        self.full = False

    def _judge(self) -> None:
        self.full = (
            self.sent_frames - self._acked_frames >= WINDOW_FRAMES // 2
            or self._sent_bytes - self._acked_bytes >= WINDOW_BYTES // 2
        )


class WorkerWindows:
    """The five workers of one tunnel's server."""

    __slots__ = ("_turn", "all")

    def __init__(self) -> None:
        self.all = tuple(WorkerWindow() for _ in range(WORKERS))
        self._turn = 0

    def window_for(self, stream_id: int) -> WorkerWindow:
        """The lane of a stream."""
        return self.all[stream_id % WORKERS]

    def next_asked(self) -> WorkerWindow:
        """The lane that answers the next PING."""
        return self.all[self._turn]

    def ping_sent(self, ping_id: int, now: float) -> WorkerWindow:
        """A PING was sent; returns the lane that will answer it."""
        lane = self.all[self._turn]
        self._turn = (self._turn + 1) % WORKERS
        lane.record_ping(ping_id, now)
        return lane

    def stream_ids_to_skip(self, next_id: int, slow_before: float) -> int:
        """How many pairs of stream ids to leave out so that the next pair is well placed.

        A pair takes `next_id` for its error stream and the id after it for its data stream.

        Args:
            next_id: The id of the next stream.
            slow_before: A lane that owes an answer since before then has stopped.
        """
        best, best_cost = 0, None
        for skip in range(WORKERS):
            error = self.window_for(next_id + 4 * skip)
            data = self.window_for(next_id + 4 * skip + 2)
            stopped = (_stopped(data, slow_before), _stopped(error, slow_before))
            cost = (max(stopped), data.streams, data.unacked_bytes, skip)
            if best_cost is None or cost < best_cost:
                best, best_cost = skip, cost
        return best

    def acknowledge_all(self) -> None:
        """Begin to meter now: what was sent before is TCP's business."""
        for lane in self.all:
            lane.acknowledge_all()

    def any_stopped(self, slow_before: float) -> bool:
        """Whether a worker has stopped, as far as can be told."""
        for lane in self.all:  # asked for at every opening and closing
            if lane.full or (lane.unanswered and lane.unanswered[0][1] < slow_before):
                return True
        return False

    def oldest_unanswered(self) -> float | None:
        """When the oldest PING was sent that nobody has answered."""
        times = [lane.unanswered[0][1] for lane in self.all if lane.unanswered]
        return min(times, default=None)


def _stopped(lane: WorkerWindow, slow_before: float) -> bool:
    if lane.full or lane.doubtful:
        return True
    return bool(lane.unanswered and lane.unanswered[0][1] < slow_before)
