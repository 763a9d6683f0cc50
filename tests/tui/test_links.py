from __future__ import annotations

import asyncio
import webbrowser

import pytest

from tui_forward.errors import ForwardError
from tui_forward.tui.links import Scheme, guess, open_in_browser, probe, url


@pytest.mark.parametrize(
    ("number", "name", "found"),
    [
        (8080, "http", Scheme.HTTP), (8443, "", Scheme.HTTPS), (443, "web", Scheme.HTTPS),
        (9000, "https-admin", Scheme.HTTPS), (12345, "metrics", Scheme.HTTP),
        (3000, "", Scheme.HTTP),
        (5432, "", False), (8080, "grpc", False), (1234, "postgres", False), (6379, "redis", False),
        (12345, "", True), (12345, "custom", True), (80, "", Scheme.HTTP),
    ],
)  # fmt: skip
def test_guess(number: int, name: str, found: Scheme | bool) -> None:
    assert guess(number, name) == found


@pytest.mark.parametrize(
    ("scheme", "host", "port", "text"),
    [
        (Scheme.HTTP, "127.0.0.1", 8080, "http://127.0.0.1:8080/"),
        (Scheme.HTTP, "::1", 80, "http://[::1]/"),
        (Scheme.HTTPS, "127.0.0.1", 443, "https://127.0.0.1/"),
        (Scheme.HTTPS, "127.0.0.1", 80, "https://127.0.0.1:80/"),
    ],
)
def test_url(scheme: Scheme, host: str, port: int, text: str) -> None:
    assert url(scheme, host, port) == text


@pytest.mark.parametrize(
    ("answer", "found"),
    [(b"HTTP/1.1 404 Not Found\r\n\r\n", Scheme.HTTP), (b"220 hello\r\n", None)],
)
async def test_probe_asks_once_by_tls_and_once_in_the_clear(
    answer: bytes, found: Scheme | None
) -> None:
    first: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first.append(await reader.read(1))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await probe("127.0.0.1", port, timeout_s=5) is found
    assert first == [b"\x16", b"H"]


async def test_probe_of_nobody_says_nothing() -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    assert await probe("127.0.0.1", port, timeout_s=5) is None


async def test_no_browser_is_said_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _url: False)
    with pytest.raises(ForwardError) as raised:
        await open_in_browser("http://127.0.0.1:8080/")
    assert "Copy the address" in raised.value.hint
