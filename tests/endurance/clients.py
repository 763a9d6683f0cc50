"""Local clients of a forward: plain sockets that count bytes and record failures.

Nothing here retries.
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
_PATTERN = bytes(range(256))  # what the source of the toolbox repeats
_ABANDONED = "abandoned"


class Client:
    """One connection that counts its bytes.

    Attributes:
        sent: Bytes that the kernel accepted.
        received: Bytes that the kernel returned.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sent = 0
        self.received = 0
        self._loop = asyncio.get_running_loop()

    @property
    def name(self) -> str:
        """Return the name of this client in the engine's events."""
        host, port = self.sock.getsockname()[:2]
        return f"{host}:{port}"

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""
        view = memoryview(data)
        while view:
            try:
                count = self.sock.send(view)
            except BlockingIOError:
                await self._writable()
                continue
            self.sent += count
            view = view[count:]

    def send_available(self, data: bytes) -> int:
        """Send as much as the kernel accepts without blocking; return how much."""
        try:
            count = self.sock.send(data)
        except BlockingIOError:
            return 0
        self.sent += count
        return count

    async def _writable(self) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(self.sock, _wake, waiter)
        try:
            await waiter
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
            ConnectionError: End of file came first.
        """
        data = bytearray()
        while len(data) < count:
            piece = await self.receive(count - len(data))
            if not piece:
                raise ConnectionError(f"ended after {len(data)} of {count} bytes")
            data += piece
        return bytes(data)

    async def receive_all(self) -> bytes:
        """Return all bytes until end of file."""
        data = bytearray()
        while piece := await self.receive():
            data += piece
        return bytes(data)

    def send_eof(self) -> None:
        """Half-close: the pod receives end of file."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    """Connect to a local port; close at the end."""
    sock = socket.socket()
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Client(sock)
    finally:
        sock.close()


async def echo(port: int, size: int = 16) -> float:
    """Echo random bytes on a new connection; return the seconds it took."""
    message = os.urandom(size)
    began = time.perf_counter()
    async with asyncio.timeout(TIMEOUT_S), connected(port) as client:
        await client.send(message)
        if await client.receive_exactly(size) != message:
            raise ConnectionError("the echo differs")
    return time.perf_counter() - began


async def download(port: int, size: int) -> float:
    """Download from the source of the toolbox; return the seconds it took."""
    began = time.perf_counter()
    async with asyncio.timeout(TIMEOUT_S), connected(port) as client:
        await client.send(b"%d\n" % size)
        # Do not wait for end of file: the runtime delivers it a second later.
        received = await client.receive_exactly(size)
    if received != (_PATTERN * (size // len(_PATTERN) + 1))[:size]:
        raise ConnectionError("the download differs")
    return time.perf_counter() - began


async def get_json(port: int, path: str) -> Any:
    """Return a JSON document fetched by HTTP."""
    async with asyncio.timeout(TIMEOUT_S), connected(port) as client:
        await client.send(f"GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await client.receive_all()).partition(b"\r\n\r\n")
    assert b" 200 " in head.partition(b"\r\n")[0], head
    return json.loads(body)


# --------------------------------------------------------------------------------------
# Load
# --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Attempt:
    """One connection of a load; times are monotonic.

    Attributes:
        began: Before connect.
        first_byte: 0 until it arrives.
        failure: Empty while pending and after success.
    """

    began: float
    connected: float = 0.0
    first_byte: float = 0.0
    ended: float = 0.0
    failure: str = ""
    refused: bool = False

    @property
    def served(self) -> bool:
        return bool(self.ended) and not self.failure


@dataclass(slots=True)
class Load:
    """Clients that connect to an echo continuously.

    `workers` clients make one connection after another; in addition, one connection starts every
    `every_s`, so that connections accumulate during an outage.

    Attributes:
        attempts: All connections in order of their start.
    """

    port: int
    workers: int = 4
    every_s: float = 0.02
    attempts: list[Attempt] = field(default_factory=list)
    _serial: Any = field(default_factory=itertools.count)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def served(self) -> int:
        return sum(attempt.served for attempt in self.attempts)

    @property
    def failures(self) -> list[Attempt]:
        return [each for each in self.attempts if each.failure and each.failure != _ABANDONED]

    @property
    def refused(self) -> int:
        return sum(attempt.refused for attempt in self.attempts)

    def count_pending(self, before: float) -> int:
        """Return how many connections that began before a time have not ended."""
        return sum(not attempt.ended for attempt in self.attempts if attempt.began < before)

    async def attempt(self) -> None:
        """Echo a unique line on a new connection."""
        attempt = Attempt(time.monotonic())
        self.attempts.append(attempt)
        line = b"connection %d\n" % next(self._serial)
        try:
            async with asyncio.timeout(TIMEOUT_S), connected(self.port) as client:
                attempt.connected = time.monotonic()
                await client.send(line)
                received = await client.receive(len(line))
                attempt.first_byte = time.monotonic()
                if received:
                    received += await client.receive_exactly(len(line) - len(received))
                if received != line:
                    raise ConnectionError(f"sent {line!r}, received {received!r}")
        except (OSError, TimeoutError) as error:
            attempt.refused = isinstance(error, ConnectionRefusedError)
            attempt.failure = f"{type(error).__name__}: {error}"
        except asyncio.CancelledError:
            attempt.failure = _ABANDONED
            raise
        finally:
            attempt.ended = time.monotonic()

    async def _worker(self) -> None:
        while True:
            await self.attempt()
            await asyncio.sleep(0.002)

    async def _spawn(self) -> None:
        while True:
            task = asyncio.create_task(self.attempt())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(self.every_s)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        """Run the load inside; pending connections are abandoned at the end."""
        own = [asyncio.create_task(self._worker()) for _ in range(self.workers)]
        own.append(asyncio.create_task(self._spawn()))
        try:
            yield self
        finally:
            for task in own:
                task.cancel()
            await asyncio.gather(*own, return_exceptions=True)
            rest = list(self._tasks)
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
