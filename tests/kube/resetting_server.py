"""A way to an API server that ends its first connections, each at the same stage of a request."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from enum import StrEnum

from tests.kube.relay import relay
from tests.support.stream_server import StreamServer

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"


class Stage(StrEnum):
    """How far a request gets before its connection ends."""

    ACCEPT = "accept"
    REQUEST = "request"
    PART_OF_HEAD = "part of head"
    HEAD = "head"
    BODY = "body"


class ResettingServer:
    """Ends `times` connections, then passes all others on to the server at `target`.

    Attributes:
        ended: Connections that were ended.
        passed: Connections that were passed on.
    """

    def __init__(self, target: int, stage: Stage, times: int, *, abrupt: bool = True) -> None:
        self.ended = self.passed = 0
        self._target = target
        self._stage = stage
        self._times = times
        self._abrupt = abrupt  # by RST, else by FIN
        self._server = StreamServer(self._serve)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.ended < self._times:
            self.ended += 1
            await self._end(reader, writer)
        else:
            self.passed += 1
            await self._pass_on(reader, writer)

    async def _end(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stage is not Stage.ACCEPT:
            await reader.readuntil(b"\r\n\r\n")
        match self._stage:
            case Stage.PART_OF_HEAD:
                writer.write(_HEAD[:40])
            case Stage.HEAD:
                writer.write(_HEAD)
            case Stage.BODY:
                writer.write(_HEAD + b'{"kind":"Pod",')
        await writer.drain()
        if self._abrupt:
            if self._stage in (Stage.PART_OF_HEAD, Stage.HEAD, Stage.BODY):
                # A reset overtakes bytes that the client has not read.
                await asyncio.sleep(0.02)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await relay(reader, writer, self._target)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[ResettingServer]:
        await self._server.start()
        try:
            yield self
        finally:
            await self._server.stop()
