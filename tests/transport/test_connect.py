from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from tests.support.waiting import until
from tests.transport.handlers import Listener, Trust, echo_server
from tui_forward.errors import TransportError
from tui_forward.transport import Endpoint, connect
from tui_forward.transport.tls_context import create_verifying_context
from tui_forward.transport.tls_stream import TlsStream


async def test_tls_offers_http_1_1_and_verifies_the_server_name(tmp_path: Path) -> None:
    trust = Trust(tmp_path, names=("kubernetes",))
    trust.server.set_alpn_protocols(["h2", "http/1.1"])
    async with echo_server(trust.server) as server:
        endpoint = Endpoint(
            host="127.0.0.1", port=server.port, tls=trust.client, server_hostname="kubernetes"
        )
        stream = await connect(endpoint, timeout_s=10)
        assert isinstance(stream, TlsStream)
        assert stream._tls.selected_alpn_protocol() == "http/1.1"
        listener = Listener(stream)
        stream.write(b"x")
        await listener.expect(b"x")
        stream.abort()
        await listener.end()


async def test_insecure_context_accepts_any_certificate(tmp_path: Path) -> None:
    trust = Trust(tmp_path, names=("other",))
    context = create_verifying_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with echo_server(trust.server) as server:
        stream = await connect(
            Endpoint(host="127.0.0.1", port=server.port, tls=context), timeout_s=10
        )
        stream.abort()


async def test_unfinished_tls_handshake_times_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        endpoint = Endpoint(
            host="127.0.0.1", port=mute.getsockname()[1], tls=Trust(tmp_path).client
        )
        with pytest.raises(
            TransportError, match=r"does not answer the TLS handshake within 0\.1 s"
        ):
            await connect(endpoint, timeout_s=0.1)


async def test_canceling_closes_the_socket(tmp_path: Path) -> None:
    async with echo_server(mute=True) as server:
        endpoint = Endpoint(host="127.0.0.1", port=server.port, tls=Trust(tmp_path).client)
        dial = asyncio.create_task(connect(endpoint, timeout_s=10))
        await until(lambda: server.connections and server.connections[0].received)
        dial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dial
        await until(lambda: server.connections[0].lost)
