"""The client-to-pod direction of one connection: local socket to channel."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterable
from typing import Final

from tui_forward.engine.connections.counters import ForwardCounters
from tui_forward.engine.connections.proxy_client import RequestFilter
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import Channel
from tui_forward.engine.tunnels.spill_buffer import BufferBudget
from tui_forward.protocol.buffers import Buffer
from tui_forward.transport.stream import shared_buffer

_BULK_READ_BYTES: Final = 16 * 1024


class ReplayBuffer:
    """The beginning of an upload, to be sent again while no application can have received it.

    An upload longer than `limit` cannot be sent again.
    """

    __slots__ = ("_budget", "_data", "_limit", "possible")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._budget: BufferBudget | None = None
        self.possible = True  # whether what was sent so far can be sent again

    def __len__(self) -> int:
        return len(self._data)

    def __bytes__(self) -> bytes:
        return bytes(self._data)

    def append(self, data: memoryview, budget: BufferBudget) -> None:
        """Keep more data; if there is no room for it, nothing can be sent again any more."""
        if len(self._data) + len(data) > self._limit or not budget.reserve_replay(len(data)):
            self.clear()
        else:
            self._budget = budget
            self._data += data

    def clear(self) -> None:
        """Drop the data: the application may have received it. Idempotent."""
        self.possible = False
        if self._budget is not None:
            self._budget.release_replay(len(self._data))
            self._budget = None
        self._data = bytearray()


class Upload:
    """Reads a client's socket and sends to a channel, with nothing queued in between."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        counters: ForwardCounters,
        limits: Limits,
        on_eof: Callable[[], None],  # the client's FIN was read; again at each later `start`
        on_reset: Callable[[], None],  # by the client
        first_data: bytes | None = None,  # read from the client already; None: nothing was tried
        request_filter: RequestFilter | None = None,
        on_refused: Callable[[bytes], None] = lambda _: None,  # by the filter, with its answer
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._fd = sock.fileno()
        self._counters = counters
        self._buffer = shared_buffer("local", limits.frame_size)
        self._channel: Channel | None = None
        self._on_eof = on_eof
        self._on_reset = on_reset
        self._first_data = first_data
        self._filter = request_filter
        self._on_refused = on_refused
        self.replay = ReplayBuffer(limits.replay)  # what was sent, kept for another channel
        self.first_sent_at: float | None = None  # monotonic seconds
        self.bytes_to_pod = 0  # bytes read from the client, each once, however often they are sent
        self.client_ended = False  # the client's FIN was read
        self.was_reset = False  # the client has reset the connection; what it sent before is read
        self.is_reading = False  # the socket is read whenever it has data

    def start(self, channel: Channel) -> None:
        """Send to a new channel, beginning with what earlier ones did not deliver.

        What the client has sent already travels with the opening of the channel.
        """
        self._channel = channel
        if self.replay:
            channel.send(bytes(self.replay))
        data, self._first_data = self._first_data, None
        if data:
            self._send(channel, memoryview(data))
            if self._filter is not None:
                self._send_filtered(channel, self._filter, self._filter.receive_data(b""))
        if self._channel is not channel:
            return  # what was sent has closed it
        if self.client_ended:
            self._on_eof()
            return
        if data is None and channel.writable and self._may_read:
            self._read_ready()
        # Either the read or the first send may have closed the channel or filled it.
        if self._channel is channel and channel.writable and not self.client_ended:
            self.resume()

    def resume(self) -> None:
        """Read again after `pause`. Idempotent; does nothing without a channel."""
        if not self.is_reading and self._channel is not None and self._may_read:
            self.is_reading = True
            self._loop.add_reader(self._fd, self._read_ready)

    def pause(self) -> None:
        """Leave what the client sends in the kernel. Idempotent."""
        if self.is_reading:
            self.is_reading = False
            self._loop.remove_reader(self._fd)

    def stop(self) -> None:
        """Send no more to the channel. Idempotent."""
        self.pause()
        self._channel = None

    def close(self) -> None:
        """Stop for good, and drop the replay buffer. Call once."""
        self.stop()
        self.replay.clear()
        self._filter = None
        del self._on_eof, self._on_reset, self._on_refused  # a reference cycle

    def _read_ready(self) -> None:
        channel = self._channel
        if channel is None:
            return
        try:
            count = self._sock.recv_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._on_reset()
            return
        if not count:
            self.pause()
            if self.was_reset:
                self._on_reset()
                return
            self.client_ended = True
            self._on_eof()
            return
        if self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.was_reset = True
            if self.is_reading:
                # libuv watches no socket with an error, so that the rest would never be read.
                self.pause()
                self.resume()
        if count >= _BULK_READ_BYTES:
            count = self._read_more(count)
        data = self._buffer[:count]
        if self._filter is None:
            self._send(channel, data)
        else:
            self._send_filtered(channel, self._filter, self._filter.receive_data(data))

    def _send(self, channel: Channel, data: memoryview) -> None:
        count = len(data)
        self.bytes_to_pod += count
        self._counters.bytes_to_pod += count
        if self.replay.possible:
            if self.first_sent_at is None:
                self.first_sent_at = time.monotonic()
            self.replay.append(data, channel.budget)
        channel.send(data)

    def _send_filtered(
        self, channel: Channel, request_filter: RequestFilter, parts: Iterable[Buffer]
    ) -> None:
        for part in parts:
            if self._channel is not channel:
                return  # the send before has closed it
            self._send(channel, memoryview(part))
        if request_filter.refusal:
            self.pause()
            self._on_refused(request_filter.refusal)
        elif request_filter.passes_all:
            self._filter = None

    @property
    def _may_read(self) -> bool:
        """Whether the protocol of what comes next is known."""
        return self._filter is None or not self._filter.awaits_answer

    def receive_answer(self, pieces: list[memoryview]) -> bool:
        """Have the filter look at the answer; return whether it has seen what it needs."""
        request_filter, channel = self._filter, self._channel
        if request_filter is None or channel is None or not request_filter.needs_answer:
            return True
        self._send_filtered(channel, request_filter, request_filter.receive_answer(pieces))
        return not request_filter.needs_answer

    def _read_more(self, count: int) -> int:
        """Fill the frame of a long upload with what the client wrote meanwhile."""
        buffer = self._buffer
        size = len(buffer)
        try:
            # An end of file or an error is met again at the next read.
            while count < size and (more := self._sock.recv_into(buffer[count:])):
                count += more
        except OSError:
            pass
        return count
