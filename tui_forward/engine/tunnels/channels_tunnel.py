"""Legacy tunnel: one WebSocket per connection, for servers that upgrade to nothing else.

No half-close, no second connection on it, and the server dials the application as part of
the handshake. In return connections do not share a TCP stream, so none waits for another.
"""

from __future__ import annotations

import asyncio
import time

from msgspec.structs import replace

from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import Channel, ChannelHandler, Tunnel, TunnelOwner
from tui_forward.engine.tunnels.liveness import LivenessMonitor
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import Reason, ReasonCode, TransportChoice
from tui_forward.protocol.channels import ChannelsClient
from tui_forward.protocol.error_stream import PortForwardFailure
from tui_forward.transport.stream import Buffer, ByteStream


class LegacyChannel(Channel):
    """The one connection of a `ChannelsTunnel`."""

    def __init__(self, tunnel: ChannelsTunnel, handler: ChannelHandler, port: int) -> None:
        self._tunnel = tunnel
        self.handler = handler
        self.budget = tunnel.budget
        self.opened_at = time.monotonic()
        self.ended = False  # no more events follow
        self.client = ChannelsClient(port, self, tunnel)  # the codec

    @property
    def acknowledged(self) -> bool:
        """See `Channel`."""
        return self.client.accepted

    @property
    def writable(self) -> bool:
        """See `Channel`."""
        return not self._tunnel.write_paused

    def send(self, data: Buffer) -> None:
        """See `Channel`."""
        if self.client.send(data):
            self._tunnel.flush(payload=True)

    def flush(self) -> None:
        """See `Channel`; the handshake was the opening."""

    def send_eof(self) -> None:
        """See `Channel`; closes the WebSocket, since there is no half-close."""
        if self.client.send_eof():
            self._tunnel.flush()

    def abort(self) -> None:
        """See `Channel`."""
        if not self.ended:
            self.ended = True
            self.client.abort()
            self._tunnel.channel_ended()

    def set_buffered(self, size: int, *, is_behind: bool = False) -> None:  # noqa: ARG002 - no disk
        """See `Channel`."""
        if not self.ended:
            self._tunnel.channel_buffered(size)

    def mark_half_closed(self) -> None:
        """See `Channel`; there is no other channel that it could matter to."""

    def accepted(self) -> None:
        """See `StreamPairReceiver`."""

    def data_received(self, data: memoryview) -> None:
        """See `StreamPairReceiver`."""
        self.handler.data_received([data])

    def eof_received(self) -> None:
        """See `StreamPairReceiver`."""
        self.handler.eof_received()

    def closed(self, failure: PortForwardFailure | None) -> None:
        """See `StreamPairReceiver`."""
        if self.ended:
            return
        self.ended = True
        if failure is not None and failure.tunnel_lost and self._tunnel.error is not None:
            failure = replace(failure, cause=self._tunnel.error.reason)
        self._tunnel.channel_ended()
        self.handler.closed(failure)


