"""A tunnel spoken in SPDY, directly or inside a WebSocket: many channels in one stream.

What makes it more than a codec on a socket: nobody waits for SYN_REPLY, uploads are
metered per worker of the server (`lanes`), reading pauses when a local reader is slow, and
PINGs tell whether the path still exists.
"""

from __future__ import annotations

import asyncio

from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import ChannelHandler, Tunnel, TunnelOwner
from tui_forward.engine.tunnels.flow_control import MAX_UNANSWERED, WorkerWindow, WorkerWindows
from tui_forward.engine.tunnels.spdy_channel import SpdyChannel
from tui_forward.engine.tunnels.spill_buffer import BufferBudget
from tui_forward.errors import ForwardErrorCause, ProtocolError, TransportError, TuiForwardError
from tui_forward.model import TransportChoice
from tui_forward.protocol.error_stream import PortForwardFailure
from tui_forward.protocol.portforward import TunnelClient
from tui_forward.transport.stream import ByteStream

_LONGEST_HEALTHY_ANSWER_S = 1.0


class SpdyTunnel(Tunnel):
    """One upgraded SPDY connection to a pod.

    Args:
        stream: Upgraded; owned from now on. Reading is paused.
        leftover: What came behind the 101.
        port: Port in the pod.
        transport: SPDY, or WEBSOCKET when `stream` is inside one.
        owner: The pool.
        limits: Bounds.
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
        self.loop = asyncio.get_running_loop()
        self.error: TuiForwardError | None = None
        self.write_paused = False
        self._stream = stream
        self._leftover = leftover
        self._port = port
        self._owner = owner
        self._lanes = WorkerWindows()
        self._channels: set[SpdyChannel] = set()
        self.load = 0
        self._slow: set[SpdyChannel] = set()
        self._grace: asyncio.TimerHandle | None = None
        self._verdict: asyncio.TimerHandle | None = None
        self._receiving = False
        # Channels with data in the present chunk.
        self._received: list[SpdyChannel] = []
        self._ended = False
        self._told_stalled = False
        self._heard_at = self.loop.time()
        self._answered: asyncio.Future[None] = self.loop.create_future()
        self._closed: asyncio.Future[None] = self.loop.create_future()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, timeout_s: float) -> None:
        """Begin to read, and wait until the other end answers a PING.

        Cancelling it leaves the tunnel to be aborted by the caller.

        Raises:
            TransportError: The tunnel ended, or nothing answers in time.
            ProtocolError: What answers does not speak SPDY.
        """
        self._stream.set_handler(self)
        self._timer = self.loop.call_later(self.limits.ping_every_s, self._tick)
        self._ping()
        self.flush()
        if self._leftover:
            leftover, self._leftover = self._leftover, b""
            self.data_received(memoryview(leftover))
        self._update_reading()
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._answered)
        except TimeoutError:
            error = TransportError(
                "the tunnel is open, but nothing answers at its other end",
                hint="A proxy between here and the API server may break upgraded connections.",
            )
            self.abort(error)
            raise error from None

    # Tunnel.

    @property
    def up(self) -> bool:
        """See `Tunnel`."""
        return not self._ended

    @property
    def channels(self) -> int:
        """See `Tunnel`."""
        return len(self._channels)

    @property
    def stalled(self) -> bool:
        """See `Tunnel`."""
        return bool(self._slow) or self.write_paused

    @property
    def suspect(self) -> bool:
        """See `Tunnel`."""
        return self._lanes.any_stopped(self._slow_before())

    @property
    def stuck(self) -> bool:
        """See `Tunnel`."""
        asked_at = self._lanes.oldest_unanswered()
        return not self._channels and asked_at is not None and asked_at < self._slow_before()

    @property
    def last_received_at(self) -> float:
        """When the last byte came, in the loop's time."""
        return self._heard_at

    def open(self, handler: ChannelHandler) -> SpdyChannel:
        """See `Tunnel`."""
        if self._ended:
            raise TransportError("the tunnel has ended")
        spdy = self.client.spdy
        if self.load:
            if self.load == 1:
                self._lanes.acknowledge_all()  # alone, the other one was not metered
            skip = self._lanes.stream_ids_to_skip(spdy.next_stream_id, self._slow_before())
            spdy.skip_streams(2 * skip)
        error_id = spdy.next_stream_id
        lane = self._lanes.window_for(error_id + 2)
        channel = SpdyChannel(self, handler, self._port, lane, self.loop.time())
        self._channels.add(channel)
        self.opened += 1
        self._lanes.window_for(error_id).sent_unmetered(0)
        lane.sent_unmetered(0)
        return channel

    def probe(self, within_s: float) -> None:
        """See `Tunnel`."""
        if self._ended or self._slow:
            return
        asked_at = self.loop.time()
        self._ping()
        self.flush()
        self.loop.call_later(within_s, self._judge_probe, asked_at)

    def close(self) -> None:
        """See `Tunnel`."""
        if self._ended:
            return
        self._ended = True
        self.error = TransportError("the tunnel was closed")
        for channel in list(self._channels):
            channel.closed(
                PortForwardFailure(
                    cause=ForwardErrorCause.OTHER, text="", port=self._port, tunnel_lost=True
                )
            )
        self.client.close()
        self._write_queue()
        self._stream.close()
        self._release()
        # A peer that does not read must not keep the socket.
        self._timer = self.loop.call_later(self.limits.close_s, self._stream.abort)

    def abort(self, error: TuiForwardError) -> None:
        """See `Tunnel`."""
        self._finish(error)

    async def wait_closed(self) -> None:
        """See `Tunnel`."""
        await asyncio.shield(self._closed)

    # What its channels call.

    def received(self, channel: SpdyChannel) -> None:
        """A channel has data in the present chunk."""
        self._received.append(channel)

    def sent(self, lane: WorkerWindow | None, size: int) -> None:
        """A channel has queued `size` bytes of DATA: let them go, and meter them."""
        if lane is None or self.load < 2:
            # Alone, it can make nobody wait but itself, and the acknowledgements would cost
            # it a third of its speed.
            if lane is not None:
                lane.sent_unmetered(size)
            self._write_queue()
            return
        if lane.sent(size):
            self._ask(lane)
        self._write_queue()
        if lane.full:
            self._pause_lane(lane)

    def flush(self) -> None:
        """Send what is queued, unless that happens anyway when the present chunk is done."""
        if not self._receiving:
            self._write_queue()

    def channel_holds(self, channel: SpdyChannel, before: int, size: int) -> None:
        """A channel's reader is slow, or not any more."""
        if size > before:
            if channel not in self._slow and size >= self._bound():
                self._slow.add(channel)
                self._update_reading()
        elif channel in self._slow and size <= self._bound() // 2:
            self._slow.discard(channel)
            self._update_reading()

    def doubt(self, lane: WorkerWindow, frame: int) -> None:
        """A frame that was sent to this worker may never be taken: find out."""
        if not self._ended:
            lane.mark_suspect(frame)
            self._ask(lane)
            self.flush()
            if self._verdict is None:
                self._verdict = self.loop.call_later(_LONGEST_HEALTHY_ANSWER_S, self._give_back)

    def _give_back(self) -> None:
        """Connections that wait for a worker that has stopped for good are tried elsewhere."""
        self._verdict = None
        if self._ended or not any(lane.doubtful for lane in self._lanes.all):
            return
        before = self._slow_before()
        for channel in list(self._channels):
            channel.give_back(before)
        self.flush()
        if self._channels:
            self._verdict = self.loop.call_later(_LONGEST_HEALTHY_ANSWER_S, self._give_back)
        else:
            self._tell_owner()

    def channel_lingers(self) -> None:
        """A channel has become harmless."""
        self._unmeter()
        self._tell_owner()

    def channel_over(self, channel: SpdyChannel) -> None:
        """A channel has ended."""
        self._channels.discard(channel)
        if channel in self._slow:
            self._slow.discard(channel)
            self._update_reading()
        self._unmeter()
        self._tell_owner()

    # StreamHandler.

    def data_received(self, data: memoryview) -> None:
        """See `StreamHandler`."""
        self._heard_at = self.loop.time()
        self._receiving = True
        self.client.receive_data(data)
        # Before the chunk's memory is used again.
        for channel in self._received:
            channel.deliver()
        self._received.clear()
        self._receiving = False
        # What a peer provokes is bounded in the codec as long as it is not taken.
        if not self.write_paused:
            self._write_queue()

    def writing_paused(self) -> None:
        """See `StreamHandler`."""
        self.write_paused = True
        for channel in list(self._channels):
            channel.pause_writing()

    def writing_resumed(self) -> None:
        """See `StreamHandler`."""
        self.write_paused = False
        self._write_queue()
        for channel in list(self._channels):
            if self.write_paused:
                return
            channel.resume_writing()
        self._tell_owner()

    def closed(self, error: TransportError | None) -> None:
        """See `StreamHandler`."""
        if not self._closed.done():
            self._closed.set_result(None)
        self._finish(error or TransportError("the server closed the tunnel"))
        if self._timer is not None:
            self._timer.cancel()

    # TunnelHandler.

    def pong_received(self, ping_id: int) -> None:
        """See `TunnelHandler`."""
        for lane in self._lanes.all:
            was_full, was_doubtful = lane.full, lane.doubtful
            at = lane.record_pong(ping_id)
            if at is None:
                continue
            self.round_trip_s = self.loop.time() - at
            if not self._answered.done():
                self._answered.set_result(None)
            if was_full and not lane.full:
                self._resume_lane(lane)
            elif lane.full and not lane.unanswered:
                # More was sent since that PING, and nobody sends any more: so nobody asks.
                self._ask(lane)
            if was_doubtful and not lane.doubtful:
                self._tell_owner()
            return

    def tunnel_ended(self, error: ProtocolError | None) -> None:
        """See `TunnelHandler`."""
        self._finish(error or TransportError("the server ended the tunnel"))

    # Sending.

    def _write_queue(self) -> None:
        parts = self.client.data_to_send()
        if parts:
            self._stream.writelines(parts)

    def _ping(self) -> bool:
        """Send a PING; False when the connection has ended, of which we may not know yet."""
        ping_id = self.client.send_ping()
        if ping_id:
            self._lanes.ping_sent(ping_id, self.loop.time())
        return bool(ping_id)

    def _ask(self, lane: WorkerWindow) -> None:
        """Send PINGs until one goes to `lane`: the workers take turns."""
        # A tunnel that has ended sends none, so nobody's turn would ever come.
        while not self.client.ended:
            asked = self._lanes.next_asked()
            if len(asked.unanswered) >= MAX_UNANSWERED:
                if asked is not lane:
                    # The way to our worker's turn leads through one that has stopped.
                    was_full = lane.full
                    lane.acknowledge_all()
                    if was_full:
                        self._resume_lane(lane)
                return
            if not self._ping() or asked is lane:
                return

    def _unmeter(self) -> None:
        """Whoever is alone now need not wait for acknowledgements any more."""
        if self.load > 1 or self._ended:
            return
        for lane in self._lanes.all:
            if lane.full:
                lane.acknowledge_all()
                self._resume_lane(lane)

    def _pause_lane(self, lane: WorkerWindow) -> None:
        for channel in list(self._channels):
            if channel.lane is lane:
                channel.pause_writing()

    def _resume_lane(self, lane: WorkerWindow) -> None:
        for channel in list(self._channels):
            if lane.full:
                return
            if channel.lane is lane:
                channel.resume_writing()

    # Slow local readers.

    @property
    def store(self) -> BufferBudget:
        """Room for the bytes of slow readers."""
        return self._owner.store

    def _bound(self) -> int:
        """How much one channel may hold before the tunnel is no longer read.

        Alone, it waits for itself only, so little is kept. With others it must not make
        them wait, so there is room on disk, as long as that lasts.
        """
        return self.store.max_backlog(shared=self.load > 1)

    def _update_reading(self) -> None:
        if self._ended:
            return
        if self._slow:
            self._stream.pause_reading()
            if self._grace is None:
                self._grace = self.loop.call_later(self.limits.stall_grace_s, self._grace_over)
        else:
            if self._grace is not None:
                self._grace.cancel()
                self._grace = None
            # What was asked before the pause is answered behind what waited meanwhile.
            self._heard_at = self.loop.time()
            self._stream.resume_reading()
        if bool(self._slow) != self._told_stalled:
            self._told_stalled = bool(self._slow)
            self._tell_owner()

    def _grace_over(self) -> None:
        """Readers have kept the tunnel from being read for too long: do others wait for it?"""
        self._grace = None
        if self._ended or not self._slow:
            return
        waiting = sum(1 for one in self._channels if one.lane is not None and one not in self._slow)
        if waiting:
            for channel in list(self._slow):
                channel.evict(
                    f"its reader stopped while {channel.held} bytes waited for it and "
                    f"{waiting} other connections shared its tunnel"
                )
        if self._slow:
            self._grace = self.loop.call_later(self.limits.stall_grace_s, self._grace_over)

    # Liveness.

    def _slow_before(self) -> float:
        healthy = max(_LONGEST_HEALTHY_ANSWER_S, 4 * (self.round_trip_s or 0.0))
        return self.loop.time() - healthy

    def _tick(self) -> None:
        if self._ended:
            return
        now = self.loop.time()
        self._timer = self.loop.call_later(self.limits.ping_every_s, self._tick)
        for channel in list(self._channels):
            if not channel.acknowledged:
                channel.expire(now - self.limits.open_timeout_s)
        if not self._slow:
            asked_at = self._lanes.oldest_unanswered()
            if asked_at is not None and now - max(asked_at, self._heard_at) >= (
                self.limits.silence_s
            ):
                self._silent(now - self._heard_at)
            elif len(self._lanes.next_asked().unanswered) < MAX_UNANSWERED:
                self._ping()
        self.flush()
        self._tell_owner()

    def _judge_probe(self, asked_at: float) -> None:
        if not self._ended and not self._slow and self._heard_at < asked_at:
            self._silent(self.loop.time() - self._heard_at)

    def _silent(self, seconds: float) -> None:
        # An application that does not read can silence a whole tunnel, if the server has
        # more to hand on than its queues hold. Then the other tunnels tell.
        owed = self.write_paused or any(lane.unacked_bytes for lane in self._lanes.all)
        if owed and self._channels and self._owner.path_is_alive(self):
            return
        self._finish(
            TransportError(
                f"nothing has come through the tunnel for {seconds:.0f} s",
                hint="Check the network (VPN, sleep?); the tunnel is being replaced.",
            )
        )

    # The end.

    def _finish(self, error: TuiForwardError) -> None:
        if self._ended:
            return
        self._ended = True
        self.error = error
        # Tells every channel; `tunnel_ended` comes back here and finds nothing to do.
        self.client.receive_eof()
        self._stream.abort()
        self._release()
        if not self._answered.done():
            self._answered.set_exception(error)
            self._answered.exception()  # seen, also when nobody waits in `start` any more
        self._owner.tunnel_ended(self, error)

    def _release(self) -> None:
        for timer in (self._timer, self._grace, self._verdict):
            if timer is not None:
                timer.cancel()

    def _tell_owner(self) -> None:
        if not self._ended:
            self._owner.tunnel_changed(self)
