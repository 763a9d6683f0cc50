"""A byte stream with injected network faults."""

from __future__ import annotations

import asyncio

from tui_forward.errors import TransportError
from tui_forward.transport.stream import Buffer, ByteStream, StreamHandler


class FaultyStream(ByteStream):
    """Byte stream that passes data through until a fault is injected.

    Args:
        inner: The wrapped stream; owned from now on.
    """

    def __init__(self, inner: ByteStream) -> None:
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._handler: StreamHandler | None = None
        self._stalled = False
        self._swallowing = False
        self._split = 0
        self._delay_s = 0.0
        self._reading = False
        self._held: list[bytes] = []
        self._error: TransportError | None = None
        self._closed = False
        inner.set_handler(self)

    # Faults.

    def stall(self) -> None:
        """Stop both directions without an error, like an unplugged cable."""
        self._stalled = True
        self._inner.pause_reading()

    def unstall(self) -> None:
        """Continue, and send what was written meanwhile."""
        self._stalled = False
        held, self._held = self._held, []
        for data in held:
            self._write(data)
        if self._reading:
            self._inner.resume_reading()

    def swallow(self) -> None:
        """Discard what is written; deliver what is received."""
        self._swallowing = True

    def cut(self) -> None:
        """Close both directions."""
        self._inner.close()

    def reset(self) -> None:
        """Reset the connection."""
        self._error = TransportError("the connection broke: reset by peer")
        self._inner.abort()

    def delay(self, seconds: float) -> None:
        """Deliver received data later."""
        self._delay_s = seconds

    def split(self, size: int) -> None:
        """Deliver received data in pieces of at most `size` bytes."""
        self._split = size

    # ByteStream.

    @property
    def write_buffer_size(self) -> int:
        """See `ByteStream`."""
        return self._inner.write_buffer_size + sum(map(len, self._held))

    def set_handler(self, handler: StreamHandler) -> None:
        """See `ByteStream`."""
        self._handler = handler
        if self._closed:
            self._loop.call_soon(handler.closed, self._error)

    def resume_reading(self) -> None:
        """See `ByteStream`."""
        self._reading = True
        if not self._stalled:
            self._inner.resume_reading()

    def pause_reading(self) -> None:
        """See `ByteStream`."""
        self._reading = False
        self._inner.pause_reading()

    def write(self, data: Buffer) -> None:
        """See `ByteStream`."""
        if self._stalled:
            self._held.append(bytes(data))
        else:
            self._write(data)

    def close(self) -> None:
        """See `ByteStream`."""
        self._inner.close()

    def abort(self) -> None:
        """See `ByteStream`."""
        self._inner.abort()

    def _write(self, data: Buffer) -> None:
        if not self._swallowing:
            self._inner.write(data)

    # StreamHandler.

    def data_received(self, data: memoryview) -> None:
        """See `StreamHandler`."""
        if self._delay_s:
            self._loop.call_later(self._delay_s, self._deliver, bytes(data))
        else:
            self._deliver(data)

    def _deliver(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        step = self._split or len(view)
        for start in range(0, len(view), step):
            if self._handler is not None:
                self._handler.data_received(view[start : start + step])

    def writing_paused(self) -> None:
        """See `StreamHandler`."""
        if self._handler is not None:
            self._handler.writing_paused()

    def writing_resumed(self) -> None:
        """See `StreamHandler`."""
        if self._handler is not None:
            self._handler.writing_resumed()

    def closed(self, error: TransportError | None) -> None:
        """See `StreamHandler`."""
        self._closed = True
        self._error = self._error or error
        if self._handler is not None:
            self._handler.closed(self._error)
