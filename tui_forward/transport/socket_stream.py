"""A byte stream over a connected socket, without asyncio's transports.

asyncio's own transport costs an allocation per read and, since 3.12, keeps references to
written buffers. Here all sockets of a loop read into one buffer, and bytes that the kernel
accepts at once are never copied.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque

from tui_forward.errors import TransportError
from tui_forward.model import Reason, ReasonCode
from tui_forward.transport.stream import Buffer, ByteStream, StreamHandler, shared_buffer

READ_SIZE = 256 * 1024
WRITE_LIMIT = 256 * 1024


class SocketStream(ByteStream):
    """A stream over a connected TCP (or unix) socket, which it owns.

    Above `write_limit` queued bytes the handler is paused.
    """

    def __init__(self, sock: socket.socket, *, write_limit: int = WRITE_LIMIT) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._fd = sock.fileno()
        self._loop = asyncio.get_running_loop()
        self._buffer = shared_buffer("socket", READ_SIZE)
        self._handler: StreamHandler | None = None
        self._write_limit = write_limit
        self._queue: deque[memoryview] = deque()
        self._queued_bytes = 0
        self._write_paused = False
        self._reading = False
        self._closing = False  # `close` was called; only the queue keeps the socket open
        self._released = False
        self._error: TransportError | None = None
        self._pending_error: OSError | None = None  # what was received before it is delivered first

    @property
    def write_buffer_size(self) -> int:
        """See `ByteStream`."""
        return self._queued_bytes

    def set_handler(self, handler: StreamHandler) -> None:
        """See `ByteStream`."""
        self._handler = handler
        if self._released:
            self._loop.call_soon(handler.closed, self._error)

    def resume_reading(self) -> None:
        """See `ByteStream`."""
        if not self._reading and not self._closing and not self._released:
            self._reading = True
            self._loop.add_reader(self._fd, self._read_ready)

    def pause_reading(self) -> None:
        """See `ByteStream`."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def write(self, data: Buffer) -> None:
        """See `ByteStream`."""
        if self._closing or self._released:
            return
        if self._queue:
            self._enqueue(data, 0)
            return
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._fail(error)
            return
        if sent < len(data):
            self._enqueue(data, sent)
            self._loop.add_writer(self._fd, self._write_ready)

    def close(self) -> None:
        """See `ByteStream`."""
        if self._closing or self._released:
            return
        self.pause_reading()
        self._closing = True
        if not self._queue:
            self._release()

    def abort(self) -> None:
        """See `ByteStream`."""
        self._release()

    def _enqueue(self, data: Buffer, start: int) -> None:
        # `bytes` are immutable; everything else is borrowed and must be copied.
        rest = memoryview(data)[start:]
        self._queue.append(rest if isinstance(data, bytes) else memoryview(bytes(rest)))
        self._queued_bytes += len(rest)
        if self._queued_bytes > self._write_limit and not self._write_paused:
            self._write_paused = True
            if self._handler is not None:
                self._handler.writing_paused()

    def _read_ready(self) -> None:
        try:
            count = self._sock.recv_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(error)
            return
        if not count:
            if self._pending_error is not None:
                self._fail(self._pending_error)
            else:
                self._release()
            return
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._pending_error = OSError(number, os.strerror(number))
            # libuv watches no socket with an error, so that the rest would never be read.
            self.pause_reading()
            self.resume_reading()
        if self._handler is not None:
            self._handler.data_received(self._buffer[:count])

    def _write_ready(self) -> None:
        queue = self._queue
        try:
            while queue:
                head = queue[0]
                sent = self._sock.send(head)
                self._queued_bytes -= sent
                if sent < len(head):
                    queue[0] = head[sent:]
                    return
                queue.popleft()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(error)
            return
        self._loop.remove_writer(self._fd)
        if self._closing:
            self._release()
        elif self._write_paused:
            self._write_paused = False
            if self._handler is not None:
                self._handler.writing_resumed()

    def _fail(self, error: OSError) -> None:
        if not self._released:
            self._error = TransportError(
                Reason(code=ReasonCode.NETWORK_RESET, detail=error.strerror or str(error))
            )
            self._error.__cause__ = error
            self._release()

    def _release(self) -> None:
        if self._released:
            return
        self._released = True
        self._reading = False
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._queue.clear()
        self._queued_bytes = 0
        self._sock.close()
        if self._handler is not None:
            self._loop.call_soon(self._handler.closed, self._error)
