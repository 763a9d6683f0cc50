"""Local clients of a forward: plain sockets, as any program would use them.

They count bytes as an application does, record every failure and never retry.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

TIMEOUT_S = 60.0
_SOURCE_PATTERN = bytes(range(256))  # repeated by the toolbox's source
_CANCELED = "canceled with the load"


class Client:
    """One connection with exact byte counts.

    Attributes:
        sent: Bytes accepted by the kernel.
        received: Bytes read from the kernel.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sent = 0
        self.received = 0
        self._loop = asyncio.get_running_loop()

    @property
    def name(self) -> str:
        """Return the address by which the engine reports this client."""
        host, port = self.sock.getsockname()[:2]
        return f"{host}:{port}"

    async def send(self, data: bytes) -> None:
        """Send everything; count bytes as they are sent, also if it fails halfway."""
        view = memoryview(data)
        while view:
            count = self.send_available(view)
            if not count:
                await self._wait_until_writable()
            view = view[count:]

    def send_available(self, data: bytes | memoryview) -> int:
        """Send as much as the kernel accepts now; return the number of bytes."""
        try:
            count = self.sock.send(data)
        except BlockingIOError:
            return 0
        self.sent += count
        return count

    async def _wait_until_writable(self) -> None:
        writable = asyncio.Event()
        self._loop.add_writer(self.sock, writable.set)
        try:
            await writable.wait()
        finally:
            self._loop.remove_writer(self.sock)

    async def receive(self, limit: int = 1 << 18) -> bytes:
        """Return the next bytes; empty at end of file."""
        data = await self._loop.sock_recv(self.sock, limit)
        self.received += len(data)
        return data

    async def receive_exactly(self, count: int) -> bytes:
        """Return exactly `count` bytes.

        Raises:
            ConnectionError: The connection ended earlier.
        """
        data = bytearray()
        while len(data) < count:
            chunk = await self.receive(count - len(data))
            if not chunk:
                raise ConnectionError(f"ended after {len(data)} of {count} bytes")
            data += chunk
        return bytes(data)

    async def receive_all(self) -> bytes:
        """Return everything until end of file."""
        data = bytearray()
        while chunk := await self.receive():
            data += chunk
        return bytes(data)

    def send_eof(self) -> None:
        """Half-close the connection; it can still receive."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close the connection with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    """Connect to a local port; close the connection at the end."""
    sock = socket.socket()
    sock.setblocking(False)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A reset that follows the accept may arrive before this loop sees the connection.
        with contextlib.suppress(ConnectionResetError):
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        yield Client(sock)
    finally:
        sock.close()


async def exchange(port: int, request: bytes, response: bytes) -> float:
    """Send a request on a new connection and check the response; return the seconds it took.

    Raises:
        ConnectionError: The response is different or shorter.
    """
    began = time.perf_counter()
    async with asyncio.timeout(TIMEOUT_S), connected(port) as client:
        await client.send(request)
        # Not until end of file: the runtime delivers that a second later.
        if await client.receive_exactly(len(response)) != response:
            raise ConnectionError("unexpected response")
    return time.perf_counter() - began


async def echo(port: int, size: int = 16) -> float:
    """Exchange random bytes with an echo on a new connection; return the seconds it took."""
    message = os.urandom(size)
    return await exchange(port, message, message)


async def download(port: int, size: int) -> float:
    """Download from the toolbox's source on a new connection; return the seconds it took."""
    expected = (_SOURCE_PATTERN * (size // len(_SOURCE_PATTERN) + 1))[:size]
    return await exchange(port, b"%d\n" % size, expected)


async def get_json(port: int, path: str) -> Any:
    """Return a JSON document requested by HTTP."""
    async with asyncio.timeout(TIMEOUT_S), connected(port) as client:
        await client.send(f"GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await client.receive_all()).partition(b"\r\n\r\n")
    assert b" 200 " in head.partition(b"\r\n")[0], head
    return json.loads(body)


@dataclass(slots=True)
class Attempt:
    """One connection of a load; times are monotonic.

    Attributes:
        began: Before connect.
        first_byte: When the first byte arrived; 0 until then.
        failure: Empty while the connection is open and after success.
    """

    began: float
    first_byte: float = 0.0
    ended: float = 0.0
    failure: str = ""
    refused: bool = False

    @property
    def served(self) -> bool:
        return bool(self.ended) and not self.failure


@dataclass(slots=True)
class Load:
    """Clients that connect to an echo continuously and ignore failures.

    Each worker opens its next connection a pause after the previous one has ended. In addition, a
    new connection is opened at every interval, so that many are waiting during an outage.

    Attributes:
        attempts: All connections in the order in which they began.
        served: Number of connections that have ended without a failure.
    """

    port: int
    workers: int = 1
    pause_s: float = 0.1
    interval_s: float = 0.05
    attempts: list[Attempt] = field(default_factory=list)
    served: int = 0
    _serials: Any = field(default_factory=itertools.count)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def failures(self) -> list[Attempt]:
        return [each for each in self.attempts if each.failure and each.failure != _CANCELED]

    @property
    def refused(self) -> int:
        return sum(attempt.refused for attempt in self.attempts)

    def count_pending(self, before: float) -> int:
        """Return how many connections that began before a time have not ended."""
        return sum(not attempt.ended for attempt in self.attempts if attempt.began < before)

    async def _attempt(self) -> None:
        """Send a line unique to this connection, and expect it back."""
        attempt = Attempt(time.monotonic())
        self.attempts.append(attempt)
        line = b"connection %d\n" % next(self._serials)
        try:
            async with asyncio.timeout(TIMEOUT_S), connected(self.port) as client:
                await client.send(line)
                received = await client.receive(len(line))
                attempt.first_byte = time.monotonic()
                if received:
                    received += await client.receive_exactly(len(line) - len(received))
                if received != line:
                    raise ConnectionError(f"sent {line!r}, received {received!r}")
                self.served += 1
        except (OSError, TimeoutError) as error:
            attempt.refused = isinstance(error, ConnectionRefusedError)
            attempt.failure = f"{type(error).__name__}: {error}"
        except asyncio.CancelledError:
            attempt.failure = _CANCELED
            raise
        finally:
            attempt.ended = time.monotonic()

    async def _work(self) -> None:
        while True:
            await self._attempt()
            await asyncio.sleep(self.pause_s)

    async def _connect_at_intervals(self) -> None:
        while True:
            task = asyncio.create_task(self._attempt())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(self.interval_s)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        """Run the load; cancel connections that are still open at the end."""
        tasks = [asyncio.create_task(self._work()) for _ in range(self.workers)]
        tasks.append(asyncio.create_task(self._connect_at_intervals()))
        try:
            yield self
        finally:
            await _cancel(tasks)
            await _cancel(list(self._tasks))


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
