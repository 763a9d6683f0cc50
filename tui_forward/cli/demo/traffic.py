"""Local clients of a forward, on plain sockets as in any program."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tui_forward.model import LocalAddress

_CHUNK = 1024 * 1024
# Sources send a repeating pattern, so that a missing byte is detected anywhere.
_PERIOD = 256
_PATTERN = bytes(range(_PERIOD)) * (_CHUNK // _PERIOD)
_SHIFTABLE_PATTERN = _PATTERN + _PATTERN[:_PERIOD]


class Client:
    """Connection to a local address."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""
        await self._loop.sock_sendall(self._sock, data)

    async def receive(self, limit: int = 65536) -> bytes:
        """Return at least one byte, or nothing at end of file."""
        return await self._loop.sock_recv(self._sock, limit)

    async def receive_exactly(self, count: int) -> bytes:
        """Return exactly `count` bytes; ConnectionError if the peer closes before."""
        data = bytearray()
        while len(data) < count:
            chunk = await self.receive(count - len(data))
            if not chunk:
                raise ConnectionError(f"ended after {len(data)} of {count} bytes")
            data += chunk
        return bytes(data)

    async def receive_line(self) -> bytes:
        """Return a line without its end; ConnectionError if the peer closes before."""
        data = bytearray()
        while not data.endswith(b"\n"):
            data += await self.receive_exactly(1)
        return bytes(data[:-1])

    def close_write(self) -> None:
        """Send end of file; receiving continues."""
        self._sock.shutdown(socket.SHUT_WR)


@contextlib.asynccontextmanager
async def connect(address: LocalAddress) -> AsyncIterator[Client]:
    """Open a connection and close it at the end; OSError if the forward refuses it."""
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
    """Return the seconds until an echo server returned a message; OSError if it was changed."""
    began = time.perf_counter()
    async with connect(address) as client:
        await client.send(message)
        reply = await client.receive_exactly(len(message))
        if reply != message:
            raise ConnectionError(f"sent {message[:20]!r}, got {reply[:20]!r}")
    return time.perf_counter() - began


async def get_json(address: LocalAddress, path: str) -> Any:
    """Return a JSON document that is read over HTTP; OSError if the response is not 200."""
    async with connect(address) as client:
        await client.send(f"GET {path} HTTP/1.1\r\nHost: pod\r\n\r\n".encode())
        status = await client.receive_line()
        length = 0
        while header := (await client.receive_line()).strip().lower():
            if header.startswith(b"content-length:"):
                length = int(header.partition(b":")[2])
        body = await client.receive_exactly(length)
    if b" 200 " not in status:
        raise ConnectionError(f"unexpected response of the pod: {status[:60]!r}")
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
            if bytes(buffer[:got]) != _SHIFTABLE_PATTERN[phase : phase + got]:
                raise ConnectionError(f"wrong bytes after {received} of {count}")
            received += got
    return time.perf_counter() - began


def _upload(address: LocalAddress, count: int) -> float:
    began = time.perf_counter()
    with _dial(address) as sock:
        sock.sendall(b"%d\n" % count)
        left = count
        while left:
            chunk = _PATTERN[:left] if left < _CHUNK else _PATTERN
            sock.sendall(chunk)
            left -= len(chunk)
        if int(sock.makefile("rb").readline()) != count:
            raise ConnectionError("the pod's byte count differs")
    return time.perf_counter() - began


async def download(address: LocalAddress, count: int) -> float:
    """Receive and verify `count` bytes; return the seconds. OSError if they differ."""
    return await asyncio.to_thread(_download, address, count)


async def upload(address: LocalAddress, count: int) -> float:
    """Send `count` bytes to a sink; return the seconds until it confirms their number."""
    return await asyncio.to_thread(_upload, address, count)


async def median_s(times: int, once: Callable[[], Awaitable[float]]) -> float:
    """Return the median of `times` results of `once`."""
    return statistics.median([await once() for _ in range(times)])
