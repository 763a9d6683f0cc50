"""SPDY tunnel, directly or inside a WebSocket: many channels in one stream.

Beyond the codec: channels do not wait for SYN_REPLY, uploads are metered per worker of the
server (`UploadFlow`), reading pauses when a local reader is slow (`SlowReaders`), and PINGs
detect a dead path (`LivenessMonitor`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from tui_forward.common.logging_levels import TRACE
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import ChannelHandler, Tunnel, TunnelOwner
from tui_forward.engine.tunnels.flow_control import WorkerWindow
from tui_forward.engine.tunnels.liveness import LivenessMonitor
from tui_forward.engine.tunnels.slow_readers import SlowReaders
from tui_forward.engine.tunnels.spdy_channel import SpdyChannel
from tui_forward.engine.tunnels.upload_flow import UploadFlow
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import Reason, ReasonCode, TransportChoice
from tui_forward.protocol.error_stream import PortForwardFailure
from tui_forward.protocol.portforward import TunnelClient
from tui_forward.transport.stream import ByteStream

_log = logging.getLogger(__name__)

# A chunk of so much is part of a bulk transfer.
_BULK_BYTES: Final = 64 * 1024
# Small messages of several channels leave together, in one record of TLS: each costs every hop a
# system call and a record otherwise.
_BATCH_BYTES: Final = 12 * 1024


class SpdyTunnel(Tunnel):
    """One upgraded SPDY connection to a pod, perhaps inside a WebSocket.

    Owns `stream`, whose reading is paused; `leftover` is what was received after the 101.
    """

    def __init__(
        self,
        stream: ByteStream,
        leftover: bytes,
        *,
        port: int,
        transport: TransportChoice,
        owner: TunnelOwner,
        limits: Limits,
    ) -> None:
        self.transport = transport
        self.client = TunnelClient(self)
        self.limits = limits
        self.error: TuiForwardError | None = None  # why it ended
        self.write_paused = False  # the stream takes no more data
        self.all_channels: dict[SpdyChannel, None] = {}  # the open channels, oldest first
        self._last_sender: SpdyChannel | None = None
        self.load = 0
        self._loop = asyncio.get_running_loop()
        self._stream = stream
        self._leftover = leftover
        self._port = port
        self._owner = owner
        self.budget = owner.budget
        self._flow = UploadFlow(self)
        self._slow_readers = SlowReaders(self, stream, limits)
        self._liveness = LivenessMonitor(self, limits)
        self._is_receiving = False
        self._batched_bytes = 0  # of data that waits for the end of the event loop's turn
        # Channels with data in the present chunk.
        self._receivers: list[SpdyChannel] = []
        self.last_received_at = time.monotonic()
        self._answered: asyncio.Future[None] = self._loop.create_future()
        self._closed = self._loop.create_future()
        self._close_timer: asyncio.TimerHandle | None = None
        self._traced = _log.isEnabledFor(TRACE)

    async def start(self, timeout_s: float) -> None:
        """Begin to read, and wait until the other end answers a PING.

        Raises `TransportError` or `ProtocolError` if there is no valid answer in time. When
        canceled, the tunnel has to be aborted by the caller.
        """
        self._stream.set_handler(self)
        self._liveness.start()
        self._flow.send_ping()
        self.flush()
        if self._leftover:
            leftover, self._leftover = self._leftover, b""
            self.data_received(memoryview(leftover))
        if not self._ended and not self._slow_readers:
            self._stream.resume_reading()
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._answered)
        except TimeoutError:
            error = TransportError(Reason(code=ReasonCode.TUNNEL_NO_PONG))
            self.abort(error)
            raise error from None

    @property
    def channels(self) -> int:
        """See `Tunnel`."""
        return len(self.all_channels)

    @property
    def stalled(self) -> bool:
        """See `Tunnel`."""
        return bool(self._slow_readers) or self.write_paused

    @property
    def suspect(self) -> bool:
        """See `Tunnel`."""
        return self._flow.has_stopped_worker

    @property
    def stuck(self) -> bool:
        """See `Tunnel`."""
        return not self.all_channels and self._flow.is_ping_overdue

    def open(self, handler: ChannelHandler) -> SpdyChannel:
        """See `Tunnel`."""
        if self._ended:
            raise TransportError(Reason(code=ReasonCode.TUNNEL_CLOSED))
        channel = SpdyChannel(self, handler, self._port, self._flow.place_channel())
        self.all_channels[channel] = None
        self.opened += 1
        if self._traced:
            self._trace("channel %d opened, load %d", self.opened, self.load)
        return channel

    def close(self) -> None:
        """See `Tunnel`."""
        if self._ended:
            return
        self._ended = True
        self.error = TransportError(Reason(code=ReasonCode.TUNNEL_CLOSED))
        self._stop_parts()
        for channel in list(self.all_channels):
            channel.closed(PortForwardFailure(code=ReasonCode.TUNNEL_LOST, port=self._port))
        self.client.close()
        self._write_queue()
        self._stream.close()
        # A peer that does not read must not keep the socket.
        self._close_timer = self._loop.call_later(self.limits.close_s, self._stream.abort)

    def abort(self, error: TuiForwardError) -> None:
        """See `Tunnel`."""
        if self._ended:
            return
        self._ended = True
        self.error = error
        self._stop_parts()
        # Closes every channel; `tunnel_ended` is called back and does nothing.
        self.client.receive_eof()
        self._stream.abort()
        if not self._answered.done():
            self._answered.set_exception(error)
            self._answered.exception()  # retrieved, also when `start` does not wait any more
        self._owner.tunnel_ended(self, error)

    def received(self, channel: SpdyChannel) -> None:
        """See `SpdyChannelOwner`."""
        self._receivers.append(channel)

    def batches(self, size: int) -> bool:
        """See `SpdyChannelOwner`."""
        return self.load > 1 and self._batched_bytes + size <= _BATCH_BYTES

    def sent(self, channel: SpdyChannel, size: int, *, is_batched: bool) -> None:
        """See `SpdyChannelOwner`."""
        self._last_sender = channel
        if size >= _BULK_BYTES:
            self.bulk_at = time.monotonic()
        window = channel.window
        # Alone, it can only make itself wait, and the acknowledgements would cost it a third of
        # its speed.
        is_metered = window is not None and self.load > 1
        if window is not None:
            if is_metered:
                self._flow.sent(window, size)
            else:
                window.sent_unmetered(size)
        if not is_batched:
            self._write_queue()
        else:
            if not self._batched_bytes:
                self._loop.call_soon(self._write_queue)
            self._batched_bytes += size
        if window is not None and is_metered and window.full:
            self._flow.pause(window)

    def flush(self) -> None:
        """See `SpdyChannelOwner`."""
        if not self._is_receiving:
            self._write_queue()

    def channel_buffered(self, channel: SpdyChannel, before: int, size: int) -> None:
        """See `SpdyChannelOwner`."""
        self._slow_readers.update(channel, before, size)

    def channel_half_closed(self) -> None:
        """See `SpdyChannelOwner`."""
        self._flow.stop_metering_if_alone()
        self.notify_owner()

    def channel_ended(self, channel: SpdyChannel) -> None:
        """See `SpdyChannelOwner`."""
        self.all_channels.pop(channel, None)
        self._slow_readers.discard(channel)
        if self._last_sender is channel:
            self._last_sender = None
        self._flow.stop_metering_if_alone()
        if self._traced:
            self._trace("channel ended, load %d", self.load)
        self.notify_owner()

    def suspect_worker(self, window: WorkerWindow, frame: int) -> None:
        """See `SpdyChannelOwner`."""
        self._flow.suspect_worker(window, frame)

    def data_received(self, data: memoryview) -> None:
        """See `StreamHandler`."""
        self.last_received_at = time.monotonic()
        if len(data) >= _BULK_BYTES:
            self.bulk_at = self.last_received_at
        self._is_receiving = True
        self.client.receive_data(data)
        # Before the chunk's memory is used again.
        for channel in self._receivers:
            channel.deliver()
        self._receivers.clear()
        self._is_receiving = False
        # While the peer does not read, the codec bounds the answers that it causes.
        if not self.write_paused:
            self._write_queue()

    def writing_paused(self) -> None:
        """See `StreamHandler`."""
        self.write_paused = True
        for channel in list(self.all_channels):
            channel.handler.writing_paused()

    def writing_resumed(self) -> None:
        """See `StreamHandler`."""
        self.write_paused = False
        self._write_queue()
        for channel in self.channels_in_turn():
            if self.write_paused:
                return
            channel.resume_writing()
        self.notify_owner()

    def closed(self, error: TransportError | None) -> None:
        """See `StreamHandler`."""
        if not self._closed.done():
            self._closed.set_result(None)
        self.abort(error or TransportError(Reason(code=ReasonCode.TUNNEL_CLOSED_BY_SERVER)))
        if self._close_timer is not None:
            self._close_timer.cancel()

    def pong_received(self, ping_id: int) -> None:
        """See `TunnelHandler`."""
        if self._flow.pong_received(ping_id):
            if self._traced:
                self._trace("PONG %d after %.1f ms", ping_id, 1000 * (self.round_trip_s or 0.0))
            if not self._answered.done():
                self._answered.set_result(None)

    @property
    def is_monitored(self) -> bool:
        """See `MonitoredTunnel`."""
        return not self._ended and not self._slow_readers

    @property
    def oldest_ping_at(self) -> float | None:
        """See `MonitoredTunnel`."""
        return self._flow.oldest_ping_at

    def send_ping(self) -> None:
        """See `MonitoredTunnel`."""
        if self._flow.can_ping:
            self._flow.send_ping()
        self.flush()

    def expire_channels(self, opened_before: float) -> None:
        """See `MonitoredTunnel`."""
        for channel in list(self.all_channels):
            channel.expire(opened_before)
        self.flush()
        self.notify_owner()

    def may_be_blocked(self) -> bool:
        """See `MonitoredTunnel`."""
        # An application that does not read can silence a whole tunnel, if the server has more
        # to deliver than its queues hold. Then the other tunnels show whether the path is up.
        unread = self.write_paused or self._flow.has_unacked_bytes
        return unread and bool(self.all_channels) and self._owner.path_is_alive(self)

    def channels_in_turn(self) -> list[SpdyChannel]:
        """Return the open channels in the order in which they may send again.

        The one that has sent last comes last: of many that have data, only the first few send
        before the tunnel is full again, and each time it must be others.
        """
        channels = list(self.all_channels)
        if self._last_sender is not None:
            following = channels.index(self._last_sender) + 1
            channels = channels[following:] + channels[:following]
        return channels

    # Private.

    def notify_owner(self) -> None:
        """Report a change to the pool."""
        if not self._ended:
            self._owner.tunnel_changed(self)

    def _write_queue(self) -> None:
        self._batched_bytes = 0
        parts = self.client.data_to_send()
        if parts:
            self._stream.writelines(parts)

    def _stop_parts(self) -> None:
        self._liveness.stop()
        self._slow_readers.close()
        self._flow.close()

    def _trace(self, message: str, *values: object) -> None:
        _log.log(TRACE, f"tunnel %x: {message}", id(self), *values)
