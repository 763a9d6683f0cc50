"""Every recorded connection of a real client and a real chain, read from both sides."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.protocol.recording_receivers import PairLog, ServedPair, ServerLog, TunnelLog, chunked
from tests.protocol.recordings import CHANNELS, RECORDINGS, SPDY, WEBSOCKET, Recording
from tests.protocol.spdy.open_streams import stream_count
from tui_forward.errors import ProtocolError
from tui_forward.model import ReasonCode
from tui_forward.protocol.buffers import Buffer
from tui_forward.protocol.channels import ChannelsClient
from tui_forward.protocol.channels_server import ChannelsServer
from tui_forward.protocol.portforward import TunnelClient
from tui_forward.protocol.portforward_server import TunnelServer
from tui_forward.protocol.spdy import Side
from tui_forward.protocol.upgrade import CHANNEL_PROTOCOL, ClientUpgrade, UpgradeKind
from tui_forward.protocol.upgrade_server import (
    RequestReader,
    is_spdy_upgrade,
    is_tunnel_protocol,
    is_websocket_upgrade,
    negotiate,
    websocket_key_is_valid,
)
from tui_forward.protocol.websocket import WebSocketConnection

CHUNKINGS = ("as seen", "bytewise", "whole")

each_chunking = pytest.mark.parametrize("chunking", CHUNKINGS)


def each(recordings: list[Recording]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recording", recordings, ids=lambda recording: recording.name)


def cut(recording: Recording, side: str, chunking: str) -> Iterable[bytes]:
    seen = recording.body(side)
    if chunking == "as seen":
        return seen
    body = b"".join(seen)
    if chunking == "bytewise":
        return chunked(body, [1] * 3000)
    return [body]


def check(recording: Recording, data: bytearray, expected: bytes) -> None:
    if recording.case == "http":
        assert data.startswith(expected)
        if expected.startswith(b"HTTP"):
            head, _, body = bytes(data).partition(b"\r\n\r\n")
            assert f"Content-Length: {len(body)}".encode() in head
    else:
        assert data == expected


def check_pair(recording: Recording, pair: PairLog) -> None:
    check(recording, pair.data, recording.answered)
    assert pair.events[0] == "accepted"
    assert pair.events[-1] == "closed"
    expected = {"refused": ReasonCode.PORT_REFUSED, "reset": ReasonCode.PORT_RESET}
    assert (pair.failure.code if pair.failure else None) == expected.get(recording.case)
    if pair.failure is not None:
        assert f"error forwarding port {pair.failure.port} to pod" in pair.failure.text


class Unframed:
    """Hands a WebSocket's payload to a tunnel."""

    def __init__(self, tunnel: TunnelClient | TunnelServer) -> None:
        self._tunnel = tunnel
        self.ended = False

    def message_started(self, opcode: int) -> None: ...

    def payload_received(self, data: memoryview) -> None:
        self._tunnel.receive_data(data)

    def message_ended(self) -> None: ...

    def pong_received(self, payload: bytes) -> None: ...

    def websocket_ended(self, error: ProtocolError | None) -> None:
        self._tunnel.receive_eof()
        self.ended = True


def port_of(recording: Recording) -> int:
    """The port the recorded client asked for, as the server end reads it."""
    handler = ServerLog()
    tunnel = TunnelServer(handler)
    end: TunnelServer | WebSocketConnection = tunnel
    if recording in WEBSOCKET:
        end = WebSocketConnection(Side.SERVER, Unframed(tunnel))
    for chunk in recording.body("client"):
        end.receive_data(chunk)
    return handler.pairs[0].port


@each_chunking
@each(SPDY)
def test_spdy_client_is_understood(recording: Recording, chunking: str) -> None:
    handler = ServerLog()
    server = TunnelServer(handler)
    for chunk in cut(recording, "client", chunking):
        server.receive_data(chunk)
    server.receive_eof()
    assert server.error is None
    assert len(handler.served) == 1
    check(recording, handler.served[0].data, recording.sent)


@each_chunking
@each(SPDY)
def test_spdy_server_is_understood(recording: Recording, chunking: str) -> None:
    pair = PairLog()
    client = TunnelClient(TunnelLog())
    opened = client.open(port_of(recording), pair)
    if recording.case == "late":
        opened.send_eof()
    for chunk in cut(recording, "server", chunking):
        client.receive_data(chunk)
    check_pair(recording, pair)
    client.receive_eof()
    assert client.error is None
    assert stream_count(client.spdy) == 0


