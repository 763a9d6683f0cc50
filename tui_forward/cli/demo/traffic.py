"""Local clients of a forward, as any program would be one: plain sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import statistics
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tui_forward.model import LocalAddress

_CHUNK = 1024 * 1024
# What sources send: a pattern, so that a byte that is missing anywhere shows.
_PERIOD = 256
_PIECE = bytes(range(_PERIOD)) * (_CHUNK // _PERIOD)
_PIECES = _PIECE + _PIECE[:_PERIOD]


class Client:
    """One connection to a local address."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        """All of `data`."""
        await self._loop.sock_sendall(self._sock, data)

    async def receive(self, limit: int = 65536) -> bytes:
        """At least one byte, or nothing at the end."""
        return await self._loop.sock_recv(self._sock, limit)

    async def receive_all(self) -> bytes:
        """Everything until the end."""
        data = bytearray()
        while chunk := await self.receive():
            data += chunk
        return bytes(data)

    async def receive_exactly(self, count: int) -> bytes:
        """Exactly `count` bytes.

        Raises:
            ConnectionError: The other side ended before.
        """
        data = bytearray()
        while len(data) < count:
            chunk = await self.receive(count - len(data))
            if not chunk:
                raise ConnectionError(f"ended after {len(data)} of {count} bytes")
            data += chunk
        return bytes(data)

    async def line(self) -> bytes:
        """One line without its end.

        Raises:
            ConnectionError: The other side ended before.
        """
        data = bytearray()
        while not data.endswith(b"\n"):
            data += await self.receive_exactly(1)
        return bytes(data[:-1])

    def end_sending(self) -> None:
        """Say that nothing follows, and go on receiving."""
        self._sock.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Close with a reset, whatever is still under way."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()


@contextlib.asynccontextmanager
async def connected(address: LocalAddress) -> AsyncIterator[Client]:
    """A connection, closed at the end.

    Raises:
        OSError: The forward refused it, which it never should.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (address.host, address.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Client(sock)
    finally:
        sock.close()


async def echo(address: LocalAddress, message: bytes = b"ping") -> float:
    """Connect, send, get it back; returns the seconds from connecting to the last byte.

    Raises:
        OSError: It did not come back unchanged.
    """
    began = time.perf_counter()
    async with connected(address) as client:
        await client.send(message)
        answer = await client.receive_exactly(len(message))
        if answer != message:
            raise ConnectionError(f"sent {message[:20]!r}, got {answer[:20]!r}")
    return time.perf_counter() - began


async def get_json(address: LocalAddress, path: str) -> Any:
    """A JSON document by HTTP.

    Raises:
        OSError: There is none.
    """
    async with connected(address) as client:
        await client.send(f"GET {path} HTTP/1.1\r\nHost: pod\r\n\r\n".encode())
        status = await client.line()
        length = 0
        while header := (await client.line()).strip().lower():
            if header.startswith(b"content-length:"):
                length = int(header.partition(b":")[2])
        body = await client.receive_exactly(length)
    if b" 200 " not in status:
        raise ConnectionError(f"the pod answered {status[:60]!r}")
    return json.loads(body)


def _dial(address: LocalAddress) -> socket.socket:
    return socket.create_connection((address.host, address.port), timeout=30)


def _download(address: LocalAddress, count: int) -> float:
    buffer = memoryview(bytearray(_CHUNK))
    began = time.perf_counter()
    with _dial(address) as sock:
        sock.sendall(b"%d\n" % count)
        received = 0
        while received < count:
            got = sock.recv_into(buffer)
            if not got:
                raise ConnectionError(f"ended after {received} of {count} bytes")
            phase = received % _PERIOD
            if bytes(buffer[:got]) != _PIECES[phase : phase + got]:
                raise ConnectionError(f"wrong bytes after {received} of {count}")
            received += got
    return time.perf_counter() - began


def _upload(address: LocalAddress, count: int) -> float:
    began = time.perf_counter()
    with _dial(address) as sock:
        sock.sendall(b"%d\n" % count)
        left = count
        while left:
            piece = _PIECE[:left] if left < _CHUNK else _PIECE
            sock.sendall(piece)
            left -= len(piece)
        if int(sock.makefile("rb").readline()) != count:
            raise ConnectionError("the pod counted something else")
    return time.perf_counter() - began


async def download(address: LocalAddress, count: int) -> float:
    """`count` bytes from a source, checked; returns seconds.

    Raises:
        OSError: Fewer bytes, or other ones.
    """
    return await asyncio.to_thread(_download, address, count)


async def upload(address: LocalAddress, count: int) -> float:
    """`count` bytes to a sink that counts them; returns seconds until it said so.

    Raises:
        OSError: It counted something else.
    """
    return await asyncio.to_thread(_upload, address, count)


async def median_s(times: int, once: Callable[[], Awaitable[float]]) -> float:
    """The median of what `once` returns."""
    return statistics.median([await once() for _ in range(times)])
