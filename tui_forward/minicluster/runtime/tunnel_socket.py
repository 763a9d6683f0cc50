"""TCP connection of a tunnel: non-blocking reads and writes, and the faults stall and delay.

Bytes are read into one shared buffer and sent with one `sendmsg` per batch. This
module is independent of the protocol on the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable

from tui_forward.minicluster.runtime.config import RuntimeBehavior
from tui_forward.protocol.buffers import Buffer

_MAX_BUFFERS = 512
_MAX_DELAYED_BYTES = 4 * 1024 * 1024

# Shared by all tunnels: the event loop has one thread, and no use outlives `on_data`.
_BUFFER = memoryview(bytearray(256 * 1024))


class TunnelSocket:
    """The socket of one tunnel, which it owns.

    `on_data` gets received bytes, valid during the call; empty at end of file. `on_writable` is
    called when there may be room again, or everything has been sent.
    """

    def __init__(
        self,
        sock: socket.socket,
        behavior: RuntimeBehavior,
        *,
        on_data: Callable[[memoryview], None],
        on_writable: Callable[[], None],
        on_error: Callable[[], None],
    ) -> None:
        self._sock = sock
        self._behavior = behavior
        self._on_data = on_data
        self._on_writable = on_writable
        self._on_error = on_error
        self._loop = asyncio.get_running_loop()
        self._unsent: list[Buffer] = []
        self._blocked = False
        self._stalled = False
        self._paused = True
        self._reading = False
        self._eof = False
        self._closed = False
        self._delayed_in = _DelayQueue(self._loop, self._deliver_delayed)
        self._delayed_out = _DelayQueue(self._loop, self._send_delayed)

    def pause(self) -> None:
        """Stop reading."""
        self._paused = True
        self._update_reading()

    def resume(self) -> None:
        """Start or continue reading."""
        self._paused = False
        self._update_reading()

    def _update_reading(self) -> None:
        reading = not (
            self._paused or self._stalled or self._eof or self._closed or self._delayed_in.full
        )
        if reading == self._reading:
            return
        self._reading = reading
        if reading:
            self._loop.add_reader(self._sock, self._read)
        else:
            self._loop.remove_reader(self._sock)

    def _read(self) -> None:
        try:
            count = self._sock.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            self._on_error()
            return
        if not count:
            self._eof = True
            self._update_reading()
        data = _BUFFER[:count]
        if self._delayed_in.bypassed:
            self._on_data(data)
        else:
            self._delayed_in.append(bytes(data))
            self._update_reading()

    def _deliver_delayed(self, data: bytes) -> None:
        self._on_data(memoryview(data))
        self._update_reading()

    @property
    def can_send(self) -> bool:
        """Whether `send` may be called."""
        return not (self._blocked or self._stalled or self._closed)

    @property
    def has_room(self) -> bool:
        """Whether more data should be produced."""
        return self.can_send and not self._delayed_out.full

    @property
    def is_flushed(self) -> bool:
        """Whether everything given to `send` has been sent."""
        return not self._blocked and self._delayed_out.empty

    def send(self, buffers: list[Buffer]) -> None:
        """Send buffers; those that do not fit are copied and sent later."""
        if self._delayed_out.bypassed:
            self._write(buffers)
        elif buffers:
            self._delayed_out.append(b"".join(buffers))

    def _send_delayed(self, data: bytes) -> None:
        if self._blocked or self._stalled:
            self._unsent.append(data)
            self._blocked = True
        else:
            self._write([data])
        self._on_writable()

    def _write(self, buffers: list[Buffer]) -> None:
        go_writes = self._behavior.go_writes
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
            # The buffers are overwritten by the next read, so keep a copy of the rest.
            self._unsent = [b"".join(buffers[at:])]
            self._blocked = True
            if not self._stalled:
                self._loop.add_writer(self._sock, self._write_unsent)
        except OSError:
            # The reader gets the error as well, and ends the tunnel.
            self._unsent = []

    def _write_unsent(self) -> None:
        self._loop.remove_writer(self._sock)
        self._blocked = False
        buffers, self._unsent = self._unsent, []
        self._write(buffers)
        self._on_writable()

    def stall(self, *, on: bool) -> None:
        """Fault: read and write nothing, and close nothing."""
        if self._closed or on == self._stalled:
            return
        self._stalled = on
        self._update_reading()
        if on:
            self._loop.remove_writer(self._sock)
            return
        if self._blocked:
            self._loop.add_writer(self._sock, self._write_unsent)
        self._on_writable()

    def delay(self, seconds: float) -> None:
        """Fault: delay every byte in both directions."""
        self._delayed_in.delay_s = self._delayed_out.delay_s = seconds

    def close(self) -> None:
        """Close; what is unsent or delayed is lost."""
        if self._closed:
            return
        self._closed = True
        self._delayed_in.clear()
        self._delayed_out.clear()
        self._update_reading()
        self._loop.remove_writer(self._sock)
        self._sock.close()

    def reset(self) -> None:
        """Close with a reset."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


class _DelayQueue:
    """Bytes of one direction that are delivered later, in order; unused without the fault."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[bytes], None]) -> None:
        self.delay_s = 0.0
        self._loop = loop
        self._deliver = deliver
        self._pending: deque[bytes] = deque()
        self._size = 0
        self._last_at = 0.0
        self._timers: deque[asyncio.TimerHandle] = deque()

    @property
    def empty(self) -> bool:
        return not self._pending

    @property
    def bypassed(self) -> bool:
        # Bytes that follow the end of the fault must not overtake delayed ones.
        return not self.delay_s and not self._pending

    @property
    def full(self) -> bool:
        return self._size > _MAX_DELAYED_BYTES

    def append(self, data: bytes) -> None:
        self._last_at = max(self._loop.time() + self.delay_s, self._last_at)
        self._pending.append(data)
        self._size += len(data)
        self._timers.append(self._loop.call_at(self._last_at, self._deliver_next))

    def _deliver_next(self) -> None:
        self._timers.popleft()
        data = self._pending.popleft()
        self._size -= len(data)
        self._deliver(data)

    def clear(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._pending.clear()
        self._size = 0
