"""Legacy channels of the streaming server, message by message."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from tests.minicluster.node.harness import WEBSOCKET_HEADERS, Pod, RuntimeHarness
from tests.support.waiting import until
from tui_forward.errors import ProtocolError
from tui_forward.protocol.spdy import Side
from tui_forward.protocol.websocket import Opcode, WebSocketConnection


class Channels:
    """WebSocket client that records messages as (opcode, payload)."""

    def __init__(self, sock: socket.socket, early: bytes) -> None:
        self.messages: list[tuple[int, bytes]] = []
        self.ended = False
        self.eof = False
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self.websocket = WebSocketConnection(Side.CLIENT, self)
        self.websocket.receive_data(early)
        self._task = asyncio.create_task(self._read())

    def message_started(self, opcode: int) -> None:
        self.messages.append((opcode, b""))

    def payload_received(self, data: memoryview) -> None:
        opcode, before = self.messages[-1]
        self.messages[-1] = (opcode, before + bytes(data))

    def message_ended(self) -> None:
        pass

    def pong_received(self, payload: bytes) -> None:
        pass

    def websocket_ended(self, error: ProtocolError | None) -> None:
        assert error is None
        self.ended = True

    def channel(self, number: int) -> bytes:
        """Return what a channel received after its port message."""
        payloads = [data[1:] for _, data in self.messages if data[0] == number]
        return b"".join(payloads[1:])

    async def send(self, channel: int, data: bytes) -> None:
        self.websocket.send(bytes([channel]) + data)
        await self.flush()

    async def flush(self) -> None:
        await self._loop.sock_sendall(self._sock, b"".join(self.websocket.data_to_send()))

    async def _read(self) -> None:
        while chunk := await self._loop.sock_recv(self._sock, 65536):
            self.websocket.receive_data(chunk)
        self.eof = True

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._sock.close()


@contextlib.asynccontextmanager
async def open_channels(
    runtime: RuntimeHarness, pod: Pod, *ports: int, protocol: str = "v4.channel.k8s.io"
) -> AsyncIterator[Channels]:
    url = await runtime.cri.port_forward(pod.sandbox, list(ports))
    headers = dict(WEBSOCKET_HEADERS)
    if protocol:
        headers["Sec-WebSocket-Protocol"] = protocol
    status, fields, rest, sock = await runtime.request(url, headers, "GET")
    assert status == 101
    assert fields.get("sec-websocket-protocol", "") == protocol
    client = Channels(sock, rest)
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize("protocol", ["v4.channel.k8s.io", ""])
async def test_port_messages_precede_data(runtime: RuntimeHarness, protocol: str) -> None:
    pod = await runtime.pod()
    async with open_channels(runtime, pod, 7000, 7011, protocol=protocol) as client:
        await client.send(0, b"hello")
        await until(lambda: client.channel(0) == b"hello")
        ports = [(7000).to_bytes(2, "little"), (7011).to_bytes(2, "little")]
        assert client.messages[:4] == [
            (Opcode.BINARY, b"\0" + ports[0]),
            (Opcode.BINARY, b"\1" + ports[0]),
            (Opcode.BINARY, b"\2" + ports[1]),
            (Opcode.BINARY, b"\3" + ports[1]),
        ]
        # Data of unknown channels is dropped.
        await client.send(9, b"?")
        await client.send(0, b"!")
        await until(lambda: client.channel(0) == b"hello!")


async def test_base64_messages_are_text(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod()
    async with open_channels(runtime, pod, 7000, protocol="v4.base64.channel.k8s.io") as client:
        client.websocket.send(b"0" + base64.b64encode(b"hello"), opcode=Opcode.TEXT)
        await client.flush()

        def echoed() -> bytes:
            texts = [data[1:] for _, data in client.messages[2:] if data[:1] == b"0"]
            return b"".join(base64.b64decode(text) for text in texts)

        await until(lambda: echoed() == b"hello")
        assert all(opcode == Opcode.TEXT for opcode, _ in client.messages)


async def test_websocket_closes_after_last_port_has_ended(runtime: RuntimeHarness) -> None:
    await runtime.control.request("streaming", drain_timeout_s=0.05)
    pod = await runtime.pod()
    async with open_channels(runtime, pod, 7002, 7002, 7999) as client:
        await until(lambda: client.channel(5))
        assert b"connection refused" in client.channel(5)
        await client.send(0, b"10\n")
        await until(lambda: client.channel(0) == bytes(range(10)))
        assert not client.ended
        size = 2_000_000
        await client.send(2, b"%d\n" % size)
        await until(lambda: client.eof, 30)
        assert client.ended
        assert client.websocket.close_code == 1000
        assert len(client.channel(2)) == size