@each_chunking
@each(WEBSOCKET)
def test_websocket_client_is_understood(recording: Recording, chunking: str) -> None:
    handler = ServerLog()
    websocket = WebSocketConnection(Side.SERVER, Unframed(TunnelServer(handler)), binary_only=True)
    for chunk in cut(recording, "client", chunking):
        websocket.receive_data(chunk)
    websocket.receive_eof()
    assert websocket.error is None
    assert len(handler.served) == 1
    check(recording, handler.served[0].data, recording.sent)


@each_chunking
@each(WEBSOCKET)
def test_websocket_server_is_understood(recording: Recording, chunking: str) -> None:
    pair = PairLog()
    client = TunnelClient(TunnelLog())
    client.open(port_of(recording), pair)
    websocket = WebSocketConnection(Side.CLIENT, Unframed(client), binary_only=True)
    for chunk in cut(recording, "server", chunking):
        websocket.receive_data(chunk)
    check_pair(recording, pair)
    websocket.receive_eof()
    assert websocket.error is None
    assert client.error is None


def ports_of(recording: Recording) -> list[int]:
    target = recording.head("client").split()[1].decode()
    return [int(port) for port in target.partition("?ports=")[2].split(",")]


@each_chunking
@each(CHANNELS)
def test_channels_client_is_understood(recording: Recording, chunking: str) -> None:
    server = ChannelsServer(ports_of(recording))
    server.channels[0].receiver = served = ServedPair()
    for chunk in cut(recording, "client", chunking):
        server.receive_data(chunk)
    server.receive_eof()
    assert server.error is None
    # The recorded client was too late to send anything to a port that refuses.
    check(recording, served.data, b"" if recording.case == "refused" else recording.sent)
    assert served.events == ["lost"]


@each_chunking
@each(CHANNELS)
def test_channels_server_is_understood(recording: Recording, chunking: str) -> None:
    pair = PairLog()
    handler = TunnelLog()
    client = ChannelsClient(ports_of(recording)[0], pair, handler)
    for chunk in cut(recording, "server", chunking):
        client.receive_data(chunk)
    client.receive_eof()
    check_pair(recording, pair)
    assert handler.ends == [None]


@each(RECORDINGS)
def test_request_is_understood(recording: Recording) -> None:
    reader = RequestReader()
    request = None
    for chunk in chunked(recording.all("client"), [1] * len(recording.head("client"))):
        assert request is None
        request = reader.receive_data(chunk)
        if request is not None:
            break
    assert request is not None
    if recording in SPDY:
        assert request.method == "POST"
        assert is_spdy_upgrade(request.headers)
        offered = request.values("X-Stream-Protocol-Version")
        assert negotiate(offered, ["portforward.k8s.io"]) == "portforward.k8s.io"
        return
    assert request.method == "GET"
    assert is_websocket_upgrade(request.headers)
    assert websocket_key_is_valid(request.headers)
    offered = request.values("Sec-WebSocket-Protocol")
    if recording in WEBSOCKET:
        assert [protocol for protocol in offered if is_tunnel_protocol(protocol)] == offered
    else:
        assert negotiate(offered, [CHANNEL_PROTOCOL]) == CHANNEL_PROTOCOL


@each(RECORDINGS)
def test_upgrade_answer_is_understood(recording: Recording) -> None:
    request = RequestReader().receive_data(recording.head("client"))
    assert request is not None
    kind = UpgradeKind(recording.client.rpartition("-")[2])
    upgrade = ClientUpgrade(
        kind,
        request.target.partition("?")[0],
        authority=request.header("Host"),
        ports=ports_of(recording) if kind is UpgradeKind.CHANNELS else (),
        websocket_key=request.header("Sec-WebSocket-Key") or None,
    )
    line = upgrade.request().partition(b"\r\n")[0]
    assert line == recording.head("client").partition(b"\r\n")[0]
    upgrade.receive_data(recording.all("server"))
    assert upgrade.done
    assert upgrade.leftover == b"".join(recording.body("server"))


def test_every_client_and_case_is_recorded() -> None:
    assert len(SPDY) == 3 * 7
    assert len(WEBSOCKET) == 7
    assert len(CHANNELS) == 6


def test_views_are_not_used_after_the_call() -> None:
    """A chunk's memory may be reused as soon as `receive_data` returns."""
    recording = next(one for one in SPDY if one.name == "kubectl-1.33-spdy.download")
    pair = PairLog()
    client = TunnelClient(TunnelLog())
    client.open(port_of(recording), pair)
    buffer = bytearray(777)
    for chunk in chunked(b"".join(recording.body("server")), [777] * 1000):
        buffer[: len(chunk)] = chunk
        window: Buffer = memoryview(buffer)[: len(chunk)]
        client.receive_data(window)
        buffer[:] = b"\xff" * len(buffer)
    assert pair.data == recording.answered
