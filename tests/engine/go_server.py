"""SPDY server with the frame workers of spdystream, on a byte stream, frame by frame.

Each frame goes to the queue of one of five workers (stream id modulo 5; PINGs in turn). A
worker blocks on a frame whose stream is not read; with 50 more in its queue the reader of the
tunnel stops. Header blocks are not decompressed: streams are identified by number.
"""

from __future__ import annotations

from collections import deque

from tui_forward.errors import TransportError
from tui_forward.protocol.spdy import frames
from tui_forward.transport.stream import ByteStream

SYN_STREAM, RST, PING, GOAWAY = 1, 3, 6, 7
WORKERS, QUEUE = 5, 50


class GoServer:
    """The server's end of a tunnel.

    Attributes:
        stopped: Data streams whose application does not read.
        opened: Ids of all streams, in order.
        taken: Bytes the applications took, by stream.
        resets: Ids of streams the client reset.
        blocked: Whether the reader of the tunnel has stopped.
        silent: Whether PINGs stay unanswered.
    """

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.stopped: set[int] = set()
        self.opened: list[int] = []
        self.taken: dict[int, int] = {}
        self.fins: set[int] = set()
        self.resets: list[int] = []
        self.pings = 0
        self.blocked = False
        self.silent = False
        self.error: TransportError | None = None
        self.ended = False
        self._data = bytearray()
        self._next_worker = 0
        self._queues: list[deque[tuple[str, int, int, int]]] = [deque() for _ in range(WORKERS)]
        stream.set_handler(self)
        stream.resume_reading()

    @property
    def data_streams(self) -> list[int]:
        """Return the data streams: each follows its error stream."""
        return self.opened[1::2]

    def longest_queue(self) -> int:
        """Return how many frames are in the longest queue."""
        return max(map(len, self._queues))

    def resume_reading_all(self) -> None:
        """Have every application read again."""
        self.stopped.clear()
        self._work()

    def send_data(self, stream_id: int, data: bytes, *, fin: bool = False) -> None:
        self.stream.write(frames.data_header(stream_id, len(data), fin=fin) + data)

    # StreamHandler.

    def data_received(self, data: memoryview) -> None:
        self._data += data
        self._read()

    def writing_paused(self) -> None: ...

    def writing_resumed(self) -> None: ...

    def closed(self, error: TransportError | None) -> None:
        self.ended = True
        self.error = error

    def _read(self) -> None:
        while not self.blocked and len(self._data) >= 8:
            word = int.from_bytes(self._data[:4], "big")
            flags = self._data[4]
            length = int.from_bytes(self._data[5:8], "big")
            if len(self._data) < 8 + length:
                return
            payload = bytes(self._data[8 : 8 + length])
            del self._data[: 8 + length]
            self._frame(word, flags, payload)

    def _frame(self, word: int, flags: int, payload: bytes) -> None:
        number = int.from_bytes(payload[:4], "big") if payload else 0
        if not word & 0x8000_0000:
            self._queue(word % WORKERS, ("data", word, len(payload), flags))
        elif word & 0xFFFF == SYN_STREAM:
            self._queue(number % WORKERS, ("open", number, 0, flags))
        elif word & 0xFFFF == RST:
            self._queue(number % WORKERS, ("reset", number, 0, 0))
        elif word & 0xFFFF == PING:
            self._queue(self._next_worker, ("ping", number, 0, 0))
            self._next_worker = (self._next_worker + 1) % WORKERS

    def _queue(self, worker: int, frame: tuple[str, int, int, int]) -> None:
        self._queues[worker].append(frame)
        self._work()
        # The frame that the worker blocks on does not count.
        self.blocked = any(len(queue) > QUEUE + 1 for queue in self._queues)

    def _work(self) -> None:
        for queue in self._queues:
            while queue:
                kind, number, size, flags = queue[0]
                if kind == "data" and number in self.stopped:
                    break
                queue.popleft()
                if kind == "data":
                    self.taken[number] = self.taken.get(number, 0) + size
                    if flags:
                        self.fins.add(number)
                elif kind == "open":
                    self.opened.append(number)
                elif kind == "reset":
                    self.resets.append(number)
                elif not self.silent:
                    self.pings += 1
                    self.stream.write(frames.ping(number))
        if self.blocked and self.longest_queue() <= QUEUE:
            self.blocked = False
            self._read()
