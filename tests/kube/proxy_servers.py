"""Two small proxies for tests: HTTP CONNECT and SOCKS5, both with a password."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator

from tests.kube.relay import relay
from tests.support.stream_server import StreamServer

USER, PASSWORD = "me", "hunter2"


class Proxy:
    """A proxy that connects to one port for every requested name, and records the names.

    With TLS, it also records the certificates of its clients, or None.
    """

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self._target = port
        self.asked: list[str] = []
        self.shown: list[bytes | None] = []
        self.refuse = False
        self.has_tls = tls is not None
        self._server = StreamServer(self._serve, tls=tls)

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def url(self) -> str:
        raise NotImplementedError

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (tls := writer.get_extra_info("ssl_object")) is not None:
            self.shown.append(tls.getpeercert(binary_form=True))
        if await self._agree(reader, writer):
            await self._relay(reader, writer)

    async def _agree(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        raise NotImplementedError

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await relay(reader, writer, self._target)


class ConnectProxy(Proxy):
    @property
    def url(self) -> str:
        scheme = "https" if self.has_tls else "http"
        return f"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{self.port}"

    async def _agree(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.split(" ")[1])
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        allowed = f"Basic {pair}" in head and not self.refuse
        status = "200 Connected" if allowed else "407 Proxy Authentication Required"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        return allowed


class SocksProxy(Proxy):
    @property
    def url(self) -> str:
        return f"socks5://{USER}:{PASSWORD}@127.0.0.1:{self.port}"

    async def _agree(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x02")
        _, length = await reader.readexactly(2)
        user = await reader.readexactly(length)
        (length,) = await reader.readexactly(1)
        password = await reader.readexactly(length)
        if (user.decode(), password.decode()) != (USER, PASSWORD):
            writer.write(b"\x01\x01")
            return False
        writer.write(b"\x01\x00")
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            (length,) = await reader.readexactly(1)
            host = (await reader.readexactly(length)).decode()
        else:
            host = ".".join(map(str, await reader.readexactly(4)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append(f"{host}:{port}")
        code = 5 if self.refuse else 0
        writer.write(bytes([5, code, 0, 1, 0, 0, 0, 0, 0, 0]))
        return not self.refuse


@contextlib.asynccontextmanager
async def running(proxy: Proxy) -> AsyncIterator[None]:
    await proxy.start()
    try:
        yield
    finally:
        await proxy.stop()
