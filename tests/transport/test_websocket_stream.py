from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.faulty_stream import FaultyStream
from tests.support.memory_stream import MemoryStream, memory_pair
from tests.support.waiting import until
from tests.transport.handlers import Listener
from tui_forward.model import Reason, ReasonCode
from tui_forward.protocol.spdy import Side
from tui_forward.protocol.websocket import Opcode, WebSocketConnection
from tui_forward.transport.websocket_stream import WebSocketStream


class Server:
    """Server side of a WebSocket."""

    def __init__(self, stream: MemoryStream) -> None:
        self.wire = Listener(stream)
        self.stream = stream
        self.received = bytearray()
        self.messages = 0
        self.pongs: list[bytes] = []
        self.over = False
        self.websocket = WebSocketConnection(Side.SERVER, self)
        self.wire.data_received = self.data_received  # type: ignore[method-assign]

    def data_received(self, data: memoryview) -> None:
        self.websocket.receive_data(data)

    def flush(self) -> None:
        self.stream.writelines(self.websocket.data_to_send())

    def message_started(self, opcode: int) -> None:
        self.messages += 1

    def payload_received(self, data: memoryview) -> None:
        self.received += data

    def message_ended(self) -> None: ...

    def pong_received(self, payload: bytes) -> None:
        self.pongs.append(payload)

    def websocket_ended(self, error: object) -> None:
        self.over = True


def rig(leftover: bytes = b"") -> tuple[WebSocketStream, Server, FaultyStream]:
    ours, theirs = memory_pair()
    wire = FaultyStream(ours)
    return WebSocketStream(wire, leftover), Server(theirs), wire


async def test_bytes_are_sent_and_received() -> None:
    stream, server, _ = rig()
    listener = Listener(stream)
    data = random.Random(1).randbytes(100_000)
    stream.write(data[:10])
    stream.writelines([data[10:18], data[18:]])
    await until(lambda: server.received == data)
    assert server.messages == 2
    server.websocket.send_fragmented([data[:4], data[4:8], data[8:]])
    server.flush()
    await listener.expect(data)
    stream.close()
    await until(lambda: server.over)
    assert server.websocket.close_code == 1000
    assert await listener.end() is None


async def test_ping_gets_a_pong() -> None:
    stream, server, _ = rig()
    Listener(stream)
    server.websocket.ping(b"still there?")
    server.flush()
    await until(lambda: server.pongs == [b"still there?"])
    stream.abort()


async def test_leftover_of_the_handshake_is_delivered_first() -> None:
    other = WebSocketConnection(Side.SERVER, Server(memory_pair()[0]))
    other.send(b"first")
    stream, server, _ = rig(b"".join(bytes(part) for part in other.data_to_send()))
    server.websocket.send(b" second")
    server.flush()
    listener = Listener(stream)
    await listener.expect(b"first second")
    stream.abort()


async def test_pausing_within_a_chunk_keeps_the_rest() -> None:
    stream, server, _ = rig()
    listener = Listener(stream, read=False)
    listener.pause_after = 1
    for piece in (b"a", b"b", b"c"):
        server.websocket.send(piece)
    server.flush()
    stream.resume_reading()
    await listener.expect(b"a")
    stream.resume_reading()
    await listener.expect(b"ab")
    listener.pause_after = 0
    stream.resume_reading()
    await listener.expect(b"abc")
    stream.abort()


async def test_normal_close_is_an_end_of_file() -> None:
    stream, server, _ = rig()
    listener = Listener(stream)
    server.websocket.close()
    server.flush()
    assert await listener.end() is None


@pytest.mark.parametrize("how", ["code", "text", "noise", "cut"])
async def test_abnormal_close_is_an_error(how: str) -> None:
    stream, server, _ = rig()
    listener = Listener(stream)
    if how == "code":
        server.websocket.close(1002, "on fire")
        server.flush()
    elif how == "text":
        server.websocket.send(b"text", opcode=Opcode.TEXT)
        server.flush()
    elif how == "noise":
        server.stream.write(b"\xff" * 20)
    else:
        server.stream.write(b"\x82\x7e\x10")
        server.stream.close()
    error = await listener.end()
    assert error is not None
    assert error.message.startswith("the tunnel was lost")
    assert len(listener.ends) == 1


async def test_back_pressure_is_passed_on() -> None:
    stream, server, wire = rig()
    listener = Listener(stream)
    server.stream.pause_reading()
    while not listener.paused:
        stream.write(bytes(10_000))
    assert stream.write_buffer_size
    server.stream.resume_reading()
    await until(lambda: listener.resumed)
    wire.reset()
    error = await listener.end()
    assert error is not None
    assert "reset by peer" in error.message


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=10), st.integers(1, 50))
async def test_messages_may_arrive_in_any_chunking(pieces: list[bytes], size: int) -> None:
    stream, server, wire = rig()
    wire.split(size)
    listener = Listener(stream)
    server.websocket.send_fragmented(pieces)
    server.flush()
    await listener.expect(b"".join(pieces))
    stream.abort()


async def test_close_by_a_server_that_leaves_is_a_loss() -> None:
    stream, server, _ = rig()
    listener = Listener(stream)
    server.websocket.close(1001, "shutting down")
    server.flush()
    error = await listener.end()
    assert error is not None
    assert error.reason == Reason(
        code=ReasonCode.TUNNEL_CLOSED_BY_SERVER, status="1001", detail="shutting down"
    )
