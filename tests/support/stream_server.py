"""A TCP server on loopback that serves each connection in a task of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class StreamServer:
    """A server whose end leaves neither tasks nor sockets behind.

    Args:
        serve: Serves a connection, which ends when this returns.
        tls: Context of a server with TLS.
        limit: Largest number of bytes that a reader buffers.

    Attributes:
        port: Port of the server; 0 before it has started.
    """

    def __init__(
        self, serve: Serve, *, tls: ssl.SSLContext | None = None, limit: int = 2**16
    ) -> None:
        self.port = 0
        self._serve = serve
        self._tls = tls
        self._limit = limit
        self._server: asyncio.Server | None = None
        self._writers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self, port: int = 0) -> None:
        """Listen on a port, by default any free one."""
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", port, ssl=self._tls, limit=self._limit
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the server and all connections."""
        server, self._server = self._server, None
        if server is not None:
            # Python 3.11 leaks a connection that it accepts in the iteration of `close`
            # (gh-109564): stop accepting first.
            for listener in server.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
            for _ in range(3):
                await asyncio.sleep(0)
            server.close()
        self.drop_connections()
        tasks = [*self._writers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if server is not None:
            await server.wait_closed()

    def drop_connections(self) -> None:
        """Close all connections without sending what is buffered."""
        for writer in self._writers.values():
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Recorded here, because a task that is cancelled before its first step does nothing.
        task = asyncio.get_running_loop().create_task(self._run(reader, writer))
        self._writers[task] = writer
        task.add_done_callback(self._end)

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._serve(reader, writer)

    def _end(self, task: asyncio.Task[None]) -> None:
        # Named, because a writer that ends before its connection warns (Python 3.13).
        writer = self._writers.pop(task)
        writer.transport.abort()
