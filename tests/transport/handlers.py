"""Handlers and servers for tests of byte streams."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

from tests.kube.certificates import Authority, server_context
from tests.support.waiting import until
from tui_forward.errors import TransportError
from tui_forward.transport.stream import ByteStream
from tui_forward.transport.tls_context import create_verifying_context


class Listener:
    """A handler that records everything."""

    def __init__(self, stream: ByteStream, *, read: bool = True) -> None:
        self.stream = stream
        self.received = bytearray()
        self.largest = 0
        self.paused = 0
        self.resumed = 0
        self.ends: list[TransportError | None] = []
        self.pause_after = 0
        stream.set_handler(self)
        if read:
            stream.resume_reading()

    def data_received(self, data: memoryview) -> None:
        assert len(data)
        self.received += data
        self.largest = max(self.largest, len(data))
        if self.pause_after and len(self.received) >= self.pause_after:
            self.stream.pause_reading()

    def writing_paused(self) -> None:
        self.paused += 1

    def writing_resumed(self) -> None:
        self.resumed += 1

    def closed(self, error: TransportError | None) -> None:
        self.ends.append(error)

    async def expect(self, data: bytes) -> None:
        await until(lambda: bytes(self.received) == data, what=f"received {bytes(self.received)!r}")

    async def end(self) -> TransportError | None:
        await until(lambda: self.ends)
        return self.ends[0]


class Echo(asyncio.Protocol):
    """Server side of a connection: echoes, and records what it received."""

    def __init__(self, made: list[Echo], *, mute: bool = False) -> None:
        self._made = made
        self._mute = mute
        self.received = bytearray()
        self.eof = False
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        self.transport = transport
        self._made.append(self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self._mute:
            self.transport.write(data)

    def eof_received(self) -> None:
        self.eof = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class EchoServer:
    """A running server of `Echo` connections."""

    def __init__(self, port: int, connections: list[Echo]) -> None:
        self.port = port
        self.connections = connections


@contextlib.asynccontextmanager
async def echo_server(
    tls: ssl.SSLContext | None = None, *, mute: bool = False
) -> AsyncIterator[EchoServer]:
    made: list[Echo] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Echo(made, mute=mute), "127.0.0.1", 0, ssl=tls)
    try:
        yield EchoServer(server.sockets[0].getsockname()[1], made)
    finally:
        server.close()
        for one in made:
            one.transport.abort()
        await server.wait_closed()


class Trust:
    """An authority with a server context and a client context."""

    def __init__(
        self, folder: Path, *, names: tuple[str, ...] = ("localhost", "127.0.0.1"), days: int = 2
    ) -> None:
        self.authority = Authority()
        self.server = server_context(self.authority.issue("server", names=names, days=days), folder)
        self.client = create_verifying_context(self.authority.pem.decode())