class ChannelsTunnel(Tunnel):
    """One upgraded legacy WebSocket.

    Owns `stream`, whose reading is paused; `leftover` is what was received after the 101.
    """

    transport = TransportChoice.CHANNELS

    def __init__(
        self, stream: ByteStream, leftover: bytes, *, port: int, owner: TunnelOwner, limits: Limits
    ) -> None:
        self.error: TuiForwardError | None = None  # why it ended
        self.write_paused = False  # the stream takes no more data
        self._loop = asyncio.get_running_loop()
        self._stream = stream
        self._leftover = leftover
        self._port = port
        self._owner = owner
        self.budget = owner.budget
        self._limits = limits
        self._channel: LegacyChannel | None = None
        self.last_received_at = time.monotonic()
        self._ping_at: float | None = None
        # Payload was sent since the last pong; an application that does not read it delays
        # pongs, too.
        self._has_sent_payload = False
        self._is_paused = False
        self._closed = self._loop.create_future()
        self._close_timer: asyncio.TimerHandle | None = None
        self._liveness = LivenessMonitor(self, limits)
        self._liveness.start()
        stream.set_handler(self)

    @property
    def channels(self) -> int:
        """See `Tunnel`."""
        return 0 if self._channel is None or self._channel.ended else 1

    @property
    def stalled(self) -> bool:
        """See `Tunnel`; it takes no second channel."""
        return self._channel is not None

    def open(self, handler: ChannelHandler) -> Channel:
        """See `Tunnel`; once."""
        if self._ended or self._channel is not None:
            raise TransportError(Reason(code=ReasonCode.TUNNEL_CLOSED))
        channel = self._channel = LegacyChannel(self, handler, self._port)
        self.opened = self.load = 1
        # Not from within: the caller does not have its channel yet.
        self._loop.call_soon(self._begin)
        return channel

    def close(self) -> None:
        """See `Tunnel`."""
        if not self._ended:
            self.error = TransportError(Reason(code=ReasonCode.TUNNEL_CLOSED))
            self._ended = True
            self._close_channel()
            self._close_in_order()

    def abort(self, error: TuiForwardError) -> None:
        """See `Tunnel`."""
        if self._ended:
            return
        self._ended = True
        self.error = error
        self.load = 0
        self._close_channel()
        self._liveness.stop()
        self._stream.abort()
        self._owner.tunnel_ended(self, error)

    # For its channel.

    def flush(self, *, payload: bool = False) -> None:
        """Send what is queued."""
        self._has_sent_payload = self._has_sent_payload or payload
        if self._channel is not None:
            parts = self._channel.client.data_to_send()
            if parts:
                self._stream.writelines(parts)

    def channel_buffered(self, size: int) -> None:
        """Pause reading while the local reader is too far behind."""
        bound = self.budget.max_backlog(shared=False)
        if not self._is_paused and size >= bound:
            self._is_paused = True
            self._stream.pause_reading()
        elif self._is_paused and size <= bound // 2:
            self._is_paused = False
            self.last_received_at = time.monotonic()
            self._resume_reading()

    def channel_ended(self) -> None:
        """End the tunnel: it carries no second channel."""
        self.load = 0
        if not self._ended:
            self._ended = True
            self._close_in_order()
            self._owner.tunnel_ended(self, TransportError(Reason(code=ReasonCode.TUNNEL_CLOSED)))

    def data_received(self, data: memoryview) -> None:
        """See `StreamHandler`."""
        self.last_received_at = time.monotonic()
        if self._channel is not None:
            self._channel.client.receive_data(data)
            if not self.write_paused:
                self.flush()

    def writing_paused(self) -> None:
        """See `StreamHandler`."""
        self.write_paused = True
        if self._channel is not None and not self._channel.ended:
            self._channel.handler.writing_paused()

    def writing_resumed(self) -> None:
        """See `StreamHandler`."""
        self.write_paused = False
        self.flush()
        if self._channel is not None and not self._channel.ended:
            self._channel.handler.writing_resumed()

    def closed(self, error: TransportError | None) -> None:
        """See `StreamHandler`."""
        if self._close_timer is not None:
            self._close_timer.cancel()
        if not self._closed.done():
            self._closed.set_result(None)
        if error is None and self._channel is not None and not self._ended:
            # Some servers end with an end of file instead of a closing frame.
            self._channel.client.receive_eof()
        self.abort(error or TransportError(Reason(code=ReasonCode.TUNNEL_CLOSED_BY_SERVER)))

    def pong_received(self, ping_id: int) -> None:
        """See `TunnelHandler`."""
        if ping_id and self._ping_at is not None:
            self.round_trip_s = time.monotonic() - self._ping_at
            self._ping_at = None
            self._has_sent_payload = False
            self._owner.tunnel_changed(self)

    @property
    def is_monitored(self) -> bool:
        """See `MonitoredTunnel`."""
        return self._channel is not None and not self._ended and not self._is_paused

    @property
    def oldest_ping_at(self) -> float | None:
        """See `MonitoredTunnel`."""
        return self._ping_at

    def send_ping(self) -> None:
        """See `MonitoredTunnel`."""
        channel = self._channel
        if channel is not None and self._ping_at is None and channel.client.send_ping():
            self._ping_at = time.monotonic()
            self.flush()

    def expire_channels(self, opened_before: float) -> None:
        """See `MonitoredTunnel`."""
        channel = self._channel
        if channel is not None and not channel.acknowledged and channel.opened_at < opened_before:
            channel.client.expire()

    def may_be_blocked(self) -> bool:
        """See `MonitoredTunnel`."""
        unread = self._has_sent_payload or self.write_paused
        return unread and self._owner.path_is_alive(self)

    # Private.

    def _begin(self) -> None:
        if self._ended:
            return
        if self._leftover:
            leftover, self._leftover = self._leftover, b""
            self.data_received(memoryview(leftover))
        self._resume_reading()

    def _resume_reading(self) -> None:
        if not self._ended and not self._is_paused:
            self._stream.resume_reading()

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._channel.closed(PortForwardFailure(code=ReasonCode.TUNNEL_LOST, port=self._port))

    def _close_in_order(self) -> None:
        """Send a closing frame, and close the stream in bounded time."""
        if self._channel is not None:
            self._channel.client.close()
        self.flush()
        self._stream.close()
        self._liveness.stop()
        self._close_timer = self._loop.call_later(self._limits.close_s, self._stream.abort)
