from __future__ import annotations

import asyncio

from tests.support.memory_stream import MemoryStream, memory_pair
from tests.support.waiting import until
from tests.transport.handlers import Listener
from tui_forward.errors import TransportError
from tui_forward.transport.stream_transport import StreamTransport


class RecordingProtocol(asyncio.Protocol):
    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.writing = ""
        self.lost: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received.append(data)

    def pause_writing(self) -> None:
        self.writing += "paused "

    def resume_writing(self) -> None:
        self.writing += "resumed "

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


def connected() -> tuple[StreamTransport, RecordingProtocol, MemoryStream]:
    near, far = memory_pair()
    protocol = RecordingProtocol()
    transport = StreamTransport(near, protocol)
    assert protocol.transport is transport
    return transport, protocol, far


async def test_bytes_are_copied_and_written() -> None:
    transport, protocol, far = connected()
    peer = Listener(far)
    transport.write(b"hello ")
    transport.writelines([b"wor", b"ld"])
    await peer.expect(b"hello world")
    far.write(b"answer")
    await until(lambda: protocol.received)
    assert protocol.received == [b"answer"]
    assert type(protocol.received[0]) is bytes
    transport.abort()
    await until(lambda: protocol.lost)


async def test_paused_reading_delivers_nothing() -> None:
    transport, protocol, far = connected()
    transport.pause_reading()
    assert not transport.is_reading()
    far.write(b"late")
    await asyncio.sleep(0.01)
    assert protocol.received == []
    transport.resume_reading()
    await until(lambda: protocol.received)
    transport.abort()
    await until(lambda: protocol.lost)


async def test_close_is_reported_without_error() -> None:
    transport, protocol, _ = connected()
    transport.close()
    assert transport.is_closing()
    await until(lambda: protocol.lost)
    assert protocol.lost == [None]


async def test_broken_stream_is_reported_as_connection_error() -> None:
    transport, protocol, far = connected()
    far.abort()
    await until(lambda: protocol.lost)
    (error,) = protocol.lost
    assert isinstance(error, ConnectionError)
    assert isinstance(error.__cause__, TransportError)
    assert transport.is_closing()


async def test_back_pressure_is_passed_on() -> None:
    transport, protocol, _ = connected()
    transport.writing_paused()
    transport.writing_resumed()
    assert protocol.writing == "paused resumed "
    transport.abort()
    await until(lambda: protocol.lost)
