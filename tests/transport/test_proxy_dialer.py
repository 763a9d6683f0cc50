from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import cast
from urllib.parse import quote

import pytest

from tests.kube import proxy_servers
from tests.kube.proxy_servers import PASSWORD, ConnectProxy, Proxy, SocksProxy, running
from tests.transport.handlers import Listener, Trust, echo_server
from tui_forward.errors import ConfigError, TransportError
from tui_forward.transport import Endpoint, connect
from tui_forward.transport.proxy_address import ProxyAddress, parse_proxy_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://p:3128", ProxyAddress("http", "p", 3128)),
        ("http://p", ProxyAddress("http", "p", 80)),
        ("https://p", ProxyAddress("https", "p", 443)),
        ("socks5://p", ProxyAddress("socks5", "p", 1080)),
        ("SOCKS5H://[::1]:9", ProxyAddress("socks5h", "::1", 9)),
        ("http://me:p%40ss@p:1", ProxyAddress("http", "p", 1, "me", "p@ss")),
    ],
)
def test_proxy_url_is_parsed(url: str, expected: ProxyAddress) -> None:
    assert parse_proxy_url(url) == expected


@pytest.mark.parametrize("url", ["ftp://p", "p:3128", "http://", "http://p:x", "http://[::1"])
def test_invalid_proxy_url_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_proxy_url(url)
    assert caught.value.hint


def test_proxy_password_is_not_in_texts() -> None:
    address = parse_proxy_url("http://me:secret@p:1")
    assert "secret" not in f"{address} {address!r}"


@pytest.mark.parametrize("kind", [ConnectProxy, SocksProxy])
@pytest.mark.parametrize("tls", [False, True])
async def test_proxy_resolves_the_server_name(kind: type[Proxy], tls: bool, tmp_path: Path) -> None:
    trust = Trust(tmp_path)
    async with echo_server(trust.server if tls else None) as server:
        proxy = kind(server.port)
        async with running(proxy):
            endpoint = Endpoint(
                host="api.invalid",
                port=6443,
                tls=trust.client if tls else None,
                server_hostname="localhost",
                proxy=parse_proxy_url(proxy.url),
            )
            stream = await connect(endpoint, timeout_s=10)
            listener = Listener(stream)
            stream.write(b"hello")
            await listener.expect(b"hello")
            assert proxy.asked == ["api.invalid:6443"]
            stream.close()
            await listener.end()


@pytest.mark.parametrize("kind", [ConnectProxy, SocksProxy])
@pytest.mark.parametrize(
    ("user", "password"),
    [("jürgen", "пароль-日本"), ("alone", ""), ("", "alone"), ("ü" * 127, "x")],
)
async def test_credentials_of_a_proxy_are_sent_as_in_go(
    monkeypatch: pytest.MonkeyPatch, kind: type[Proxy], user: str, password: str
) -> None:
    monkeypatch.setattr(proxy_servers, "USER", user)
    monkeypatch.setattr(proxy_servers, "PASSWORD", password)
    async with echo_server(None) as server:
        proxy = kind(server.port)
        async with running(proxy):
            scheme, _, address = proxy.url.partition("://")
            url = f"{scheme}://{quote(user)}:{quote(password)}@{address.rpartition('@')[2]}"
            endpoint = Endpoint(host="api.invalid", port=6443, proxy=parse_proxy_url(url))
            stream = await connect(endpoint, timeout_s=10)
            listener = Listener(stream)
            stream.write(b"hello")
            await listener.expect(b"hello")
            stream.close()
            await listener.end()


async def test_credentials_beyond_socks_are_an_error() -> None:
    address = ProxyAddress("socks5", "127.0.0.1", 1, "ü" * 128, "hunter2")
    with pytest.raises(ConfigError, match="longer than 255 bytes") as caught:
        await connect(Endpoint(host="api", port=1, proxy=address), timeout_s=10)
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("kind", [ConnectProxy, SocksProxy])
async def test_refusing_proxy_is_an_error_without_password(kind: type[Proxy]) -> None:
    proxy = kind(1)
    proxy.refuse = True
    async with running(proxy):
        with pytest.raises(TransportError) as caught:
            await connect(
                Endpoint(host="api", port=1, proxy=parse_proxy_url(proxy.url)), timeout_s=10
            )
    assert PASSWORD not in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.hint


@pytest.mark.parametrize("kind", [ConnectProxy, SocksProxy])
async def test_wrong_proxy_password_is_an_error(kind: type[Proxy]) -> None:
    proxy = kind(1)
    async with running(proxy):
        url = proxy.url.replace(PASSWORD, "wrong")
        with pytest.raises(TransportError) as caught:
            await connect(Endpoint(host="api", port=1, proxy=parse_proxy_url(url)), timeout_s=10)
    assert "wrong" not in caught.value.message


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
async def test_unreachable_proxy_is_named(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    endpoint = Endpoint(host="api", port=1, proxy=parse_proxy_url(f"{scheme}://127.0.0.1:{port}"))
    with pytest.raises(TransportError, match="the proxy"):
        await connect(endpoint, timeout_s=10)


class CannedServer(asyncio.Protocol):
    def __init__(self, words: bytes) -> None:
        self._words = words

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._words)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 503 Busy\r\n\r\n", "503 Busy"),
        (b"\x05\x00 what?\r\n\r\n", "unexpected data from the proxy"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "data of its own in the tunnel"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\n\r\n", "403 No"),
    ],
)
async def test_connect_response_other_than_success_is_an_error(answer: bytes, words: str) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: CannedServer(answer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(TransportError, match=words):
        await connect(
            Endpoint(host="api", port=1, proxy=parse_proxy_url(f"http://127.0.0.1:{port}")),
            timeout_s=10,
        )
    server.close()
    await server.wait_closed()


async def test_https_proxy_is_verified_with_the_cluster_authority(
    tmp_path: Path,
) -> None:
    trust = Trust(tmp_path)
    async with echo_server(trust.server) as server:
        proxy = ConnectProxy(server.port, tls=trust.server)
        async with running(proxy):
            endpoint = Endpoint(
                host="localhost",
                port=6443,
                tls=trust.client,
                proxy=parse_proxy_url(proxy.url),
            )
            stream = await connect(endpoint, timeout_s=10)
            listener = Listener(stream)
            stream.write(b"hello")
            await listener.expect(b"hello")
            stream.abort()
            await listener.end()
            untrusted = Endpoint(
                host="localhost",
                port=6443,
                tls=ssl.create_default_context(),
                proxy=parse_proxy_url(proxy.url),
            )
            with pytest.raises(TransportError, match="not trusted"):
                await connect(untrusted, timeout_s=10)
