from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
from pathlib import Path
from typing import cast

import pytest

from tests.kube.certificates import Authority, server_context
from tests.support.faulty_stream import FaultyStream
from tests.support.memory_stream import memory_pair
from tests.support.waiting import until
from tests.transport.handlers import EchoServer, Listener, Trust, echo_server
from tui_forward.errors import TransportError
from tui_forward.transport.socket_stream import SocketStream
from tui_forward.transport.tcp import dial_tcp
from tui_forward.transport.tls_errors import describe_tls_error
from tui_forward.transport.tls_stream import TlsStream


async def secured(
    server: EchoServer, context: ssl.SSLContext, name: str = "localhost"
) -> TlsStream:
    inner = SocketStream(await dial_tcp("127.0.0.1", server.port, label="it"))
    stream = TlsStream(inner, context, name)
    try:
        await stream.handshake()
    except BaseException:
        stream.abort()
        raise
    return stream


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_bytes_of_any_amount_are_sent_and_received(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    trust = Trust(tmp_path)
    trust.client.maximum_version = version
    async with echo_server(trust.server) as server:
        stream = await secured(server, trust.client)
        listener = Listener(stream)
        data = random.Random(1).randbytes(1_500_000)
        stream.write(data[:5])
        stream.writelines([data[5:13], memoryview(data)[13:200_000]])
        stream.writelines([data[200_000:200_001]])
        stream.writelines([data[200_001:200_010], data[200_010:200_020], data[200_020:]])
        await listener.expect(data)
        stream.close()
        assert await listener.end() is None
        await until(lambda: server.connections[0].lost)


async def test_paused_reading_loses_no_bytes(tmp_path: Path) -> None:
    trust = Trust(tmp_path)
    async with echo_server(trust.server) as server:
        stream = await secured(server, trust.client)
        listener = Listener(stream, read=False)
        stream.write(bytes(1_000_000))
        listener.pause_after = 1
        stream.resume_reading()
        await until(lambda: listener.received)
        seen = len(listener.received)
        await asyncio.sleep(0.02)
        assert len(listener.received) == seen < 1_000_000
        listener.pause_after = 0
        stream.resume_reading()
        await until(lambda: len(listener.received) == 1_000_000)
        stream.abort()
        await listener.end()


async def test_bytes_behind_the_handshake_are_kept(tmp_path: Path) -> None:
    trust = Trust(tmp_path)

    class Eager(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport = cast("asyncio.Transport", transport)
            transport.write(b"first words")
            transport.close()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Eager, "127.0.0.1", 0, ssl=trust.server)
    port = server.sockets[0].getsockname()[1]
    stream = await secured(EchoServer(port, []), trust.client)
    await asyncio.sleep(0.02)
    listener = Listener(stream)
    await listener.expect(b"first words")
    assert await listener.end() is None
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("names", "days", "trusted", "words"),
    [
        (("other.example",), 2, True, "is not for 'localhost'"),
        (("localhost",), -1, True, "the certificate of 'localhost' has expired"),
        (("localhost",), 2, False, "not trusted: its certificate authority is unknown"),
    ],
)
async def test_invalid_certificate_is_rejected(
    tmp_path: Path, names: tuple[str, ...], days: int, trusted: bool, words: str
) -> None:
    trust = Trust(tmp_path, names=names, days=days)
    context = trust.client if trusted else ssl.create_default_context()
    async with echo_server(trust.server) as server:
        with pytest.raises(TransportError) as caught:
            await secured(server, context)
        assert words in caught.value.message
        assert caught.value.hint
        assert isinstance(caught.value.__cause__, ssl.SSLError)


