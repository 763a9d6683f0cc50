"""Connections of an application and the log of their exact byte counts.

Applications use plain non-blocking sockets, not asyncio's streams: that is cheaper, and every byte
is counted when the kernel accepts or returns it, so tests can compare the counters exactly.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import OrderedDict
from typing import Final

import msgspec

from tui_forward.minicluster.socket_connection import wait_ready

MAX_RECORDS: Final = 20_000


class ConnectionRecord(msgspec.Struct):
    """Byte counts of one connection, as the application sees them."""

    id: int
    port: int
    opened_at: float
    received: int = 0  # bytes the application read
    sent: int = 0  # bytes the kernel accepted from the application
    eof: bool = False
    outcome: str = "open"  # "open", "closed", "reset", or an error text
    peer: str = ""


class ConnectionLog:
    """Connections of an application: totals of all, records of the last `MAX_RECORDS`."""

    def __init__(self) -> None:
        self._next_id = 1
        self._records: OrderedDict[int, ConnectionRecord] = OrderedDict()
        self._dropped_received = 0
        self._dropped_sent = 0

    def add(self, port: int) -> ConnectionRecord:
        """Return a record for a new connection."""
        record = ConnectionRecord(id=self._next_id, port=port, opened_at=time.time())
        self._next_id += 1
        self._records[record.id] = record
        if len(self._records) > MAX_RECORDS:
            _, oldest = self._records.popitem(last=False)
            self._dropped_received += oldest.received
            self._dropped_sent += oldest.sent
        return record

    def to_json(self, *, port: int | None = None) -> bytes:
        """Return totals and records as JSON, of one port or of all."""
        records = [r for r in self._records.values() if port is None or r.port == port]
        return msgspec.json.encode(
            {
                "connections": self._next_id - 1,
                "open": sum(r.outcome == "open" for r in records),
                "received": self._dropped_received + sum(r.received for r in records),
                "sent": self._dropped_sent + sum(r.sent for r in records),
                "records": records,
            }
        )


MAX_LINE_BYTES: Final = 64 * 1024
_DISCARD_CHUNK: Final = 1024 * 1024


class AppConnection:
    """One accepted connection."""

    __slots__ = ("_buffer", "_loop", "closed", "record", "sock")

    def __init__(self, sock: socket.socket, record: ConnectionRecord) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.record = record
        self.closed = False
        self._buffer = b""
        self._loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            host, port = sock.getpeername()[:2]
            record.peer = f"{host}:{port}"

    async def read(self, limit: int = 65536) -> bytes:
        """Return at least one byte, empty at end of file."""
        if self._buffer:
            data, self._buffer = self._buffer[:limit], self._buffer[limit:]
            return data
        while True:
            try:
                data = self.sock.recv(limit)
            except BlockingIOError:
                await self._wait_readable()
            else:
                self._count_received(len(data))
                return data

    async def read_into(self, view: memoryview) -> int:
        """Read at least one byte into `view`, 0 at end of file; check `buffered` first."""
        while True:
            try:
                count = self.sock.recv_into(view)
            except BlockingIOError:
                await self._wait_readable()
            else:
                self._count_received(count)
                return count

    def _count_received(self, count: int) -> None:
        self.record.received += count
        if not count:
            self.record.eof = True

    async def read_line(self) -> bytes:
        """Return one line without its end. Raises `EOFError`; `ValueError`: it is too long."""
        received = bytearray()
        while True:
            data = await self.read()
            if not data:
                raise EOFError
            received += data
            end = received.find(b"\n")
            if end >= 0:
                self._buffer = bytes(received[end + 1 :]) + self._buffer
                return bytes(received[:end]).rstrip(b"\r")
            if len(received) > MAX_LINE_BYTES:
                raise ValueError("line too long")

    @property
    def buffered(self) -> bool:
        """Whether `read_line` has read ahead; `read` returns that first, `read_into` does not."""
        return bool(self._buffer)

    async def write(self, data: bytes | memoryview) -> None:
        """Send all of `data`."""
        view = memoryview(data)
        while view:
            try:
                sent = self.sock.send(view)
            except BlockingIOError:
                await wait_ready(self.sock, self._loop.add_writer, self._loop.remove_writer)
            else:
                self.record.sent += sent
                view = view[sent:]

    async def write_pattern(self, pattern: memoryview, count: int) -> None:
        """Send `count` bytes of a repeated pattern."""
        while count:
            chunk = pattern[:count]
            await self.write(chunk)
            count -= len(chunk)

    async def discard(self, count: int) -> None:
        """Read `count` bytes and drop them. Raises `EOFError`: the client ended before."""
        buffer = memoryview(bytearray(min(count, _DISCARD_CHUNK)))
        while count:
            if self.buffered:
                count -= len(await self.read(count))
                continue
            size = await self.read_into(buffer[:count])
            if not size:
                raise EOFError
            count -= size

    async def _wait_readable(self) -> None:
        await wait_ready(self.sock, self._loop.add_reader, self._loop.remove_reader)

    def reset(self) -> None:
        """Close with a reset."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self.record.outcome == "open":
            self.record.outcome = "reset"
        self.close()

    def close(self) -> None:
        """Close; idempotent."""
        if self.closed:
            return
        self.closed = True
        if self.record.outcome == "open":
            self.record.outcome = "closed"
        self.sock.close()
