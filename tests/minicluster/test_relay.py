"""Upgraded connections through the API server: bytes, end, back-pressure, faults."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.minicluster.control_plane import ADMIN, Client, ControlPlane, pod, wait_until
from tests.minicluster.fake_kubelet import SWITCHING_PROTOCOLS, fake_kubelet
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
    writer.write(SWITCHING_PROTOCOLS)
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def open_tunnel(control_plane: ControlPlane, headers: dict[str, str] | None = None) -> Client:
    await control_plane.add("/api/v1/namespaces/default/pods", pod("p", nodeName="node-a"))
    client = await control_plane.client()
    method = "GET" if headers is WEBSOCKET else "POST"
    response = await client.send(method, PATH, headers or SPDY)
    assert response.status_code == 101, await client.chunk()
    return client


class Payload:
    """Collects the payload of a WebSocket."""

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


async def test_request_headers_reach_kubelet_without_credentials(
    control_plane: ControlPlane,
) -> None:
    async with fake_kubelet(control_plane, echo) as kubelet:
        client = await open_tunnel(
            control_plane,
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


async def test_ports_parameter_is_translated_for_kubelet(control_plane: ControlPlane) -> None:
    async with fake_kubelet(control_plane, echo) as kubelet:
        await control_plane.add("/api/v1/namespaces/default/pods", pod("p", nodeName="node-a"))
        client = await control_plane.client()
        await client.send("POST", PATH + "?ports=80,81&ports=82", SPDY)
    assert b"/portForward/default/p?port=80&port=81&port=82 " in kubelet.requests[0]


@pytest.mark.parametrize("size", [1, 16384, 300_000, 5_000_000])
async def test_bytes_are_relayed_unchanged(control_plane: ControlPlane, size: int) -> None:
    sent = bytes(range(256)) * (size // 256 + 1)
    async with fake_kubelet(control_plane, echo):
        client = await open_tunnel(control_plane)

        async def send() -> None:
            await client.connection.write(sent)

        sending = asyncio.ensure_future(send())
        assert await client.read_exactly(len(sent)) == sent
        await sending
        client.close()
        await wait_until(lambda: _has_no_tunnels(control_plane))


async def _has_no_tunnels(control_plane: ControlPlane) -> bool:
    return not control_plane.server.long_running.tunnels


async def test_kubelet_end_closes_client(control_plane: ControlPlane) -> None:
    async def send_bye(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCHING_PROTOCOLS + b"bye")
        await writer.drain()

    async with fake_kubelet(control_plane, send_bye):
        client = await open_tunnel(control_plane)
        assert await client.read_to_end() == b"bye"
        await wait_until(lambda: _has_no_tunnels(control_plane))


async def test_client_end_closes_kubelet(control_plane: ControlPlane) -> None:
    ended = asyncio.Event()

    async def wait(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCHING_PROTOCOLS)
        with contextlib.suppress(OSError):
            await reader.read()
        ended.set()

    async with fake_kubelet(control_plane, wait):
        client = await open_tunnel(control_plane)
        client.close()
        async with asyncio.timeout(60):
            await ended.wait()


@pytest.mark.parametrize("headers", [SPDY, WEBSOCKET], ids=["spdy", "websocket"])
async def test_client_that_does_not_read_blocks_kubelet(
    control_plane: ControlPlane, headers: dict[str, str]
) -> None:
    written = 0

    async def flood(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(SWITCHING_PROTOCOLS)
        while True:
            writer.write(bytes(1 << 20))
            await writer.drain()
            written += 1 << 20

    async with fake_kubelet(control_plane, flood):
        client = await open_tunnel(control_plane, headers)
        last_written = -1

        async def is_blocked() -> bool:
            nonlocal last_written
            await asyncio.sleep(0.3)
            is_same, last_written = written == last_written, written
            return is_same

        await wait_until(is_blocked)
        # At most the kernel's buffers of four sockets.
        assert 0 < written < 64 << 20
        client.connection.abort()


async def test_stall_and_resume_lose_no_bytes(control_plane: ControlPlane) -> None:
    async with fake_kubelet(control_plane, echo):
        client = await open_tunnel(control_plane)
        control_plane.server.stall("tunnels")
        await client.connection.write(b"delayed!!")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.read_exactly(1)
        control_plane.server.stall("")
        assert await client.read_exactly(9) == b"delayed!!"


async def test_delay_keeps_order(control_plane: ControlPlane) -> None:
    async with fake_kubelet(control_plane, echo):
        client = await open_tunnel(control_plane)
        control_plane.server.long_running.delay(0.05)
        loop = asyncio.get_running_loop()
        before = loop.time()
        await client.connection.write(b"one")
        await client.connection.write(b"two")
        assert await client.read_exactly(6) == b"onetwo"
        assert loop.time() - before >= 0.1  # once in each direction
        control_plane.server.long_running.delay(0)
        await client.connection.write(b"three")
        assert await client.read_exactly(5) == b"three"


async def test_cut_resets_tunnels(control_plane: ControlPlane) -> None:
    async with fake_kubelet(control_plane, echo):
        client = await open_tunnel(control_plane)
        await client.connection.write(b"x")
        await client.read_exactly(1)
        assert control_plane.server.cut("tunnels") == 1
        with pytest.raises(ConnectionResetError):
            await client.read_exactly(1)
        await wait_until(lambda: _has_no_tunnels(control_plane))


async def test_refusal_ends_after_given_times(control_plane: ControlPlane) -> None:
    async with fake_kubelet(control_plane, echo):
        await control_plane.add("/api/v1/namespaces/default/pods", pod("p", nodeName="node-a"))
        control_plane.server.faults.set_refusal({"status": 503, "times": 1, "message": "not now"})
        response = await control_plane.request("POST", PATH, SPDY)
        assert (response.status, response.json["message"]) == (503, "not now")
        client = await control_plane.client()
        assert (await client.send("POST", PATH, SPDY)).status_code == 101


async def test_disabled_transport_is_rejected(control_plane: ControlPlane) -> None:
    async with fake_kubelet(control_plane, echo):
        await control_plane.add("/api/v1/namespaces/default/pods", pod("p", nodeName="node-a"))
        control_plane.server.faults.set_transports({"disable": ["spdy"], "status": 403})
        assert (await control_plane.request("POST", PATH, SPDY)).status == 403
        client = await control_plane.client()
        assert (await client.send("GET", PATH, WEBSOCKET)).status_code == 101


@pytest.mark.parametrize("go_framing", [False, True])
async def test_websocket_relays_spdy_stream(
    control_plane: ControlPlane, *, go_framing: bool
) -> None:
    control_plane.server.faults.go_framing = go_framing
    # A SYN_STREAM and three DATA frames, one of them big.
    frame = b"\x80\x03\x00\x01\x00\x00\x00\x0a" + bytes(10)
    data = [b"\x00\x00\x00\x01\x00" + n.to_bytes(3, "big") + bytes(n) for n in (0, 5, 100_000)]
    sent = frame + b"".join(data)
    async with fake_kubelet(control_plane, echo) as kubelet:
        client = await open_tunnel(control_plane, WEBSOCKET)
        request = kubelet.requests[0].decode().lower()
        payload = Payload()
        socket = WebSocketConnection(Side.CLIENT, payload)
        for start in range(0, len(sent), 999):
            socket.send(sent[start : start + 999])
        await client.connection.write(b"".join(socket.data_to_send()))
        async with asyncio.timeout(60):
            while len(payload.data) < len(sent):
                socket.receive_data(await client.connection.read())
        assert bytes(payload.data) == sent
        if go_framing:
            assert payload.messages > 8
        socket.close()
        await client.connection.write(b"".join(socket.data_to_send()))
        while chunk := await client.connection.read():
            socket.receive_data(chunk)
        assert socket.ended
        assert socket.close_code == 1000
    assert request.startswith("get /portforward/default/p http/1.1")
    assert "upgrade: spdy/3.1" in request
    assert "x-stream-protocol-version: portforward.k8s.io" in request
    assert "sec-websocket" not in request


async def test_websocket_closes_normally_when_kubelet_ends(control_plane: ControlPlane) -> None:
    async def send_bye(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCHING_PROTOCOLS + b"bye")
        await writer.drain()

    async with fake_kubelet(control_plane, send_bye):
        client = await open_tunnel(control_plane, WEBSOCKET)
        payload = Payload()
        socket = WebSocketConnection(Side.CLIENT, payload)
        socket.receive_data(await client.read_to_end())
        assert bytes(payload.data) == b"bye"
        assert socket.close_code == 1000
        assert socket.error is None


async def test_text_message_ends_tunnel(control_plane: ControlPlane) -> None:
    async with fake_kubelet(control_plane, echo):
        client = await open_tunnel(control_plane, WEBSOCKET)
        socket = WebSocketConnection(Side.CLIENT, Payload())
        socket.send(b"hello", opcode=1)
        await client.connection.write(b"".join(socket.data_to_send()))
        await client.read_to_end()
        await wait_until(lambda: _has_no_tunnels(control_plane))


def test_splitter_splits_at_spdy_fields() -> None:
    frame = b"\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01"
    data = b"\x00\x00\x00\x01\x00\x00\x00\x02hi"
    whole = [b"\x80\x03", b"\x00\x06", b"\x00\x00\x00\x04", b"\x00\x00\x00\x01"]
    whole += [b"\x00\x00\x00\x01", b"\x00\x00\x00\x02", b"hi"]
    assert list(SpdyFieldSplitter().split(frame + data)) == whole
    fields = SpdyFieldSplitter()
    pieces = [piece for byte in frame + data for piece in fields.split(bytes([byte]))]
    assert b"".join(pieces) == frame + data
