"""Local readers that are too far behind, and what that means for the tunnel they share."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.spdy_channel import SpdyChannel
from tui_forward.engine.tunnels.spill_buffer import BufferBudget
from tui_forward.model import Reason, ReasonCode
from tui_forward.transport.stream import ByteStream


class SlowReaderOwner(Protocol):
    """What is needed of the tunnel."""

    load: int
    last_received_at: float
    budget: BufferBudget
    all_channels: dict[SpdyChannel, None]

    def notify_owner(self) -> None:
        """Report that the tunnel stalled, or is no longer stalled."""


# A channel that was idle for so long before the pause, and has sent nothing since, does not wait.
_IDLE_S: Final = 30.0


class SlowReaders:
    """Pauses reading of a tunnel while a local reader is too far behind.

    SPDY here has no flow control per stream, so the other channels wait as well. If some do, each
    slow reader is evicted that takes less than `Limits.slowest_reader` within
    `Limits.stall_grace_s`. One that goes on is not, although it slows the others down: a transfer
    that is cut is lost, others are only late.
    """

    __slots__ = ("_buffered", "_channels", "_eviction", "_limits", "_loop", "_owner", "_stream")

    def __init__(self, owner: SlowReaderOwner, stream: ByteStream, limits: Limits) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._stream = stream
        self._limits = limits
        # Whether each waits for the disk, not for its reader.
        self._channels: dict[SpdyChannel, bool] = {}
        self._buffered: dict[SpdyChannel, int] = {}  # bytes when that was looked at last
        self._eviction: asyncio.TimerHandle | None = None

    def __bool__(self) -> bool:
        return bool(self._channels)

    def update(self, channel: SpdyChannel, before: int, size: int) -> None:
        """Record that a channel buffers `size` bytes, `before` until now."""
        if channel not in self._channels:
            if channel.is_behind or before < size >= self._bound():
                self._channels[channel] = channel.is_behind
                if len(self._channels) == 1:
                    self._pause_reading()
            return
        bound = self._bound()
        # As soon as there is room on disk again, so that the others wait no longer than that.
        uses_disk = self._channels[channel] or bound > self._limits.stream_buffer
        if not channel.is_behind and (size < bound if uses_disk else size <= bound // 2):
            self.discard(channel)

    def discard(self, channel: SpdyChannel) -> None:
        """Forget a channel: it has caught up, or has ended. Idempotent."""
        if channel in self._channels:
            del self._channels[channel]
            self._buffered.pop(channel, None)
            if not self._channels:
                self._resume_reading()

    def close(self) -> None:
        """Forget all channels; reading is left as it is. Idempotent."""
        self._channels.clear()
        self._buffered.clear()
        if self._eviction is not None:
            self._eviction.cancel()
            self._eviction = None

    def _bound(self) -> int:
        """Return how much one channel may buffer before the tunnel is no longer read.

        Alone, it waits for itself only, so little is buffered. With others it must not make
        them wait, so disk is used while there is any.
        """
        return self._owner.budget.max_backlog(shared=self._owner.load > 1)

    def _pause_reading(self) -> None:
        self._stream.pause_reading()
        self._schedule_eviction()
        self._owner.notify_owner()

    def _resume_reading(self) -> None:
        self.close()
        # Answers to PINGs from before the pause are still behind unread data.
        self._owner.last_received_at = time.monotonic()
        self._stream.resume_reading()
        self._owner.notify_owner()

    def _schedule_eviction(self) -> None:
        self._buffered = {channel: channel.buffered for channel in self._channels}
        self._eviction = self._loop.call_later(self._limits.stall_grace_s, self._evict)

    def _evict(self) -> None:
        stopped = [
            channel
            for channel in self._channels
            if channel in self._buffered
            and self._buffered[channel] - channel.buffered < self._limits.slowest_reader
        ]
        self._schedule_eviction()
        active_since = self._owner.last_received_at - _IDLE_S
        waiting = sum(
            one not in self._channels and one.waits(active_since)
            for one in self._owner.all_channels
        )
        if waiting:
            for channel in stopped:
                channel.handler.evicted(
                    Reason(
                        code=ReasonCode.CONNECTION_EVICTED,
                        buffered_bytes=channel.buffered,
                        total=waiting,
                    )
                )
