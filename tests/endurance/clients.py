"""Local clients of a forward: plain sockets, as any program would use them.

What they count is what an application counts, and what they notice they remember: nothing
here tries again.
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
_PATTERN = bytes(range(256))  # what the toolbox's source sends, over and over
_GIVEN_UP = "given up by us"


class Client:
    """One connection, and exactly what went through it.

    Attributes:
        sent: Bytes the kernel took.
        received: Bytes the kernel gave.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sent = 0
        self.received = 0
        self._loop = asyncio.get_running_loop()

    @property
    def name(self) -> str:
        """How the engine calls this client."""
        host, port = self.sock.getsockname()[:2]
        return f"{host}:{port}"

    async def send(self, data: bytes) -> None:
        """All of it, counting what goes."""
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
        """As much as the kernel takes now."""
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
        """Something; nothing at the end."""
        data = await self._loop.sock_recv(self.sock, limit)
        self.received += len(data)
        return data

    async def receive_exactly(self, count: int) -> bytes:
        """So many bytes.

        Raises:
            ConnectionError: It ended before.
        """
        data = bytearray()
        while len(data) < count:
            piece = await self.receive(count - len(data))
            if not piece:
                raise ConnectionError(f"ended after {len(data)} of {count} bytes")
            data += piece
        return bytes(data)

    async def receive_all(self) -> bytes:
        """Everything until end of file."""
        data = bytearray()
        while piece := await self.receive():
            data += piece
        return bytes(data)

    def send_eof(self) -> None:
        """End of file towards the pod; receiving goes on."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    """A connection to a local port; closed at the end."""
    sock = socket.socket()
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Client(sock)
    finally:
        sock.close()


async def echo(port: int, size: int = 16) -> float:
    """There and back on a connection of its own; gives the seconds it took."""
    message = os.urandom(size)
    began = time.perf_counter()
    async with asyncio.timeout(TIMEOUT_S), connected(port) as client:
        await client.send(message)
        if await client.receive_exactly(size) != message:
            raise ConnectionError("something else came back")
    return time.perf_counter() - began


async def download(port: int, size: int) -> float:
    """From a source of the toolbox, on a connection of its own; gives the seconds it took."""
    began = time.perf_counter()
    async with asyncio.timeout(TIMEOUT_S), connected(port) as client:
        await client.send(b"%d\n" % size)
        # Not to the end of file: the runtime delivers that a second later.
        received = await client.receive_exactly(size)
    if received != (_PATTERN * (size // len(_PATTERN) + 1))[:size]:
        raise ConnectionError("other bytes came than were sent")
    return time.perf_counter() - began


async def get_json(port: int, path: str) -> Any:
    """A JSON document by HTTP."""
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
        first_byte: 0 until it came.
        failure: Empty while under way and after success.
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
    """Clients of an echo that knock without a pause, whatever becomes of them.

    Some wait for the end of one connection before they make the next; besides, every
    `every_s` somebody new comes, so that an outage finds a crowd.

    Attributes:
        attempts: All connections, in the order they began.
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
        return [each for each in self.attempts if each.failure and each.failure != _GIVEN_UP]

    @property
    def refused(self) -> int:
        return sum(attempt.refused for attempt in self.attempts)

    def count_pending(self, before: float) -> int:
        """How many that began before then have not ended."""
        return sum(not attempt.ended for attempt in self.attempts if attempt.began < before)

    async def attempt(self) -> None:
        """One connection: a line that is its own, there and back."""
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
                    raise ConnectionError(f"{received!r} came back for {line!r}")
        except (OSError, TimeoutError) as error:
            attempt.refused = isinstance(error, ConnectionRefusedError)
            attempt.failure = f"{type(error).__name__}: {error}"
        except asyncio.CancelledError:
            attempt.failure = _GIVEN_UP
            raise
        finally:
            attempt.ended = time.monotonic()

    async def _worker(self) -> None:
        while True:
            await self.attempt()
            await asyncio.sleep(0.002)

    async def _crowd(self) -> None:
        while True:
            task = asyncio.create_task(self.attempt())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(self.every_s)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        """Knock inside; afterwards whoever still waits is given up."""
        own = [asyncio.create_task(self._worker()) for _ in range(self.workers)]
        own.append(asyncio.create_task(self._crowd()))
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
