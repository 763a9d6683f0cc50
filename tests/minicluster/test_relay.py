"""Upgraded connections through the API server: bytes, ends, back-pressure, faults."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.minicluster.control_plane import ADMIN, Client, ControlPlane, pod, until
from tests.minicluster.fake_kubelet import SWITCHED, fake_kubelet
from tui_forward.minicluster.apiserver.websocket_tunnel import SpdyFieldSplitter
from tui_forward.protocol.spdy.connection import Side
from tui_forward.protocol.websocket import WebSocketConnection

PATH = "/api/v1/namespaces/default/pods/p/portforward"
SPDY = {
    **ADMIN,
    "Connection": "Upgrade",
    "Upgrade": "SPDY/3.1",
    "X-Stream-Protocol-Version": "portforward.k8s.io",
}
WEBSOCKET = {
    **ADMIN,
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "SPDY/3.1+portforward.k8s.io",
}


async def echo(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(SWITCHED)
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def upgraded(plane: ControlPlane, headers: dict[str, str] | None = None) -> Client:
    await plane.add("/api/v1/namespaces/default/pods", pod("p", nodeName="node-a"))
    client = await plane.client()
    method = "GET" if headers is WEBSOCKET else "POST"
    response = await client.send(method, PATH, headers or SPDY)
    assert response.status_code == 101, await client.chunk()
    return client


class Payload:
    """Collects what a WebSocket carries."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.messages = 0
        self.ended = False

    def message_started(self, opcode: int) -> None:
        self.messages += 1

    def payload_received(self, data: memoryview) -> None:
        self.data += data

    def message_ended(self) -> None:
        pass

    def pong_received(self, payload: bytes) -> None:
        pass

    def websocket_ended(self, error: object) -> None:
        self.ended = True
        self.error = error


async def test_passes_the_request_on_and_the_answer_back(plane: ControlPlane) -> None:
    async with fake_kubelet(plane, echo) as kubelet:
        client = await upgraded(
            plane,
            {
                **SPDY,
                "User-Agent": "test",
                "Impersonate-User": "boss",
                "Impersonate-Group": "system:masters",
            },
        )
        head = kubelet.requests[0].decode()
    assert head.startswith("POST /portForward/default/p HTTP/1.1\r\n")
    assert "X-Forwarded-For: 127.0.0.1" in head
    assert "User-Agent: test" in head
    assert "admin-token" not in head
    assert "Impersonate" not in head
    assert kubelet.peer == "kube-apiserver-kubelet-client"
    client.close()


async def test_ports_become_port(plane: ControlPlane) -> None:
    async with fake_kubelet(plane, echo) as kubelet:
        await plane.add("/api/v1/namespaces/default/pods", pod("p", nodeName="node-a"))
        client = await plane.client()
        await client.send("POST", PATH + "?ports=80,81&ports=82", SPDY)
    assert b"/portForward/default/p?port=80&port=81&port=82 " in kubelet.requests[0]


