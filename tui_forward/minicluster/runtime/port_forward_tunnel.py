"""Server end of a port-forward in the runtime: one upgraded connection.

SPDY and the legacy channels differ only in their codec. While the client does not read, the
applications are not read either.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from tui_forward.errors import ProtocolError
from tui_forward.minicluster.runtime import frame_workers
from tui_forward.minicluster.runtime.config import RuntimeBehavior
from tui_forward.minicluster.runtime.dialer import Dialer
from tui_forward.minicluster.runtime.forwarded_connection import ForwardedConnection
from tui_forward.minicluster.runtime.frame_workers import FrameWorkers
from tui_forward.minicluster.runtime.tunnel_socket import TunnelSocket
from tui_forward.protocol.channels_server import ChannelsServer
from tui_forward.protocol.portforward_server import ServerStreamPair, TunnelServer
from tui_forward.protocol.spdy import SpdyConnection


class PortForwardTunnel:
    """One upgraded connection, after the 101."""

    def __init__(
        self,
        sock: socket.socket,
        sandbox_id: str,
        dialer: Dialer,
        behavior: RuntimeBehavior,
        on_end: Callable[[PortForwardTunnel], None],
    ) -> None:
        self.sandbox_id = sandbox_id
        self.dialer = dialer
        self.behavior = behavior
        self._loop = asyncio.get_running_loop()
        self._socket = TunnelSocket(
            sock, behavior, on_data=self._receive, on_writable=self._on_writable, on_error=self._end
        )
        self._set_workers(0, frame_workers.SOLO_QUEUE)
        self._on_end = on_end
        self._connections: set[ForwardedConnection] = set()
        self._waiting_for_room: set[ForwardedConnection] = set()
        self._closing = False
        self._ended = False
        self._codec: TunnelServer | ChannelsServer | None = None
        # The codec again if it is SPDY.
        self._spdy_server: TunnelServer | None = None
        self._pair_timer: asyncio.TimerHandle | None = None
        self._last_frame_at = self._loop.time()
        self._idle_timer = self._loop.call_later(behavior.idle_s, self._check_idle)

    def _set_workers(self, count: int, queue: int) -> None:
        self.workers = FrameWorkers(count, queue, self._socket.pause, self._socket.resume)

    @property
    def connections(self) -> int:
        """Number of open forwarded connections."""
        return len(self._connections)

    def serve_spdy(self, early: bytes) -> None:
        """Serve SPDY; `early` are the bytes that followed the request."""
        server = self._spdy_server = TunnelServer(
            self,
            name=f"0x{id(self):012x}",
            pair_timeout_s=self.behavior.pair_timeout_s,
            clock=self._loop.time,
        )
        if self.behavior.backpressure:
            self._set_workers(frame_workers.SPDY_WORKERS, frame_workers.SPDY_QUEUE)

            def reply_in_turn(ping_id: int) -> None:
                self.workers.deliver_in_turn(PingReply(server.spdy, ping_id, self.flush))

            server.spdy.delegate_pings(reply_in_turn)
        self._start(server, early)

    def serve_channels(self, ports: tuple[int, ...], early: bytes, *, base64: bool) -> None:
        """Serve the legacy channels, and dial every port immediately."""
        # One goroutine reads the WebSocket and writes into unbuffered pipes.
        self._set_workers(1, 1)
        server = ChannelsServer(ports, base64=base64)
        for channel in server.channels:
            connection = ForwardedConnection(self, channel, channel.port, 0)
            channel.receiver = ClientDataReceiver(connection)
            self._connections.add(connection)
        self._start(server, early)

    def _start(self, codec: TunnelServer | ChannelsServer, early: bytes) -> None:
        self._codec = codec
        self._socket.resume()
        if early:
            self._receive(memoryview(early))
        self.flush()

    def pair_opened(self, pair: ServerStreamPair) -> None:
        """Dial for a complete pair."""
        connection = ForwardedConnection(self, pair, pair.port, pair.stream_id)
        pair.receiver = ClientDataReceiver(connection)
        self._connections.add(connection)

    def tunnel_ended(self, error: ProtocolError | None) -> None:
        """Do nothing: `_receive` checks the codec."""

    def _receive(self, data: memoryview) -> None:
        codec = self._codec
        if codec is None or self._ended:
            return
        self._last_frame_at = self._loop.time()
        if not data:
            codec.receive_eof()
            self._end()
            return
        codec.receive_data(data)
        self.flush()
        if codec.ended:
            self._end_when_sent()
        elif self._pair_timer is None:
            self._schedule_pair_timeout()

    def _schedule_pair_timeout(self) -> None:
        self._pair_timer = None
        if self._spdy_server is not None and self._spdy_server.deadline:
            deadline = self._spdy_server.deadline
            self._pair_timer = self._loop.call_at(deadline, self._expire_pairs)

    def _expire_pairs(self) -> None:
        if self._spdy_server is None or self._ended:
            return
        self._spdy_server.expire()
        self.flush()
        self._schedule_pair_timeout()

    def _check_idle(self) -> None:
        deadline = self._last_frame_at + self.behavior.idle_s
        if self._loop.time() >= deadline:
            self.close()
        else:
            self._idle_timer = self._loop.call_at(deadline, self._check_idle)

    def flush(self) -> None:
        """Send what the codec has queued, as far as there is room."""
        if self._codec is not None and self._socket.can_send:
            self._socket.send(self._codec.data_to_send())

    def has_room(self, connection: ForwardedConnection) -> bool:
        """Return whether an application may be read; if not, it is resumed later."""
        if self._socket.has_room:
            return True
        self._waiting_for_room.add(connection)
        return False

    def _on_writable(self) -> None:
        self.flush()
        if not self._socket.can_send:
            return
        if self._closing and self._socket.is_flushed:
            self._end()
        elif self._socket.has_room:
            waiting, self._waiting_for_room = self._waiting_for_room, set()
            for connection in waiting:
                connection.resume_reading()

    def connection_closed(self, connection: ForwardedConnection) -> None:
        """Remove a connection, and end the tunnel if it has served its last one."""
        self._connections.discard(connection)
        self._waiting_for_room.discard(connection)
        # Legacy channels: the close frame is queued; its echo is not awaited.
        served = self._spdy_server is None and not self._connections
        if served or (self._codec is not None and self._codec.ended):
            self._end_when_sent()

    def _end_when_sent(self) -> None:
        self._closing = True
        if self._socket.is_flushed:
            self._end()

    def close(self) -> None:
        """End in order: resets, GOAWAY (or a close frame), end of file."""
        if self._codec is not None and not self._ended:
            self._codec.close()
            self.flush()
        self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._idle_timer.cancel()
        if self._pair_timer is not None:
            self._pair_timer.cancel()
        self._socket.close()
        self.workers.clear()
        for connection in list(self._connections):
            connection.abort()
        self._connections.clear()
        self._waiting_for_room.clear()
        self._on_end(self)

    def reset(self) -> None:
        """Fault: end the tunnel with a reset."""
        self._socket.reset()
        self._end()

    def cut_connections(self) -> None:
        """Fault: end every connection as if the application had reset it."""
        for connection in list(self._connections):
            connection.cut()

    def stall(self, *, on: bool) -> None:
        """Fault: read and write nothing, and close nothing."""
        self._socket.stall(on=on)

    def delay(self, seconds: float) -> None:
        """Fault: delay every byte in both directions."""
        self._socket.delay(seconds)


class ClientDataReceiver:
    """Delivers what the client sends to a connection, through the workers of its tunnel."""

    def __init__(self, connection: ForwardedConnection) -> None:
        self._connection = connection
        self._workers = connection.tunnel.workers

    def data_received(self, data: memoryview) -> None:
        """Deliver bytes."""
        self._workers.deliver(self._connection.key, self._connection, data)

    def eof_received(self) -> None:
        """Deliver the end of the client's data."""
        self._workers.deliver(self._connection.key, self._connection, None)

    def pair_reset(self) -> None:
        """Deliver a reset, which ends the client's data like EOF."""
        self.eof_received()

    def pair_lost(self) -> None:
        """Do nothing: the tunnel aborts its connections when it ends."""

    channels_lost = pair_lost


class PingReply:
    """A PING in the queue of a worker; a `frame_workers.FrameSink`."""

    closed = True

    def __init__(self, spdy: SpdyConnection, ping_id: int, flush: Callable[[], None]) -> None:
        self._spdy = spdy
        self._id = ping_id
        self._flush = flush

    def can_receive(self) -> bool:
        """Return True: a reply needs no reader."""
        return True

    def receive(self, data: memoryview) -> None:
        """Do nothing: a PING has no data."""

    def receive_eof(self) -> None:
        """Send the reply."""
        self._spdy.reply_to_ping(self._id)
        self._flush()
