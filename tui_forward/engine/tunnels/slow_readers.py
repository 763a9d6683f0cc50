"""Local readers that are too far behind, and what that means for the tunnel they share."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

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


class SlowReaders:
    """Pauses reading of a tunnel while a local reader is too far behind.

    SPDY here has no flow control per stream, so the other channels wait as well. If there are
    any, slow readers are evicted after `Limits.stall_grace_s`.
    """

    __slots__ = ("_channels", "_eviction", "_limits", "_loop", "_owner", "_stream")

    def __init__(self, owner: SlowReaderOwner, stream: ByteStream, limits: Limits) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._stream = stream
        self._limits = limits
        # Whether each waits for the disk, not for its reader.
        self._channels: dict[SpdyChannel, bool] = {}
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
        waited_for_disk = self._channels[channel]
        if not channel.is_behind and (size < bound if waited_for_disk else size <= bound // 2):
            self.discard(channel)

    def discard(self, channel: SpdyChannel) -> None:
        """Forget a channel: it has caught up, or has ended. Idempotent."""
        if channel in self._channels:
            del self._channels[channel]
            if not self._channels:
                self._resume_reading()

    def close(self) -> None:
        """Forget all channels; reading is left as it is. Idempotent."""
        self._channels.clear()
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
        self._eviction = self._loop.call_later(self._limits.stall_grace_s, self._evict)
        self._owner.notify_owner()

    def _resume_reading(self) -> None:
        self.close()
        # Answers to PINGs from before the pause are still behind unread data.
        self._owner.last_received_at = time.monotonic()
        self._stream.resume_reading()
        self._owner.notify_owner()

    def _evict(self) -> None:
        self._eviction = self._loop.call_later(self._limits.stall_grace_s, self._evict)
        waiting = sum(
            one.window is not None and one not in self._channels for one in self._owner.all_channels
        )
        if waiting:
            for channel in list(self._channels):
                channel.handler.evicted(
                    Reason(
                        code=ReasonCode.CONNECTION_EVICTED,
                        buffered_bytes=channel.buffered,
                        total=waiting,
                    )
                )