@pytest.mark.parametrize("size", [1, 16384, 300_000, 5_000_000])
async def test_bytes_go_both_ways_unchanged(plane: ControlPlane, size: int) -> None:
    sent = bytes(range(256)) * (size // 256 + 1)
    async with fake_kubelet(plane, echo):
        client = await upgraded(plane)

        async def send() -> None:
            await client.wire.write(sent)

        sending = asyncio.ensure_future(send())
        assert await client.exactly(len(sent)) == sent
        await sending
        client.close()
        await until(lambda: _none(plane))


async def _none(plane: ControlPlane) -> bool:
    return not plane.server.long_running.tunnels


async def test_the_end_of_the_kubelet_ends_the_client(plane: ControlPlane) -> None:
    async def bye(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCHED + b"bye")
        await writer.drain()

    async with fake_kubelet(plane, bye):
        client = await upgraded(plane)
        assert await client.rest() == b"bye"
        await until(lambda: _none(plane))


async def test_the_end_of_the_client_ends_the_kubelet(plane: ControlPlane) -> None:
    ended = asyncio.Event()

    async def wait(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCHED)
        with contextlib.suppress(OSError):
            await reader.read()
        ended.set()

    async with fake_kubelet(plane, wait):
        client = await upgraded(plane)
        client.close()
        async with asyncio.timeout(5):
            await ended.wait()


@pytest.mark.parametrize("headers", [SPDY, WEBSOCKET], ids=["spdy", "websocket"])
async def test_a_client_that_does_not_read_stops_the_kubelet(
    plane: ControlPlane, headers: dict[str, str]
) -> None:
    written = 0

    async def flood(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(SWITCHED)
        while True:
            writer.write(bytes(1 << 20))
            await writer.drain()
            written += 1 << 20

    async with fake_kubelet(plane, flood):
        client = await upgraded(plane, headers)
        seen = -1

        async def still() -> bool:
            nonlocal seen
            await asyncio.sleep(0.3)
            same, seen = written == seen, written
            return same

        await until(still)
        # What the kernel's buffers between four sockets hold, and no more.
        assert 0 < written < 64 << 20
        client.wire.abort()


async def test_stall_then_resume_loses_nothing(plane: ControlPlane) -> None:
    async with fake_kubelet(plane, echo):
        client = await upgraded(plane)
        plane.server.stall("tunnels")
        await client.wire.write(b"held back")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.exactly(1)
        plane.server.stall("")
        assert await client.exactly(9) == b"held back"


async def test_delay_delivers_later_and_in_order(plane: ControlPlane) -> None:
    async with fake_kubelet(plane, echo):
        client = await upgraded(plane)
        plane.server.long_running.delay(0.05)
        loop = asyncio.get_running_loop()
        before = loop.time()
        await client.wire.write(b"one")
        await client.wire.write(b"two")
        assert await client.exactly(6) == b"onetwo"
        assert loop.time() - before >= 0.1  # once in each direction
        plane.server.long_running.delay(0)
        await client.wire.write(b"three")
        assert await client.exactly(5) == b"three"


async def test_cut_resets_tunnels(plane: ControlPlane) -> None:
    async with fake_kubelet(plane, echo):
        client = await upgraded(plane)
        await client.wire.write(b"x")
        await client.exactly(1)
        assert plane.server.cut("tunnels") == 1
        with pytest.raises(ConnectionResetError):
            await client.exactly(1)
        await until(lambda: _none(plane))


async def test_refuse_so_many_times(plane: ControlPlane) -> None:
    async with fake_kubelet(plane, echo):
        await plane.add("/api/v1/namespaces/default/pods", pod("p", nodeName="node-a"))
        plane.server.faults.set_refusal({"status": 503, "times": 1, "message": "not now"})
        answer = await plane.ask("POST", PATH, SPDY)
        assert (answer.status, answer.json["message"]) == (503, "not now")
        client = await plane.client()
        assert (await client.send("POST", PATH, SPDY)).status_code == 101


async def test_transports_can_be_switched_off(plane: ControlPlane) -> None:
    async with fake_kubelet(plane, echo):
        await plane.add("/api/v1/namespaces/default/pods", pod("p", nodeName="node-a"))
        plane.server.faults.set_transports({"disable": ["spdy"], "status": 403})
        assert (await plane.ask("POST", PATH, SPDY)).status == 403
        client = await plane.client()
        assert (await client.send("GET", PATH, WEBSOCKET)).status_code == 101


@pytest.mark.parametrize("go_framing", [False, True])
async def test_websocket_carries_the_stream(plane: ControlPlane, *, go_framing: bool) -> None:
    plane.server.faults.go_framing = go_framing
    # A SYN_STREAM and three DATA frames, one of them big.
    frame = b"\x80\x03\x00\x01\x00\x00\x00\x0a" + bytes(10)
    data = [b"\x00\x00\x00\x01\x00" + n.to_bytes(3, "big") + bytes(n) for n in (0, 5, 100_000)]
    sent = frame + b"".join(data)
    async with fake_kubelet(plane, echo) as kubelet:
        client = await upgraded(plane, WEBSOCKET)
        request = kubelet.requests[0].decode().lower()
        payload = Payload()
        socket = WebSocketConnection(Side.CLIENT, payload)
        for start in range(0, len(sent), 999):
            socket.send(sent[start : start + 999])
        await client.wire.write(b"".join(socket.data_to_send()))
        async with asyncio.timeout(5):
            while len(payload.data) < len(sent):
                socket.receive_data(await client.wire.read())
        assert bytes(payload.data) == sent
        if go_framing:
            assert payload.messages > 8
        socket.close()
        await client.wire.write(b"".join(socket.data_to_send()))
        while chunk := await client.wire.read():
            socket.receive_data(chunk)
        assert socket.ended
        assert socket.close_code == 1000
    assert request.startswith("post /portforward/default/p http/1.1")
    assert "upgrade: spdy/3.1" in request
    assert "x-stream-protocol-version: portforward.k8s.io" in request
    assert "sec-websocket" not in request


async def test_websocket_says_goodbye_when_the_kubelet_ends(plane: ControlPlane) -> None:
    async def bye(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCHED + b"bye")
        await writer.drain()

    async with fake_kubelet(plane, bye):
        client = await upgraded(plane, WEBSOCKET)
        payload = Payload()
        socket = WebSocketConnection(Side.CLIENT, payload)
        socket.receive_data(await client.rest())
        assert bytes(payload.data) == b"bye"
        assert socket.close_code == 1000
        assert socket.error is None


async def test_a_text_message_ends_the_tunnel(plane: ControlPlane) -> None:
    async with fake_kubelet(plane, echo):
        client = await upgraded(plane, WEBSOCKET)
        socket = WebSocketConnection(Side.CLIENT, Payload())
        socket.send(b"hello", opcode=1)
        await client.wire.write(b"".join(socket.data_to_send()))
        await client.rest()
        await until(lambda: _none(plane))


def test_fields_are_cut_as_go_writes_them() -> None:
    frame = b"\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01"
    data = b"\x00\x00\x00\x01\x00\x00\x00\x02hi"
    whole = [b"\x80\x03", b"\x00\x06", b"\x00\x00\x00\x04", b"\x00\x00\x00\x01"]
    whole += [b"\x00\x00\x00\x01", b"\x00\x00\x00\x02", b"hi"]
    assert list(SpdyFieldSplitter().split(frame + data)) == whole
    fields = SpdyFieldSplitter()
    pieces = [piece for byte in frame + data for piece in fields.split(bytes([byte]))]
    assert b"".join(pieces) == frame + data
