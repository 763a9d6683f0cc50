"""The legacy tunnel: one WebSocket per connection, for servers that upgrade to nothing else.

No half-close, no second connection on it, and the server dials the application as part of
the handshake. In return nobody shares a TCP stream, so nobody waits for anybody.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import Channel, ChannelHandler, Tunnel, TunnelOwner
from tui_forward.engine.tunnels.spill_buffer import BufferBudget
from tui_forward.errors import ForwardErrorCause, ProtocolError, TransportError, TuiForwardError
from tui_forward.model import TransportChoice
from tui_forward.protocol.channels import ChannelsClient
from tui_forward.protocol.error_stream import PortForwardFailure
from tui_forward.transport.stream import Buffer, ByteStream


class LegacyChannel(Channel):
    """The one connection of a `ChannelsTunnel`."""

    __slots__ = ("_handler", "_tunnel", "client", "over")

    def __init__(self, tunnel: ChannelsTunnel, handler: ChannelHandler, port: int) -> None:
        self._tunnel = tunnel
        self._handler = handler
        self.over = False
        self.client = ChannelsClient(port, self, tunnel)

    @property
    def acknowledged(self) -> bool:
        """See `Channel`."""
        return self.client.accepted

    @property
    def writable(self) -> bool:
        """See `Channel`."""
        return not self._tunnel.write_paused

    @property
    def store(self) -> BufferBudget:
        """See `Channel`."""
        return self._tunnel.store

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
        if not self.over:
            self.over = True
            self.client.abort()
            self._tunnel.channel_over()

    def set_buffered(self, size: int) -> None:
        """See `Channel`."""
        if not self.over:
            self._tunnel.channel_holds(size)

    def mark_half_closed(self) -> None:
        """See `Channel`; nobody else is on this tunnel to care."""

    def pause_writing(self) -> None:
        """No room."""
        self._handler.writing_paused()

    def resume_writing(self) -> None:
        """Room again."""
        self._handler.writing_resumed()

    # PairReceiver.

    def accepted(self) -> None:
        """See `PairReceiver`."""

    def data_received(self, data: memoryview) -> None:
        """See `PairReceiver`."""
        self._handler.data_received([data])

    def eof_received(self) -> None:
        """See `PairReceiver`."""
        self._handler.eof_received()

    def closed(self, failure: PortForwardFailure | None) -> None:
        """See `PairReceiver`."""
        if self.over:
            return
        self.over = True
        if failure is not None and failure.tunnel_lost and self._tunnel.error is not None:
            failure = replace(failure, text=f"the tunnel was lost: {self._tunnel.error.message}")
        self._tunnel.channel_over()
        self._handler.closed(failure)


class ChannelsTunnel(Tunnel):
    """One upgraded legacy WebSocket.

    Args:
        stream: Upgraded; owned from now on. Reading is paused.
        leftover: What came behind the 101.
        port: Port in the pod, as named in the request.
        owner: The pool.
        limits: Bounds.
    """

    transport = TransportChoice.CHANNELS

    def __init__(
        self,
        stream: ByteStream,
        leftover: bytes,
        *,
        port: int,
        owner: TunnelOwner,
        limits: Limits,
    ) -> None:
        self.error: TuiForwardError | None = None
        self.write_paused = False
        self._loop = asyncio.get_running_loop()
        self._stream = stream
        self._leftover = leftover
        self._port = port
        self._owner = owner
        self._limits = limits
        self._channel: LegacyChannel | None = None
        self._opened_at = self._heard_at = self._loop.time()
        # When the oldest unanswered ping was sent; and whether payload was sent since the
        # last pong: an application that does not read delays pongs, too.
        self._asked_at: float | None = None
        self._owed = False
        self._paused = False
        self._ended = False
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._timer = self._loop.call_later(limits.ping_every_s, self._tick)
        stream.set_handler(self)

    # Tunnel.

    @property
    def up(self) -> bool:
        """See `Tunnel`."""
        return not self._ended

    @property
    def channels(self) -> int:
        """See `Tunnel`."""
        return 0 if self._channel is None or self._channel.over else 1

    @property
    def stalled(self) -> bool:
        """See `Tunnel`; it takes no second channel."""
        return self._channel is not None

    @property
    def suspect(self) -> bool:
        """See `Tunnel`."""
        return False

    @property
    def stuck(self) -> bool:
        """See `Tunnel`; it ends with its channel."""
        return False

    @property
    def last_received_at(self) -> float:
        """See `Tunnel`."""
        return self._heard_at

    @property
    def store(self) -> BufferBudget:
        """Room for the bytes of slow readers."""
        return self._owner.store

    def open(self, handler: ChannelHandler) -> Channel:
        """See `Tunnel`; once."""
        if self._ended or self._channel is not None:
            raise TransportError("the tunnel has ended")
        channel = self._channel = LegacyChannel(self, handler, self._port)
        self.opened = self.load = 1
        # Not from within: the caller does not know its channel yet.
        self._loop.call_soon(self._begin)
        return channel

    def probe(self, within_s: float) -> None:
        """See `Tunnel`."""
        if self._channel is not None and not self._ended and not self._paused:
            asked_at = self._loop.time()
            self._ask(self._channel)
            self._loop.call_later(within_s, self._judge_probe, asked_at)

    def close(self) -> None:
        """See `Tunnel`."""
        if not self._ended:
            self.error = TransportError("the tunnel was closed")
            self._ended = True
            self._lose_channel()
            self._leave()

    def abort(self, error: TuiForwardError) -> None:
        """See `Tunnel`."""
        self._finish(error)

    async def wait_closed(self) -> None:
        """See `Tunnel`."""
        await asyncio.shield(self._closed)

    # What the channel calls.

    def flush(self, *, payload: bool = False) -> None:
        """Send what is queued."""
        self._owed = self._owed or payload
        if self._channel is not None:
            parts = self._channel.client.data_to_send()
            if parts:
                self._stream.writelines(parts)

    def channel_holds(self, size: int) -> None:
        """Its reader is slow, or not any more."""
        bound = self.store.max_backlog(shared=False)
        if not self._paused and size >= bound:
            self._paused = True
            self._stream.pause_reading()
        elif self._paused and size <= bound // 2:
            self._paused = False
            self._heard_at = self._loop.time()
            self._update_reading()

    def channel_over(self) -> None:
        """Nothing is left to do here: leave."""
        self.load = 0
        if not self._ended:
            self._ended = True
            self._leave()
            self._owner.tunnel_ended(self, TransportError("the connection is over"))

    # StreamHandler.

    def data_received(self, data: memoryview) -> None:
        """See `StreamHandler`."""
        self._heard_at = self._loop.time()
        if self._channel is not None:
            self._channel.client.receive_data(data)
            if not self.write_paused:
                self.flush()

    def writing_paused(self) -> None:
        """See `StreamHandler`."""
        self.write_paused = True
        if self._channel is not None and not self._channel.over:
            self._channel.pause_writing()

    def writing_resumed(self) -> None:
        """See `StreamHandler`."""
        self.write_paused = False
        self.flush()
        if self._channel is not None and not self._channel.over:
            self._channel.resume_writing()

    def closed(self, error: TransportError | None) -> None:
        """See `StreamHandler`."""
        self._timer.cancel()
        if not self._closed.done():
            self._closed.set_result(None)
        if error is None and self._channel is not None and not self._ended:
            # An end of file without a closing frame is how some servers say it is over.
            self._channel.client.receive_eof()
        self._finish(error or TransportError("the server closed the tunnel"))

    # TunnelHandler.

    def pong_received(self, ping_id: int) -> None:
        """See `TunnelHandler`."""
        if ping_id and self._asked_at is not None:
            self.round_trip_s = self._loop.time() - self._asked_at
            self._asked_at = None
            self._owed = False
            self._owner.tunnel_changed(self)

    def tunnel_ended(self, error: ProtocolError | None) -> None:
        """See `TunnelHandler`."""
        self._finish(error or TransportError("the server ended the tunnel"))

    # Liveness.

    def _begin(self) -> None:
        if self._ended:
            return
        if self._leftover:
            leftover, self._leftover = self._leftover, b""
            self.data_received(memoryview(leftover))
        self._update_reading()

    def _update_reading(self) -> None:
        if not self._ended and not self._paused:
            self._stream.resume_reading()

    def _ask(self, channel: LegacyChannel) -> None:
        if self._asked_at is None and channel.client.send_ping():
            self._asked_at = self._loop.time()
            self.flush()

    def _tick(self) -> None:
        if self._ended:
            return
        now = self._loop.time()
        self._timer = self._loop.call_later(self._limits.ping_every_s, self._tick)
        channel = self._channel
        if channel is None or self._paused:
            return
        if not channel.acknowledged and now - self._opened_at > self._limits.open_timeout_s:
            channel.client.expire()
            return
        asked_at = self._asked_at
        if asked_at is None:
            self._ask(channel)
        elif now - max(asked_at, self._heard_at) >= self._limits.silence_s:
            self._silent(now - self._heard_at)

    def _judge_probe(self, asked_at: float) -> None:
        if not self._ended and not self._paused and self._heard_at < asked_at:
            self._silent(self._loop.time() - self._heard_at)

    def _silent(self, seconds: float) -> None:
        if (self._owed or self.write_paused) and self._owner.path_is_alive(self):
            return
        self._finish(
            TransportError(
                f"nothing has come through the tunnel for {seconds:.0f} s",
                hint="Check the network (VPN, sleep?).",
            )
        )

    # The end.

    def _finish(self, error: TuiForwardError) -> None:
        if self._ended:
            return
        self._ended = True
        self.error = error
        self.load = 0
        self._lose_channel()
        self._timer.cancel()
        self._stream.abort()
        self._owner.tunnel_ended(self, error)

    def _lose_channel(self) -> None:
        if self._channel is not None:
            self._channel.closed(
                PortForwardFailure(
                    cause=ForwardErrorCause.OTHER, text="", port=self._port, tunnel_lost=True
                )
            )

    def _leave(self) -> None:
        """Say goodbye, in bounded time."""
        if self._channel is not None:
            self._channel.client.close()
        self.flush()
        self._stream.close()
        self._timer.cancel()
        self._timer = self._loop.call_later(self._limits.close_s, self._stream.abort)
