"""The pod-to-client direction of one connection: channel to local socket."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

from tui_forward.engine.connections.client_socket import send_vectored
from tui_forward.engine.connections.counters import ForwardCounters
from tui_forward.engine.tunnels.base import Channel
from tui_forward.engine.tunnels.spill_buffer import SpillBuffer


class Download:
    """Writes what a channel receives to a client's socket, and buffers what that does not take.

    Reports to the channel how much is buffered, which pauses its tunnel when that is too much.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        counters: ForwardCounters,
        on_data: Callable[[], None],  # for data while `reports_data` is set
        on_drained: Callable[[], None],  # the buffer is empty, the channel detached
        on_broken: Callable[[], None],  # the client's socket takes no more data
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._fd = sock.fileno()
        self._counters = counters
        self._on_data = on_data
        self._on_drained = on_drained
        self._on_broken = on_broken
        self._started_at = time.monotonic()
        self._backlog: SpillBuffer | None = None
        self._channel: Channel | None = None
        self.bytes_from_pod = 0  # bytes that the client's socket took
        self.first_byte_s: float | None = None  # time from accept to the first of them
        self.reports_data = True  # whether to call `on_data`

    def attach(self, channel: Channel) -> None:
        """Receive from a channel."""
        self._channel = channel

    def detach(self) -> None:
        """Receive no more; what is buffered is still delivered."""
        self._channel = None

    @property
    def is_drained(self) -> bool:
        """Whether the client's socket took everything."""
        return self._backlog is None or not self._backlog.size

    def close(self) -> None:
        """Drop what is buffered. Call once."""
        self._channel = None
        self._loop.remove_writer(self._fd)
        if self._backlog is not None:
            self._backlog.close()
        del self._on_data, self._on_drained, self._on_broken  # a reference cycle

    def data_received(self, pieces: list[memoryview]) -> None:
        """See `ChannelHandler`."""
        if self.reports_data:
            self._on_data()
        if self._backlog is not None and self._backlog.size:
            self._buffer(pieces, 0)
            return
        try:
            count = send_vectored(self._sock, pieces)
        except (BlockingIOError, InterruptedError):
            count = 0
        except OSError:
            self._on_broken()
            return
        if count:
            self._count(count)
        if count < sum(map(len, pieces)):
            self._buffer(pieces, count)

    def _count(self, count: int) -> None:
        self.bytes_from_pod += count
        self._counters.bytes_from_pod += count
        if self.first_byte_s is None:
            now = time.monotonic()
            self.first_byte_s = now - self._started_at
            self._counters.first_byte.record(self.first_byte_s, now)

    def _buffer(self, pieces: list[memoryview], skip: int) -> None:
        """Buffer all but the first `skip` bytes, which the client's socket took."""
        channel = self._channel
        if channel is None:
            return
        if self._backlog is None:
            self._backlog = SpillBuffer(channel.budget, self._backlog_changed)
        if not self._backlog.size:
            self._loop.add_writer(self._fd, self._write_ready)
        for piece in pieces:
            if skip < len(piece):
                self._backlog.append(piece[skip:])
            skip = max(0, skip - len(piece))
        channel.set_buffered(self._backlog.size, is_behind=self._backlog.is_behind)

    def _backlog_changed(self) -> None:
        """Continue after a transfer from or to the disk."""
        backlog = self._backlog
        assert backlog is not None
        if backlog.size:
            self._loop.add_writer(self._fd, self._write_ready)
        if self._channel is not None:
            self._channel.set_buffered(backlog.size, is_behind=backlog.is_behind)

    def _write_ready(self) -> None:
        backlog = self._backlog
        assert backlog is not None
        try:
            while backlog.size:
                piece = backlog.peek()
                if not piece:  # not before `_backlog_changed`
                    self._loop.remove_writer(self._fd)
                    break
                count = self._sock.send(piece)
                backlog.consume(count)
                self._count(count)
                if count < len(piece):
                    break
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._on_broken()
            return
        if not backlog.size:
            self._loop.remove_writer(self._fd)
        if self._channel is not None:
            self._channel.set_buffered(backlog.size, is_behind=backlog.is_behind)
        elif not backlog.size:
            self._on_drained()
