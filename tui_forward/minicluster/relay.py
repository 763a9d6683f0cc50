"""Byte relays between two connections, as API server and kubelet run them after a 101.

Both servers forward an upgraded connection without parsing it. The first end of file or error in
either direction ends both sides, as in Go's `UpgradeAwareHandler`.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from tui_forward.minicluster.socket_connection import CHUNK, SocketConnection

HEADROOM = 10
"""Bytes kept free before the data in a relay's buffer: the longest unmasked WebSocket header."""

DELAYED_LIMIT = 16 * CHUNK
"""Bytes that may be queued per direction while a relay delays its data."""


class _SharedBuffer(threading.local):
    """Read buffer of all relays of a thread: `HEADROOM` free bytes, then the data."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(HEADROOM + CHUNK))


_shared_buffer = _SharedBuffer()


class RelayDirection:
    """One direction of a relay: reads from `source` while `sink` accepts data.

    `forward` gets a buffer (`HEADROOM` free bytes, then the data) and the size, and returns False
    if the sink is full. `on_end` is called at the end of `source` and on errors.
    """

    def __init__(
        self,
        source: SocketConnection,
        sink: SocketConnection,
        forward: Callable[[memoryview, int], bool],
        on_end: Callable[[], None],
    ) -> None:
        self._source = source
        self._sink = sink
        self._forward = forward
        self._on_end = on_end
        self._loop = source.loop
        self._reading = False
        self._stopped = False
        self._source_ended = False
        # Buffers to deliver later with the time of delivery; empty unless a fault delays data.
        self._delayed: deque[tuple[float, memoryview]] = deque()
        self._delayed_size = 0
        self._timer: asyncio.TimerHandle | None = None
        self.byte_count = 0  # bytes read so far
        self.delay_s = 0.0  # delay of every byte; set by fault injection only

    def start(self) -> None:
        """Move bytes until `stop`."""
        self._stopped = False
        if self._reading:
            return
        try:
            if not self._sink.flush():
                self._loop.add_writer(self._sink.sock, self._on_writable)
                return
        except OSError:
            self._on_end()
            return
        self._schedule_delivery()
        if self._source_ended or self._delayed_size > DELAYED_LIMIT:
            return
        self._reading = True
        self._loop.add_reader(self._source.sock, self._on_readable)
        if self._source.pending:
            self._loop.call_soon(self._on_readable)

    def stop(self) -> None:
        """Move no more bytes; `start` resumes."""
        self._stopped = True
        self._pause_reading()
        self._cancel_delivery()
        if not self._sink.closed:
            self._loop.remove_writer(self._sink.sock)

    def wait_for_sink(self) -> None:
        """Pause until the sink has sent what it has buffered."""
        self._pause_reading()
        self._cancel_delivery()
        if not self._sink.closed:
            self._loop.add_writer(self._sink.sock, self._on_writable)

    def _pause_reading(self) -> None:
        self._reading = False
        if not self._source.closed:
            self._loop.remove_reader(self._source.sock)

    def _on_readable(self) -> None:
        if not self._reading:
            return
        buffer = _shared_buffer.view
        try:
            size = self._source.read_into(buffer[HEADROOM:])
            if not size:
                self._end()
                return
            self.byte_count += size
            if self.delay_s or self._delayed:
                self._delay(memoryview(bytearray(buffer[: HEADROOM + size])))
                return
            if self._forward(buffer, size):
                if self._source.pending:
                    # The socket does not signal these bytes; serve other connections first.
                    self._loop.call_soon(self._on_readable)
                return
        except BlockingIOError:
            return
        except OSError:
            self._on_end()
            return
        self.wait_for_sink()

    def _on_writable(self) -> None:
        try:
            if not self._sink.flush():
                return
        except OSError:
            self._on_end()
            return
        self._loop.remove_writer(self._sink.sock)
        if self._source_ended and not self._delayed:
            self._on_end()
        elif not self._stopped:
            self.start()

    def _end(self) -> None:
        if not self._delayed:
            self._on_end()
            return
        # Deliver delayed bytes before the end.
        self._source_ended = True
        self._pause_reading()

    def _delay(self, buffer: memoryview) -> None:
        self._delayed.append((self._loop.time() + self.delay_s, buffer))
        self._delayed_size += len(buffer)
        self._schedule_delivery()
        if self._delayed_size > DELAYED_LIMIT:
            self._pause_reading()
        elif self._source.pending:
            self._loop.call_soon(self._on_readable)

    def _schedule_delivery(self) -> None:
        if self._delayed and self._timer is None:
            self._timer = self._loop.call_at(self._delayed[0][0], self._deliver)

    def _cancel_delivery(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _deliver(self) -> None:
        self._timer = None
        now = self._loop.time()
        try:
            while self._delayed and self._delayed[0][0] <= now:
                _, buffer = self._delayed.popleft()
                self._delayed_size -= len(buffer)
                if not self._forward(buffer, len(buffer) - HEADROOM):
                    self.wait_for_sink()
                    return
        except OSError:
            self._on_end()
            return
        if self._source_ended and not self._delayed:
            self._on_end()
            return
        self.start()
        self._schedule_delivery()


class Relay:
    """A running relay between two connections; ends both when either ends."""

    def __init__(self, downstream: SocketConnection, upstream: SocketConnection) -> None:
        self.downstream = downstream
        self.upstream = upstream
        self._up = RelayDirection(downstream, upstream, self._forward_up, self.cut)
        self._down = RelayDirection(upstream, downstream, self._forward_down, self.cut)
        self._done: asyncio.Future[None] = downstream.loop.create_future()
        self._up.start()
        self._down.start()

    def _forward_up(self, buffer: memoryview, size: int) -> bool:
        return self.upstream.send(buffer[HEADROOM : HEADROOM + size])

    def _forward_down(self, buffer: memoryview, size: int) -> bool:
        return self.downstream.send(buffer[HEADROOM : HEADROOM + size])

    def _close_downstream(self) -> None:
        self.downstream.close()

    @property
    def delay_s(self) -> float:
        """Delay of every byte; the amount of delayed data is bounded."""
        return self._down.delay_s

    @delay_s.setter
    def delay_s(self, seconds: float) -> None:
        self._up.delay_s = self._down.delay_s = seconds

    @property
    def bytes_down(self) -> int:
        """Bytes relayed to the client."""
        return self._down.byte_count

    @property
    def bytes_up(self) -> int:
        """Bytes relayed towards the pod."""
        return self._up.byte_count

    def stall(self) -> None:
        """Move no more bytes and keep both connections open, like a dead network."""
        self._up.stop()
        self._down.stop()

    def resume(self) -> None:
        """End a `stall`."""
        if not self._done.done():
            self._up.start()
            self._down.start()

    def cut(self) -> None:
        """Close both sides gracefully."""
        if self._finish():
            self._close_downstream()
            self.upstream.close()

    def reset(self) -> None:
        """Close both sides with a reset."""
        if self._finish():
            self.downstream.abort()
            self.upstream.abort()

    def _finish(self) -> bool:
        """Stop both directions; return False if the relay has ended before."""
        if self._done.done():
            return False
        self._done.set_result(None)
        self._up.stop()
        self._down.stop()
        return True

    async def wait(self) -> None:
        """Return when the relay has ended; a cancellation ends it."""
        try:
            await asyncio.shield(self._done)
        finally:
            self.cut()
