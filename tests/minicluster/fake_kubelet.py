"""A fake kubelet with TLS that sends one scripted response per connection."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.minicluster.control_plane import ControlPlane

Script = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

SWITCHING_PROTOCOLS = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    b"X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n"
)


class FakeKubelet:
    """A kubelet that runs a script for each connection.

    Attributes:
        requests: The headers of the received requests.
        peer: Common name of the last client's certificate.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self.peer = ""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        certificate = writer.get_extra_info("peercert") or {}
        subject = dict(entry[0] for entry in certificate.get("subject", ()))
        self.peer = subject.get("commonName", "")
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head)
            await self.script(head, reader, writer)
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def fake_kubelet(control_plane: ControlPlane, script: Script) -> AsyncIterator[FakeKubelet]:
    """Serve as the kubelet of `node-a`."""
    kubelet = FakeKubelet(script)
    pair = control_plane.authority.issue_server("kubelet", "system:node:node-a", "127.0.0.1")
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=control_plane.authority.cert
    )
    context.load_cert_chain(pair.cert, pair.key)
    context.verify_mode = ssl.CERT_REQUIRED
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await kubelet.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()  # the test is over
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    kubelet.port = server.sockets[0].getsockname()[1]
    await control_plane.add_node("node-a", kubelet.port)
    try:
        yield kubelet
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
