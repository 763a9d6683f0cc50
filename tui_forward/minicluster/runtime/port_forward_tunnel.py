"""The server end of a port-forward in the runtime: one upgraded connection and its copies.

SPDY and the legacy channels differ in their codec only. Bytes are parsed in place out of one
shared buffer and sent with one `sendmsg` per batch; while the client does not read, the
applications are not read either.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

from tui_forward.errors import ProtocolError
from tui_forward.minicluster.runtime import frame_workers
from tui_forward.minicluster.runtime.config import RuntimeBehavior
from tui_forward.minicluster.runtime.dialer import Dialer
from tui_forward.minicluster.runtime.forwarded_connection import ForwardedConnection
from tui_forward.minicluster.runtime.frame_workers import FrameWorkers
from tui_forward.protocol.buffers import Buffer
from tui_forward.protocol.channels_server import ChannelsServer, ServerChannel
from tui_forward.protocol.portforward_server import ServerStreamPair, TunnelServer
from tui_forward.protocol.spdy import SpdyConnection

_MAX_BUFFERS = 512
_MAX_DELAYED = 4 * 1024 * 1024

# See `copying`: one thread, and no use outlives the call.
_BUFFER = memoryview(bytearray(256 * 1024))


class _Codec(Protocol):
    """What `TunnelServer` and `ChannelsServer` have in common."""

    @property
    def ended(self) -> bool: ...
    def data_to_send(self) -> list[Buffer]: ...
    def receive_data(self, chunk: Buffer) -> None: ...
    def receive_eof(self) -> None: ...
    def close(self) -> None: ...


class PortForwardTunnel:
    """One upgraded connection, after the 101.

    Args:
        sock: Non-blocking, owned from here on.
        sandbox_id: Where it leads to.
        dialer: Reaches the applications.
        switches: See `Switches`; looked at anew wherever possible.
        on_end: Called once, when everything of it has ended.
    """

    def __init__(
        self,
        sock: socket.socket,
        sandbox_id: str,
        dialer: Dialer,
        switches: RuntimeBehavior,
        on_end: Callable[[PortForwardTunnel], None],
    ) -> None:
        self.sandbox_id = sandbox_id
        self.dialer = dialer
        self.switches = switches
        self.loop = asyncio.get_running_loop()
        self._sock = sock
        self._on_end = on_end
        self._copies: set[ForwardedConnection] = set()
        self._waiting: set[ForwardedConnection] = set()
        self._unsent: list[Buffer] = []
        self._blocked = False
        self._stalled = False
        self._closing = False
        self._ended = False
        self._expiry: asyncio.TimerHandle | None = None
        self._last_frame = self.loop.time()
        self._idle = self.loop.call_later(switches.idle_s, self._check_idle)
        self._reading = False
        self.workers = FrameWorkers(0, frame_workers.SOLO_QUEUE, self._pause, self._resume)
        self._late_in = _Delay(self.loop, self._arrived_late)
        self._late_out = _Delay(self.loop, self._leaves_late)
        self._codec: _Codec | None = None
        self._tunnel: TunnelServer | None = None

    # -- the two kinds --

    def serve_spdy(self, early: bytes) -> None:
        """Speak SPDY from here on; `early` is what came behind the request."""
        if self.switches.backpressure:
            self.workers = FrameWorkers(
                frame_workers.SPDY_WORKERS, frame_workers.SPDY_QUEUE, self._pause, self._resume
            )
        self._tunnel = TunnelServer(
            self,
            name=f"0x{id(self):012x}",
            pair_timeout_s=self.switches.pair_timeout_s,
            clock=self.loop.time,
        )
        if self.switches.backpressure:
            self._tunnel.spdy.delegate_pings(self._ping)
        self._start(self._tunnel, early)

    def _ping(self, ping_id: int) -> None:
        assert self._tunnel is not None
        self.workers.take_turns(_Ping(self._tunnel.spdy, ping_id, self.flush))

    def serve_channels(self, ports: tuple[int, ...], early: bytes, *, base64: bool) -> None:
        """Speak the legacy channels from here on, and dial every port at once."""
        # One goroutine reads the WebSocket and writes into unbuffered pipes.
        self.workers = FrameWorkers(1, 1, self._pause, self._resume)
        server = ChannelsServer(ports, base64=base64)
        for channel in server.channels:
            copying = ForwardedConnection(self, _ChannelWire(channel), channel.port, 0)
            channel.receiver = _ChannelReceiver(copying)
            self._copies.add(copying)
        self._start(server, early)

    def _start(self, codec: _Codec, early: bytes) -> None:
        self._codec = codec
        self._resume()
        if early:
            self._received(memoryview(early))
        self.flush()

    # -- receiving --

    def _readable(self) -> None:
        try:
            count = self._sock.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            self._end()
            return
        data = _BUFFER[:count]
        if self._late_in.idle:
            self._received(data)
        elif self._late_in.later(bytes(data)):
            self._pause()

    def _arrived_late(self, data: bytes) -> None:
        self._received(memoryview(data))
        self._resume()

    def _received(self, data: memoryview) -> None:
        codec = self._codec
        if codec is None or self._ended:
            return
        self._last_frame = self.loop.time()
        if not data:
            codec.receive_eof()
            self._end()
            return
        codec.receive_data(data)
        self.flush()
        if codec.ended:
            self._end_when_sent()
        elif self._tunnel is not None and self._expiry is None and self._tunnel.deadline:
            self._expiry = self.loop.call_at(self._tunnel.deadline, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        if self._tunnel is None or self._ended:
            return
        self._tunnel.expire()
        self.flush()
        if self._tunnel.deadline:
            self._expiry = self.loop.call_at(self._tunnel.deadline, self._expire)

    def _check_idle(self) -> None:
        deadline = self._last_frame + self.switches.idle_s
        if self.loop.time() >= deadline:
            self.close()
        else:
            self._idle = self.loop.call_at(deadline, self._check_idle)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self.loop.remove_reader(self._sock)

    def _resume(self) -> None:
        if not self._reading and not self._ended and not self._stalled:
            if self.workers.stalled or self._late_in.full:
                return
            self._reading = True
            self.loop.add_reader(self._sock, self._readable)

    # -- from the tunnel's codec --

    def pair_opened(self, pair: ServerStreamPair) -> None:
        """Both streams of a connection are there."""
        copying = ForwardedConnection(
            self, _PairWire(pair, self.switches), pair.port, pair.stream_id
        )
        pair.receiver = _PairReceiver(copying)
        self._copies.add(copying)

    def tunnel_ended(self, error: ProtocolError | None) -> None:
        """Nothing more will come; `_received` looks at the codec itself."""

    # -- sending --

    def flush(self) -> None:
        """Send what the codec has queued, as far as there is room."""
        if self._blocked or self._stalled or self._codec is None or self._ended:
            return
        buffers = self._codec.data_to_send()
        if self._late_out.idle:
            self._write(buffers)
        elif buffers:
            self._late_out.later(b"".join(buffers))

    def _leaves_late(self, data: bytes) -> None:
        if self._blocked or self._stalled:
            self._unsent.append(data)
            self._blocked = True
        else:
            self._write([data])
        self._moved_on()

    def _write(self, buffers: list[Buffer]) -> None:
        go_writes = self.switches.go_writes
        at = 0
        try:
            while at < len(buffers):
                if go_writes:
                    sent = self._sock.send(buffers[at])
                else:
                    sent = self._sock.sendmsg(buffers[at : at + _MAX_BUFFERS])
                while at < len(buffers) and sent >= len(buffers[at]):
                    sent -= len(buffers[at])
                    at += 1
                if sent:
                    buffers[at] = memoryview(buffers[at])[sent:]
        except BlockingIOError:
            # The buffers belong to whoever reads next: keep a copy of the rest.
            self._unsent = [b"".join(buffers[at:])]
            self._blocked = True
            if not self._stalled:
                self.loop.add_writer(self._sock, self._writable)
        except OSError:
            # The reader will notice as well, and end everything in order.
            self._unsent = []

    def _writable(self) -> None:
        self.loop.remove_writer(self._sock)
        self._blocked = False
        buffers, self._unsent = self._unsent, []
        self._write(buffers)
        self.flush()
        self._moved_on()

    def _moved_on(self) -> None:
        """There may be room again, or nothing left to be sent."""
        if self._blocked or self._stalled or self._ended:
            return
        if self._closing and self._late_out.empty:
            self._end()
        elif not self._late_out.full:
            waiting, self._waiting = self._waiting, set()
            for copying in waiting:
                copying.room_again()

    def room(self, waiting: ForwardedConnection) -> bool:
        """Whether an application may be read now."""
        if self._blocked or self._stalled or self._late_out.full:
            self._waiting.add(waiting)
            return False
        return True

    # -- the end --

    def copying_ended(self, copying: ForwardedConnection) -> None:
        """A connection is over."""
        self._copies.discard(copying)
        self._waiting.discard(copying)
        # Legacy channels: the close frame is queued, and nobody waits for its echo.
        served = self._tunnel is None and not self._copies
        if served or (self._codec is not None and self._codec.ended):
            self._end_when_sent()

    def _end_when_sent(self) -> None:
        self._closing = True
        if not self._blocked and self._late_out.empty:
            self._end()

    def close(self) -> None:
        """End in order: resets, GOAWAY (or a close frame), end of file."""
        if self._codec is not None and not self._ended:
            self._codec.close()
            self.flush()
        self._end()

    def reset(self) -> None:
        """Fault: the connection breaks."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
            )
        self._end()

    def cut_connections(self) -> None:
        """Fault: every application resets its connection."""
        for copying in list(self._copies):
            copying.cut()

    def stall(self, *, on: bool) -> None:
        """Fault: nothing is read or written, nothing is closed."""
        if self._ended or on == self._stalled:
            return
        self._stalled = on
        if on:
            self._pause()
            self.loop.remove_writer(self._sock)
            return
        self._resume()
        if self._blocked:
            self.loop.add_writer(self._sock, self._writable)
        self.flush()
        self._moved_on()

    def delay(self, seconds: float) -> None:
        """Fault: every byte, either way, is later by this."""
        self._late_in.delay_s = self._late_out.delay_s = seconds

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._idle.cancel()
        self._late_in.cancel()
        self._late_out.cancel()
        if self._expiry is not None:
            self._expiry.cancel()
        self.loop.remove_reader(self._sock)
        self.loop.remove_writer(self._sock)
        self._sock.close()
        self.workers.clear()
        for copying in list(self._copies):
            copying.abandon()
        self._copies.clear()
        self._waiting.clear()
        self._on_end(self)

    @property
    def connections(self) -> int:
        """How many forwarded connections are open."""
        return len(self._copies)


