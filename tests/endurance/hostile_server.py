"""An API server whose pods are fine, and whose port-forwards are attacks.

It serves TLS or plain HTTP, and lists and watches correctly. The name of a pod selects the attack
that a port-forward to it starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.kube.api_server import ApiServer, Request
from tui_forward.protocol.portforward_server import ServerStreamPair, TunnelServer
from tui_forward.protocol.spdy.dictionary import SPDY3_DICTIONARY
from tui_forward.protocol.upgrade import accept_key

NAMESPACE = "default"

_SWITCHING_PROTOCOLS = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    b"X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n"
)
_ZEROS = bytes(1 << 20)
_MAX_FRAME_LENGTH = 0xFFFFFF
_SYN_REPLY, _PING = 2, 6


@dataclass(frozen=True)
class HostileConnection:
    """The server's end of a connection that requests a port-forward."""

    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send as fast as the client reads.

        Raises:
            ConnectionError: The client has closed the connection. (Over TLS, `drain` does not
                detect it.)
        """
        if self.writer.is_closing():
            raise ConnectionError
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)

    async def send_endlessly(self, data: bytes) -> None:
        """Send until the client closes the connection."""
        while True:
            await self.send(data)

    async def send_and_wait(self, data: bytes) -> None:
        """Send, then wait until the client closes the connection."""
        self.writer.write(data)
        await self.writer.drain()
        await self.reader.read()


Attack = Callable[[HostileConnection], Awaitable[None]]


def _control_frame(kind: int, payload: bytes, *, length: int | None = None) -> bytes:
    """Encode a SPDY control frame, with a false length if one is given."""
    size = len(payload) if length is None else length
    return bytes((0x80, 3, 0, kind, 0)) + size.to_bytes(3, "big") + payload


def _compress_header_block(*chunks: bytes) -> bytes:
    compressor = zlib.compressobj(
        9, zlib.DEFLATED, 15, 8, zlib.Z_DEFAULT_STRATEGY, SPDY3_DICTIONARY
    )
    block = b"".join(compressor.compress(chunk) for chunk in chunks)
    return block + compressor.flush(zlib.Z_SYNC_FLUSH)


async def _send_garbage(connection: HostileConnection) -> None:
    connection.writer.write(_SWITCHING_PROTOCOLS)
    while True:
        await connection.send(os.urandom(1 << 16))


async def _send_zip_bomb(connection: HostileConnection) -> None:
    """Send a header block of 48 MiB in 48 KiB."""
    sizes = (1).to_bytes(4, "big") + (47 << 20).to_bytes(4, "big")
    block = _compress_header_block(sizes, *[_ZEROS] * 48)
    frame = _control_frame(_SYN_REPLY, (1).to_bytes(4, "big") + block)
    await connection.send_and_wait(_SWITCHING_PROTOCOLS + frame)


async def _send_many_headers(connection: HostileConnection) -> None:
    """Send a header block that announces four billion headers and has half a million."""
    block = _compress_header_block(
        (0xFFFFFFFF).to_bytes(4, "big"), ((1).to_bytes(4, "big") + b"a") * 2 * 500_000
    )
    frame = _control_frame(_SYN_REPLY, (1).to_bytes(4, "big") + block)
    await connection.send_and_wait(_SWITCHING_PROTOCOLS + frame)


async def _send_endless_head(connection: HostileConnection) -> None:
    connection.writer.write(b"HTTP/1.1 200 OK\r\n")
    await connection.send_endlessly(b"X-More: and more and more and more\r\n" * 1000)


async def _send_endless_line(connection: HostileConnection) -> None:
    connection.writer.write(b"HTTP/1.1 101 Switching Protocols\r\nX-More: ")
    await connection.send_endlessly(b"a" * 65536)


async def _send_endless_body(connection: HostileConnection) -> None:
    connection.writer.write(b"HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\n\r\n")
    await connection.send_endlessly(b"sorry, " * 10_000)


async def _send_large_data(connection: HostileConnection) -> None:
    """Send a DATA frame of 16 MiB per second for a stream that is not open."""
    connection.writer.write(_SWITCHING_PROTOCOLS)
    while True:
        connection.writer.write((77).to_bytes(4, "big") + b"\0\xff\xff\xff")
        for offset in range(0, _MAX_FRAME_LENGTH, len(_ZEROS)):
            await connection.send(_ZEROS[: _MAX_FRAME_LENGTH - offset])
        await asyncio.sleep(1.0)  # as fast as it is read, it would take all processors


async def _send_large_control_frame(connection: HostileConnection) -> None:
    """Send a SYN_REPLY of 16 MiB."""
    frame = _control_frame(_SYN_REPLY, (1).to_bytes(4, "big"), length=_MAX_FRAME_LENGTH)
    connection.writer.write(_SWITCHING_PROTOCOLS + frame)
    await connection.send_endlessly(_ZEROS)


async def _send_half_a_frame(connection: HostileConnection) -> None:
    await connection.send_and_wait(_SWITCHING_PROTOCOLS + _control_frame(_PING, b"\0\0")[:7])


async def _stay_silent(connection: HostileConnection) -> None:
    await connection.send_and_wait(_SWITCHING_PROTOCOLS)


async def _send_pings(connection: HostileConnection) -> None:
    """Send pings endlessly without reading the replies."""
    connection.writer.write(_SWITCHING_PROTOCOLS)
    await connection.send_endlessly(_control_frame(_PING, (2).to_bytes(4, "big")) * 5000)


async def _drip(connection: HostileConnection) -> None:
    """Send a response head byte by byte, with pauses."""
    for byte in b"HTTP/1.1 101 Switching Protocols\r\n" + b"X-Slow: yes\r\n" * 1000:
        await connection.send(bytes((byte,)))
        await asyncio.sleep(0.05)


async def _close(connection: HostileConnection) -> None:
    """Close the connection without a response."""


async def _accept_another_protocol(connection: HostileConnection) -> None:
    await connection.send_and_wait(
        _SWITCHING_PROTOCOLS.replace(b"portforward.k8s.io", b"something.else")
    )


async def _send_endless_message(connection: HostileConnection) -> None:
    """Accept any WebSocket and send a message of 2^62 bytes."""
    key = connection.request.header("sec-websocket-key") or ""
    protocol = connection.request.header("sec-websocket-protocol") or ""
    connection.writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + f"Sec-WebSocket-Accept: {accept_key(key)}\r\n".encode()
        + f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n".encode()
        + b"\x82\x7f"
        + (1 << 62).to_bytes(8, "big")
    )
    await connection.send_endlessly(_ZEROS)


class _FirstUseDetector:
    """Handler of a tunnel that detects the first connection."""

    def __init__(self) -> None:
        self.is_used = False

    def pair_opened(self, pair: ServerStreamPair) -> None:
        self.is_used = True

    def tunnel_ended(self, error: object) -> None:
        self.is_used = True


async def _send_garbage_once_used(connection: HostileConnection) -> None:
    """Serve a correct tunnel until a connection is opened, then send garbage."""
    writer = connection.writer
    writer.write(_SWITCHING_PROTOCOLS)
    handler = _FirstUseDetector()
    tunnel = TunnelServer(handler)
    while not handler.is_used and (data := await connection.reader.read(65536)):
        tunnel.receive_data(data)
        for chunk in tunnel.data_to_send():
            writer.write(bytes(chunk))
        await writer.drain()
    writer.write(b"\x80\x03\x00\x63\x00\x00\x00\x04 bad" + os.urandom(100_000))
    with contextlib.suppress(ConnectionError):
        await writer.drain()


ATTACKS: dict[str, Attack] = {
    "garbage": _send_garbage,
    "zip-bomb": _send_zip_bomb,
    "many-headers": _send_many_headers,
    "endless-head": _send_endless_head,
    "endless-line": _send_endless_line,
    "endless-body": _send_endless_body,
    "large-data": _send_large_data,
    "large-control-frame": _send_large_control_frame,
    "half-a-frame": _send_half_a_frame,
    "silence": _stay_silent,
    "pings": _send_pings,
    "drip": _drip,
    "close": _close,
    "another-protocol": _accept_another_protocol,
    "endless-message": _send_endless_message,
    "garbage-once-used": _send_garbage_once_used,
}


def _pod(name: str) -> dict[str, Any]:
    """Return a pod that is running and ready."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}"},
        "spec": {
            "nodeName": "node",
            "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 80}]}],
        },
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            ],
            "containerStatuses": [
                {
                    "name": "c",
                    "ready": True,
                    "restartCount": 0,
                    "containerID": "x://1",
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                }
            ],
        },
    }


class HostileServer(ApiServer):
    """An API server with one pod per attack.

    Attributes:
        attacked: Number of attacks started, by name.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.attacked: dict[str, int] = {}
        self._readers: dict[asyncio.StreamWriter, asyncio.StreamReader] = {}
        for name in ATTACKS:
            self.put("pods", _pod(name))

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if not request.path.endswith("/portforward"):
            await super()._answer(request, writer)
            return
        name = request.path.split("/")[-2]
        self.attacked[name] = self.attacked.get(name, 0) + 1
        try:
            await ATTACKS[name](HostileConnection(request, self._readers[writer], writer))
        finally:
            # Do not flush what the attack left in the buffers.
            writer.transport.abort()
        raise ConnectionError("attacked")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._readers[writer] = reader
        try:
            await super()._serve(reader, writer)
        finally:
            del self._readers[writer]


@contextlib.asynccontextmanager
async def running_hostile_server(**options: Any) -> AsyncIterator[HostileServer]:
    """Start a hostile server; stop it at the end."""
    server = HostileServer(**options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
