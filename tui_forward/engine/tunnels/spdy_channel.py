"""One forwarded connection inside a SPDY tunnel: a pair of streams and its accounting."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from msgspec.structs import replace

from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import Channel, ChannelHandler
from tui_forward.engine.tunnels.flow_control import WorkerWindow
from tui_forward.engine.tunnels.spill_buffer import BufferBudget
from tui_forward.errors import TuiForwardError
from tui_forward.model import ReasonCode
from tui_forward.protocol.error_stream import PortForwardFailure
from tui_forward.protocol.portforward import TunnelClient
from tui_forward.transport.stream import Buffer


class SpdyChannelOwner(Protocol):
    """What a channel needs of its tunnel."""

    client: TunnelClient  # the codec
    last_received_at: float
    limits: Limits
    budget: BufferBudget
    error: TuiForwardError | None  # why the tunnel ended
    write_paused: bool  # the tunnel's stream takes no more data
    load: int  # see `Tunnel`
    refused_at: float  # see `Tunnel`

    def received(self, channel: SpdyChannel) -> None:
        """Have the channel's `deliver` called when the present chunk is processed."""

    def batches(self, size: int) -> bool:
        """Return whether that many bytes should wait for what others send at this moment."""

    def sent(self, channel: SpdyChannel, size: int, *, is_batched: bool) -> None:
        """Send the `size` bytes of DATA that a channel has queued, and meter them.

        Those of a batch wait until the event loop has served what is ready now.
        """

    def flush(self) -> None:
        """Send what is queued, unless that happens anyway after the present chunk."""

    def channel_buffered(self, channel: SpdyChannel, before: int, size: int) -> None:
        """Record that a channel's handler buffers `size` bytes, `before` until now."""

    def channel_half_closed(self) -> None:
        """Record that a channel counts as no load any more."""

    def channel_ended(self, channel: SpdyChannel) -> None:
        """Forget a channel."""

    def suspect_worker(self, window: WorkerWindow, frame: int) -> None:
        """Find out whether a frame has stopped a worker of the server."""


class SpdyChannel(Channel):
    """One pair of streams; created by `SpdyTunnel.open`."""

    def __init__(
        self, tunnel: SpdyChannelOwner, handler: ChannelHandler, port: int, window: WorkerWindow
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._tunnel = tunnel
        self.handler = handler
        self.budget = tunnel.budget
        self._worker = window
        self._frames = 0
        self._first_frame = self._last_frame = 0
        self._has_received = False
        self._awaits_answer = False  # it has sent since it received last
        self._opened_at = self._active_at = time.monotonic()
        self._pieces: list[memoryview] = []
        self._half_close_timer: asyncio.TimerHandle | None = None
        # Window of the server's worker that its data goes through; None once it is half closed.
        self.window: WorkerWindow | None = window
        self.buffered = 0  # bytes that its handler buffers
        self.is_behind = False  # see `Channel.set_buffered`
        self.ended = False  # no more events follow
        self._pair = tunnel.client.open(port, self)
        window.open_streams += 1
        tunnel.load += 1

    @property
    def acknowledged(self) -> bool:
        """See `Channel`."""
        return self._pair.accepted

    @property
    def writable(self) -> bool:
        """See `Channel`."""
        window = self.window
        return not self._tunnel.write_paused and (window is None or not window.full)

    def send(self, data: Buffer) -> None:
        """See `Channel`."""
        is_batched = self._tunnel.batches(len(data))
        if self._pair.send(bytes(data) if is_batched else data):
            self._tunnel.sent(self, len(data), is_batched=is_batched)
            self._awaits_answer = True
            self._frames += 1
            self._last_frame = self._worker.sent_frames
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
        if not self.ended:
            self._pair.abort()
            self._end()
            self._tunnel.flush()

    def set_buffered(self, size: int, *, is_behind: bool = False) -> None:
        """See `Channel`."""
        if not self.ended:
            self.is_behind = is_behind
            before, self.buffered = self.buffered, size
            self._tunnel.channel_buffered(self, before, size)

    def mark_half_closed(self) -> None:
        """See `Channel`."""
        if self.window is not None:
            self._leave_window()
            self._tunnel.channel_half_closed()

    def _leave_window(self) -> None:
        if self.window is not None:
            self.window.open_streams -= 1
            self.window = None
            self._tunnel.load -= 1

    # For the tunnel.

    def waits(self, active_since: float) -> bool:
        """Return whether it lacks something while the tunnel is not read.

        An answer to what it has sent; or more of what it received lately, a greeting included.
        """
        return self.window is not None and (self._awaits_answer or self._active_at > active_since)

    def expire(self, opened_before: float) -> None:
        """End it if it was opened before then and is still not acknowledged."""
        if self._opened_at < opened_before and not self.acknowledged:
            self._pair.expire()

    def return_undelivered(self, opened_before: float) -> None:
        """End it as undelivered if its worker will never process what was sent.

        The connection can then be retried on another tunnel.
        """
        worker = self._worker
        blocked = worker.suspect and self._first_frame > worker.suspect_frame
        waiting = not self._has_received and self._opened_at < opened_before
        if waiting and (blocked or not self._pair.accepted):
            self._pair.abort()
            self._end()
            self.handler.closed(
                PortForwardFailure(
                    code=ReasonCode.TUNNEL_STREAM_ABANDONED, port=self._pair.port, undelivered=True
                )
            )

    def resume_writing(self) -> None:
        """Have the handler send again, unless something else speaks against it."""
        if self.writable:
            self.handler.writing_resumed()

    def accepted(self) -> None:
        """See `StreamPairReceiver`. Nothing waits for it; `acknowledged` reports it."""

    def data_received(self, data: memoryview) -> None:
        """See `StreamPairReceiver`. Collects: a chunk costs one system call per channel."""
        self._has_received = True
        self._awaits_answer = False
        if not self._pieces:
            self._active_at = self._tunnel.last_received_at
            self._tunnel.received(self)
        self._pieces.append(data)

    def deliver(self) -> None:
        """Pass the collected data to the handler."""
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            if not self.ended:
                self.handler.data_received(pieces)

    def eof_received(self) -> None:
        """See `StreamPairReceiver`."""
        self.deliver()
        self._half_close_timer = self._loop.call_later(
            self._tunnel.limits.half_close_s, self._end_half_closed
        )
        self.handler.eof_received()

    def closed(self, failure: PortForwardFailure | None) -> None:
        """See `StreamPairReceiver`."""
        self.deliver()
        if failure is not None:
            if failure.tunnel_lost and self._tunnel.error is not None:
                failure = replace(failure, cause=self._tunnel.error.reason)
            if failure.code is not ReasonCode.PORT_RESET and self._frames:
                # The application was not reached, so there never was a reader.
                self._frames += 1
                self._last_frame = self._first_frame
            if failure.code is ReasonCode.PORT_REFUSED:
                self._tunnel.refused_at = time.monotonic()
        self._end()
        self.handler.closed(failure)

    def _end_half_closed(self) -> None:
        # The data is complete; a server that does not end the error stream has nothing
        # to send on it.
        if not self.ended:
            self._pair.abort()
            self._end()
            self._tunnel.flush()
            self.handler.closed(None)

    def _end(self) -> None:
        if self.ended:
            return
        self.ended = True
        if self._half_close_timer is not None:
            self._half_close_timer.cancel()
        self.buffered = 0
        self._leave_window()
        # The reader of an application that has ended still takes one frame, and no other.
        if self._frames > 1:
            self._tunnel.suspect_worker(self._worker, self._last_frame)
        self._tunnel.channel_ended(self)
