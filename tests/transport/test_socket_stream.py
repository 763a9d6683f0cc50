from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios

from tests.support.waiting import until
from tests.transport.handlers import Listener, echo_server
from tui_forward.model import ReasonCode
from tui_forward.transport.socket_stream import READ_SIZE, SocketStream
from tui_forward.transport.tcp import dial_tcp


def pair(write_limit: int = 256 * 1024) -> tuple[SocketStream, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return SocketStream(ours, write_limit=write_limit), theirs


async def test_bytes_are_sent_and_received() -> None:
    async with echo_server() as server:
        stream = SocketStream(await dial_tcp("127.0.0.1", server.port, label="it"))
        listener = Listener(stream)
        stream.write(b"hello ")
        stream.writelines([b"wor", memoryview(b"ld"), bytearray(b"!")])
        await listener.expect(b"hello world!")
        stream.close()
        assert await listener.end() is None
        await until(lambda: server.connections[0].eof)


async def test_reading_starts_paused() -> None:
    stream, other = pair()
    other.send(b"early")
    listener = Listener(stream, read=False)
    stream.resume_reading()
    stream.resume_reading()
    await listener.expect(b"early")
    stream.pause_reading()
    other.send(b"late")
    stream.resume_reading()
    await listener.expect(b"earlylate")
    other.close()
    assert await listener.end() is None


async def test_unsent_bytes_are_copied_and_queued() -> None:
    stream, other = pair(write_limit=10_000)
    listener = Listener(stream)
    buffer = bytearray(b"a" * 100_000)
    stream.write(memoryview(buffer))
    buffer[:] = b"b" * 100_000
    assert listener.paused == 1
    assert stream.write_buffer_size > 10_000
    stream.write(b"c" * 10)
    stream.close()
    got = bytearray()

    def read() -> bool:
        try:
            piece = other.recv(65536)
        except BlockingIOError:
            return False
        got.extend(piece)
        return not piece

    await until(read)
    assert bytes(got) == b"a" * 100_000 + b"c" * 10
    assert await listener.end() is None
    assert stream.write_buffer_size == 0
    other.close()


async def test_writing_resumes_after_the_queue_is_sent() -> None:
    stream, other = pair(write_limit=1000)
    listener = Listener(stream)
    stream.write(bytes(50_000))
    assert (listener.paused, listener.resumed) == (1, 0)

    def read() -> int:
        with contextlib.suppress(BlockingIOError):
            other.recv(65536)
        return listener.resumed

    await until(read)
    stream.abort()
    stream.write(b"late")
    assert await listener.end() is None
    other.close()


async def test_reset_is_reported_as_error() -> None:
    async with echo_server() as server:
        stream = SocketStream(await dial_tcp("127.0.0.1", server.port, label="it"))
        listener = Listener(stream)
        stream.write(b"x")
        await listener.expect(b"x")
        there = server.connections[0].transport
        there.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        there.abort()
        error = await listener.end()
        assert error is not None
        assert "Connection reset by peer" in error.message
        assert len(listener.ends) == 1


async def test_handler_set_after_the_end_is_closed() -> None:
    stream, other = pair()
    first = Listener(stream)
    other.close()
    assert await first.end() is None
    second = Listener(stream)
    assert await second.end() is None
    assert len(first.ends) == 1


async def test_data_before_a_reset_is_received_then_the_reset() -> None:
    size = 3 * READ_SIZE
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * size)
        stream = SocketStream(ours)
        listener = Listener(stream, read=False)
        theirs.sendall(bytes(size))
        await until(lambda: unread(ours) == size)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        stream.resume_reading()
        error = await listener.end()
        assert error is not None
        assert error.reason.code is ReasonCode.NETWORK_RESET
        assert len(listener.received) == size


def unread(sock: socket.socket) -> int:
    """Return how many received bytes wait in the kernel."""
    found = fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4))
    return int(struct.unpack("i", found)[0])
