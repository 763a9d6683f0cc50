"""API server with valid pods whose port-forwards are attacks.

Serves TLS or plain HTTP, and correct lists and watches. The name of the pod selects the attack.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tests.kube.api_server import ApiServer, Request
from tui_forward.protocol.portforward_server import ServerStreamPair, TunnelServer
from tui_forward.protocol.spdy.dictionary import SPDY3_DICTIONARY as DICTIONARY
from tui_forward.protocol.upgrade import accept_key

NAMESPACE = "default"

Attack = Callable[[Request, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    b"X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n"
)
_ZEROS = bytes(1 << 20)


def pod(name: str) -> dict[str, Any]:
    """Return a running, ready pod."""
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
                {"name": "c", "ready": True, "restartCount": 0, "containerID": "x://1"}
            ],
        },
    }


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send with flow control.

    Raises:
        ConnectionError: The client has disconnected. (Over TLS, `drain` does not report it.)
    """
    if writer.is_closing():
        raise ConnectionError
    writer.write(data)
    await writer.drain()
    await asyncio.sleep(0)


async def _send_forever(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Repeat `data` until the client disconnects."""
    while True:
        await _send(writer, data)


def _control(kind: int, payload: bytes, *, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return bytes((0x80, 3, 0, kind, 0)) + size.to_bytes(3, "big") + payload


async def _garbage(_: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(SWITCHED)
    while True:
        await _send(writer, os.urandom(1 << 16))


async def _bomb(_: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a header block of 48 MiB compressed to 48 KiB."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 15, 8, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    block = compressor.compress((1).to_bytes(4, "big") + (47 << 20).to_bytes(4, "big"))
    for _step in range(48):
        block += compressor.compress(_ZEROS)
    block += compressor.flush(zlib.Z_SYNC_FLUSH)
    writer.write(SWITCHED + _control(2, (1).to_bytes(4, "big") + block))
    await writer.drain()
    await reader.read()


async def _many_headers(
    _: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send a header block that announces four billion headers."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 15, 8, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    block = compressor.compress((0xFFFFFFFF).to_bytes(4, "big"))
    block += compressor.compress(((1).to_bytes(4, "big") + b"a") * 2 * 500_000)
    block += compressor.flush(zlib.Z_SYNC_FLUSH)
    writer.write(SWITCHED + _control(2, (1).to_bytes(4, "big") + block))
    await writer.drain()
    await reader.read()


async def _endless_head(
    _: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await _send_forever(writer, b"X-More: and more and more and more\r\n" * 1000)


async def _endless_line(
    _: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nX-More: ")
    await _send_forever(writer, b"a" * 65536)


async def _endless_body(
    _: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(b"HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\n\r\n")
    await _send_forever(writer, b"sorry, " * 10_000)


async def _large_data(
    _: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send DATA frames of 16 MiB for a stream that was not opened."""
    writer.write(SWITCHED)
    while True:
        writer.write((77).to_bytes(4, "big") + b"\0\xff\xff\xff")
        for at in range(0, 0xFFFFFF, len(_ZEROS)):
            await _send(writer, _ZEROS[: 0xFFFFFF - at])


async def _large_control(
    _: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send a SYN_REPLY of 16 MiB."""
    writer.write(SWITCHED + _control(2, (1).to_bytes(4, "big"), length=0xFFFFFF))
    await _send_forever(writer, _ZEROS)


async def _half_a_frame(
    _: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(SWITCHED + _control(6, b"\0\0")[:7])
    await writer.drain()
    await reader.read()


async def _silence(_: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(SWITCHED)
    await writer.drain()
    await reader.read()


async def _pings(_: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send PINGs forever and read no reply."""
    writer.write(SWITCHED)
    await _send_forever(writer, _control(6, (2).to_bytes(4, "big")) * 5000)


async def _drip(_: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the response head byte by byte."""
    for byte in b"HTTP/1.1 101 Switching Protocols\r\n" + b"X-Slow: yes\r\n" * 1000:
        await _send(writer, bytes((byte,)))
        await asyncio.sleep(0.05)


async def _closes(_: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close without a response."""


async def _another_protocol(
    _: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(SWITCHED.replace(b"portforward.k8s.io", b"something.else"))
    await writer.drain()
    await reader.read()


async def _endless_websocket(
    request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send a WebSocket message of 2^62 bytes."""
    key = request.header("sec-websocket-key") or ""
    protocol = request.header("sec-websocket-protocol") or ""
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + f"Sec-WebSocket-Accept: {accept_key(key)}\r\n".encode()
        + f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n".encode()
        + b"\x82\x7f"
        + (1 << 62).to_bytes(8, "big")
    )
    await _send_forever(writer, _ZEROS)


class _FirstConnectionDetector:
    """Tunnel handler that records that a connection was opened or the tunnel ended."""

    def __init__(self) -> None:
        self.is_used = False

    def pair_opened(self, pair: ServerStreamPair) -> None:
        self.is_used = True

    def tunnel_ended(self, error: object) -> None:
        self.is_used = True


async def _garbage_when_used(
    _: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Serve a correct tunnel until its first connection, then send garbage."""
    writer.write(SWITCHED)
    handler = _FirstConnectionDetector()
    tunnel = TunnelServer(handler)
    while not handler.is_used and (data := await reader.read(65536)):
        tunnel.receive_data(data)
        for piece in tunnel.data_to_send():
            writer.write(bytes(piece))
        await writer.drain()
    writer.write(b"\x80\x03\x00\x63\x00\x00\x00\x04 bad" + os.urandom(100_000))
    with contextlib.suppress(ConnectionError):
        await writer.drain()


ATTACKS: dict[str, Attack] = {
    "garbage": _garbage,
    "bomb": _bomb,
    "many-headers": _many_headers,
    "endless-head": _endless_head,
    "endless-line": _endless_line,
    "endless-body": _endless_body,
    "large-data": _large_data,
    "large-control": _large_control,
    "half-a-frame": _half_a_frame,
    "silence": _silence,
    "pings": _pings,
    "drip": _drip,
    "closes": _closes,
    "another-protocol": _another_protocol,
    "endless-websocket": _endless_websocket,
    "garbage-when-used": _garbage_when_used,
}


class HostileServer(ApiServer):
    """API server with one pod per attack."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.attacked: dict[str, int] = {}
        for name in ATTACKS:
            self.put("pods", pod(name))

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if not request.path.endswith("/portforward"):
            await super()._answer(request, writer)
            return
        name = request.path.split("/")[-2]
        self.attacked[name] = self.attacked.get(name, 0) + 1
        try:
            await ATTACKS[name](request, self._readers[writer], writer)
        finally:
            # Do not wait for the attack's buffers to drain.
            writer.transport.abort()
        raise ConnectionError("attacked")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._readers = getattr(self, "_readers", {})
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