async def test_missing_client_certificate_is_reported(tmp_path: Path) -> None:
    trust = Trust(tmp_path)
    strict = server_context(
        trust.authority.issue("server", names=("localhost",)), tmp_path, clients=Authority()
    )

    def serve(listening: socket.socket) -> None:
        # asyncio's own server does not send the alert.
        accepted, _ = listening.accept()
        with accepted, contextlib.suppress(ssl.SSLError):
            strict.wrap_socket(accepted, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(asyncio.to_thread(serve, listening))
        # In TLS 1.3 the client learns of it after its handshake.
        stream = await secured(EchoServer(listening.getsockname()[1], []), trust.client)
        error = await Listener(stream).end()
        assert error is not None
        assert "refused the client certificate" in error.message
        await serving


async def test_plain_server_is_reported(tmp_path: Path) -> None:
    trust = Trust(tmp_path)

    class Plain(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport = cast("asyncio.Transport", transport)
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            self.transport.close()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(TransportError, match="does not support TLS"):
        await secured(EchoServer(port, []), trust.client)
    server.close()
    await server.wait_closed()


async def test_close_during_the_handshake_is_reported(tmp_path: Path) -> None:
    ours, theirs = memory_pair()
    stream = TlsStream(ours, Trust(tmp_path).client, "localhost")
    handshake = asyncio.create_task(stream.handshake())
    Listener(theirs)
    theirs.close()
    with pytest.raises(TransportError, match="closed the connection during the TLS handshake"):
        await handshake


async def test_garbage_after_the_handshake_is_an_error(tmp_path: Path) -> None:
    trust = Trust(tmp_path)
    async with echo_server(trust.server) as server:
        inner = FaultyStream(SocketStream(await dial_tcp("127.0.0.1", server.port, label="it")))
        stream = TlsStream(inner, trust.client, "localhost")
        await stream.handshake()
        listener = Listener(stream)
        stream.data_received(memoryview(b"\x17\x03\x03\x00\x20" + bytes(32)))
        error = await listener.end()
        assert error is not None
        assert error.message.startswith("TLS with ")


async def test_records_may_arrive_in_any_chunking(tmp_path: Path) -> None:
    trust = Trust(tmp_path)
    async with echo_server(trust.server) as server:
        inner = FaultyStream(SocketStream(await dial_tcp("127.0.0.1", server.port, label="it")))
        inner.split(7)
        stream = TlsStream(inner, trust.client, "localhost")
        await stream.handshake()
        listener = Listener(stream)
        stream.write(b"0123456789" * 500)
        await listener.expect(b"0123456789" * 500)
        stream.abort()
        await listener.end()


async def test_tls_inside_tls_works(tmp_path: Path) -> None:
    """Same as a proxy reached by https."""
    inside, outside = Trust(tmp_path), Trust(tmp_path)
    async with echo_server(inside.server) as server:
        loop = asyncio.get_running_loop()

        class Tunnel(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                transport = cast("asyncio.Transport", transport)
                self.near = transport
                self.far: asyncio.Transport | None = None
                self.early = b""
                self.task = loop.create_task(self.reach())

            async def reach(self) -> None:
                near = self.near

                class Far(asyncio.Protocol):
                    def data_received(self, data: bytes) -> None:
                        near.write(data)

                self.far, _ = await loop.create_connection(Far, "127.0.0.1", server.port)
                self.far.write(self.early)

            def data_received(self, data: bytes) -> None:
                if self.far is None:
                    self.early += data
                else:
                    self.far.write(data)

            def connection_lost(self, exc: Exception | None) -> None:
                if self.far is not None:
                    self.far.abort()

        proxy = await loop.create_server(Tunnel, "127.0.0.1", 0, ssl=outside.server)
        port = proxy.sockets[0].getsockname()[1]
        outer = TlsStream(
            SocketStream(await dial_tcp("127.0.0.1", port, label="it")),
            outside.client,
            "localhost",
            role="tls-proxy",
        )
        await outer.handshake()
        stream = TlsStream(outer, inside.client, "localhost")
        await stream.handshake()
        listener = Listener(stream)
        data = random.Random(2).randbytes(600_000)
        stream.write(data)
        await listener.expect(data)
        stream.abort()
        await listener.end()
        proxy.close()
        await proxy.wait_closed()


def test_unknown_tls_error_keeps_the_openssl_reason() -> None:
    error = describe_tls_error(ssl.SSLError(1, "[SSL: NO_SHARED_CIPHER] no shared cipher"), "x")
    assert error.message.startswith("TLS with ")
