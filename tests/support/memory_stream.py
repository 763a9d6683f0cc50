"""Two connected byte streams in memory, in place of sockets."""

from __future__ import annotations

import asyncio

from tui_forward.errors import TransportError
from tui_forward.transport.stream import Buffer, ByteStream, StreamHandler

WRITE_LIMIT = 64 * 1024


class MemoryStream(ByteStream):
    """One end of a pair; see `memory_pair`."""

    def __init__(self, write_limit: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._write_limit = write_limit
        self._peer: MemoryStream | None = None
        self._handler: StreamHandler | None = None
        self._incoming = bytearray()
        self._peer_ended = False
        self._reading = False
        self._delivering = False
        self._write_paused = False
        self._over = False
        self._error: TransportError | None = None

    @property
    def write_buffer_size(self) -> int:
        """Return the bytes that the peer has not read."""
        return len(self._peer._incoming) if self._peer is not None else 0

    def set_handler(self, handler: StreamHandler) -> None:
        """See `ByteStream`."""
        self._handler = handler
        if self._over:
            self._loop.call_soon(handler.closed, self._error)

    def resume_reading(self) -> None:
        """See `ByteStream`."""
        self._reading = True
        self._schedule()

    def pause_reading(self) -> None:
        """See `ByteStream`."""
        self._reading = False

    def write(self, data: Buffer) -> None:
        """See `ByteStream`."""
        peer = self._peer
        if self._over or peer is None or peer._over:
            return
        peer._take(bytes(data))
        if self.write_buffer_size > self._write_limit and not self._write_paused:
            self._write_paused = True
            if self._handler is not None:
                self._handler.writing_paused()

    def close(self) -> None:
        """See `ByteStream`."""
        self._end(None)

    def abort(self) -> None:
        """See `ByteStream`; the peer sees a broken connection."""
        peer = self._peer
        self._end(None)
        if peer is not None:
            peer.fail(TransportError("the connection broke: reset by peer"))

    def fail(self, error: TransportError) -> None:
        """End this side with an error."""
        if not self._over:
            self._incoming.clear()
            self._end(error)

    def _take(self, data: bytes) -> None:
        self._incoming += data
        self._schedule()

    def _schedule(self) -> None:
        if self._reading and not self._delivering and (self._incoming or self._peer_ended):
            self._delivering = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._delivering = False
        if self._over or not self._reading or self._handler is None:
            return
        if self._incoming:
            data = bytes(self._incoming)
            self._incoming.clear()
            self._handler.data_received(memoryview(data))
            if self._peer is not None:
                self._peer._data_read()
            self._schedule()
        elif self._peer_ended:
            self._end(None)

    def _data_read(self) -> None:
        if self._write_paused and not self._over:
            self._write_paused = False
            if self._handler is not None:
                self._handler.writing_resumed()

    def _end(self, error: TransportError | None) -> None:
        if self._over:
            return
        self._over = True
        self._error = error
        peer = self._peer
        if peer is not None:
            peer._peer_ended = True
            peer._schedule()
        if self._handler is not None:
            self._loop.call_soon(self._handler.closed, error)


def memory_pair(*, write_limit: int = WRITE_LIMIT) -> tuple[MemoryStream, MemoryStream]:
    """Return two connected streams.

    Args:
        write_limit: Unread bytes of the peer above which a writer is paused.
    """
    left, right = MemoryStream(write_limit), MemoryStream(write_limit)
    left._peer, right._peer = right, left
    return left, right