class _Delay:
    """Pieces of one direction that arrive later, in order; idle unless a fault asks for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, arrive: Callable[[bytes], None]) -> None:
        self.delay_s = 0.0
        self._loop = loop
        self._arrive = arrive
        self._pending: deque[bytes] = deque()
        self._size = 0
        self._last = 0.0
        self._timers: deque[asyncio.TimerHandle] = deque()

    @property
    def empty(self) -> bool:
        return not self._pending

    @property
    def idle(self) -> bool:
        # What is under way must not be overtaken once the fault has ended.
        return not self.delay_s and not self._pending

    @property
    def full(self) -> bool:
        return self._size > _MAX_DELAYED

    def later(self, data: bytes) -> bool:
        """Keep a piece; whether that is enough for now."""
        self._last = max(self._loop.time() + self.delay_s, self._last)
        self._pending.append(data)
        self._size += len(data)
        self._timers.append(self._loop.call_at(self._last, self._next))
        return self.full

    def _next(self) -> None:
        self._timers.popleft()
        data = self._pending.popleft()
        self._size -= len(data)
        self._arrive(data)

    def cancel(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._pending.clear()
        self._size = 0


class _Ping:
    """A PING on its way through a worker. A `backpressure.Taker`."""

    over = True

    def __init__(self, spdy: SpdyConnection, ping_id: int, flush: Callable[[], None]) -> None:
        self._spdy = spdy
        self._id = ping_id
        self._flush = flush

    def can_take(self) -> bool:
        return True

    def receive(self, data: memoryview) -> None:
        """Never called."""

    def take_eof(self) -> None:
        self._spdy.reply_to_ping(self._id)
        self._flush()


class _PairWire:
    """Two SPDY streams as `copying.Wire`."""

    def __init__(self, pair: ServerStreamPair, switches: RuntimeBehavior) -> None:
        self._pair = pair
        self._switches = switches

    def send(self, data: memoryview) -> None:
        self._pair.send(data)

    @property
    def remote_open(self) -> bool:
        return self._pair.remote_open

    def finish(self) -> None:
        self._pair.finish()

    def fail(self, text: str, *, dialled: bool, broken: bool) -> None:
        style = self._switches.failure_style
        self._pair.fail(text, style=style, dialed=dialled, broken=broken)


class _PairReceiver:
    """What the client does to a pair, through the tunnel's workers."""

    def __init__(self, copying: ForwardedConnection) -> None:
        self._copying = copying
        self._deliver = copying.tunnel.workers.deliver

    def data_received(self, data: memoryview) -> None:
        self._deliver(self._copying.key, self._copying, data)

    def eof_received(self) -> None:
        self._deliver(self._copying.key, self._copying, None)

    def pair_reset(self) -> None:
        self._deliver(self._copying.key, self._copying, None)

    def pair_lost(self) -> None:
        """The tunnel ends, and its copies with it."""


class _ChannelWire:
    """A data and an error channel as `copying.Wire`."""

    def __init__(self, channel: ServerChannel) -> None:
        self._channel = channel

    def send(self, data: memoryview) -> None:
        self._channel.send(data)

    @property
    def remote_open(self) -> bool:
        return False

    def finish(self) -> None:
        self._channel.finish()

    def fail(self, text: str, *, dialled: bool, broken: bool) -> None:  # noqa: ARG002
        self._channel.fail(text)


class _ChannelReceiver:
    """What the client sends on a channel; there is no end of it but the WebSocket's."""

    def __init__(self, copying: ForwardedConnection) -> None:
        self._copying = copying
        self._deliver = copying.tunnel.workers.deliver

    def data_received(self, data: memoryview) -> None:
        self._deliver(0, self._copying, data)

    def channels_lost(self) -> None:
        """The tunnel ends, and its copies with it."""
