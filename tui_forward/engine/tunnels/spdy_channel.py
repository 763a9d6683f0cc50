"""One forwarded connection inside a SPDY tunnel: a pair of streams, and where it stands.

A channel keeps the books of one connection (bytes held, frames sent, the server's worker it
occupies); what follows from them for everybody on the tunnel is `spdy_tunnel`'s business.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from tui_forward.engine.tunnels.base import Channel, ChannelHandler
from tui_forward.engine.tunnels.flow_control import WorkerWindow
from tui_forward.engine.tunnels.spill_buffer import BufferBudget
from tui_forward.errors import ForwardErrorCause
from tui_forward.protocol.error_stream import PortForwardFailure
from tui_forward.transport.stream import Buffer

if TYPE_CHECKING:
    from tui_forward.engine.tunnels.spdy_tunnel import SpdyTunnel


class SpdyChannel(Channel):
    """One pair of streams; made by `SpdyTunnel.open`."""

    __slots__ = (
        "_first_frame",
        "_frames",
        "_handler",
        "_heard",
        "_held",
        "_home",
        "_lane",
        "_last_frame",
        "_opened_at",
        "_pair",
        "_pieces",
        "_tunnel",
        "_waiter",
        "over",
    )

    def __init__(
        self, tunnel: SpdyTunnel, handler: ChannelHandler, port: int, lane: WorkerWindow, now: float
    ) -> None:
        self._tunnel = tunnel
        self._handler = handler
        self._lane: WorkerWindow | None = lane
        self._home = lane
        self._frames = 0
        self._first_frame = self._last_frame = 0
        self._heard = False
        self._opened_at = now
        self._held = 0
        self._pieces: list[memoryview] = []
        self._waiter: asyncio.TimerHandle | None = None
        self.over = False
        lane.streams += 1
        tunnel.load += 1
        self._pair = tunnel.client.open(port, self)

    @property
    def acknowledged(self) -> bool:
        """See `Channel`."""
        return self._pair.accepted

    @property
    def writable(self) -> bool:
        """See `Channel`."""
        lane = self._lane
        return not self._tunnel.write_paused and (lane is None or not lane.full)

    @property
    def lane(self) -> WorkerWindow | None:
        """The server's worker that its data goes through; None once it only lingers."""
        return self._lane

    @property
    def held(self) -> int:
        """See `Channel.hold`."""
        return self._held

    def send(self, data: Buffer) -> None:
        """See `Channel`."""
        if self._pair.send(data):
            self._tunnel.sent(self._lane, len(data))
            self._frames += 1
            self._last_frame = self._home.sent_frames
            if self._frames == 1:
                self._first_frame = self._last_frame

    def flush(self) -> None:
        """See `Channel`."""
        self._tunnel.flush()

    def send_eof(self) -> None:
        """See `Channel`."""
        if self._pair.send_eof():
            self._tunnel.flush()

    def abort(self) -> None:
        """See `Channel`."""
        if not self.over:
            self._pair.abort()
            self._end()
            self._tunnel.flush()

    @property
    def store(self) -> BufferBudget:
        """See `Channel`."""
        return self._tunnel.store

    def set_buffered(self, size: int) -> None:
        """See `Channel`."""
        if not self.over:
            before, self._held = self._held, size
            self._tunnel.channel_holds(self, before, size)

    def mark_half_closed(self) -> None:
        """See `Channel`."""
        if self._lane is not None:
            self._leave_lane()
            self._tunnel.channel_lingers()

    def _leave_lane(self) -> None:
        if self._lane is not None:
            self._lane.streams -= 1
            self._lane = None
            self._tunnel.load -= 1

    # What the tunnel asks of it.

    def expire(self, opened_before: float) -> None:
        """Give up if it was opened before then and is still not accepted."""
        if self._opened_at < opened_before:
            self._pair.expire()

    def give_back(self, opened_before: float) -> None:
        """Have it tried elsewhere if what was sent for it will never be taken here."""
        behind = self._home.doubtful and self._first_frame > self._home.doubted_from
        waits = not self._heard and self._opened_at < opened_before
        if waits and (behind or not self._pair.accepted):
            self._pair.abort()
            self._end()
            text = "the server's end of the tunnel has stopped in part"
            cause = ForwardErrorCause.OTHER
            self._handler.closed(
                PortForwardFailure(cause=cause, text=text, port=self._pair.port, undelivered=True)
            )

    def evict(self, reason: str) -> None:
        """Others suffer from it."""
        self._handler.evicted(reason)

    def pause_writing(self) -> None:
        """No room."""
        self._handler.writing_paused()

    def resume_writing(self) -> None:
        """Room again."""
        if self.writable:
            self._handler.writing_resumed()

    # What the pair calls (`PairReceiver`).

    def accepted(self) -> None:
        """See `PairReceiver`. Nothing waits for it; `acknowledged` remembers."""

    def data_received(self, data: memoryview) -> None:
        """See `PairReceiver`; collected, so that a chunk costs one system call per channel."""
        self._heard = True
        if not self._pieces:
            self._tunnel.received(self)
        self._pieces.append(data)

    def deliver(self) -> None:
        """Hand on what was collected."""
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            if not self.over:
                self._handler.data_received(pieces)

    def eof_received(self) -> None:
        """See `PairReceiver`."""
        self.deliver()
        self._waiter = self._tunnel.loop.call_later(
            self._tunnel.limits.half_close_s, self._half_closed_for_long
        )
        self._handler.eof_received()

    def closed(self, failure: PortForwardFailure | None) -> None:
        """See `PairReceiver`."""
        self.deliver()
        if failure is not None and failure.tunnel_lost and self._tunnel.error is not None:
            failure = replace(failure, text=f"the tunnel was lost: {self._tunnel.error.message}")
        if failure is not None and failure.cause is not ForwardErrorCause.RESET and self._frames:
            # The application was not reached, so there never was a reader.
            self._frames += 1
            self._last_frame = self._first_frame
        if failure is not None and failure.cause is ForwardErrorCause.REFUSED:
            self._tunnel.refused_at = self._tunnel.loop.time()
        self._end()
        self._handler.closed(failure)

    def _half_closed_for_long(self) -> None:
        # The data is complete; a server that does not end the error stream has nothing
        # to say on it.
        if not self.over:
            self._pair.abort()
            self._end()
            self._tunnel.flush()
            self._handler.closed(None)

    def _end(self) -> None:
        if self.over:
            return
        self.over = True
        if self._waiter is not None:
            self._waiter.cancel()
        self._held = 0
        self._leave_lane()
        # The reader of an application that has ended still takes one frame, and no other.
        if self._frames > 1:
            self._tunnel.doubt(self._home, self._last_frame)
        self._tunnel.channel_over(self)
