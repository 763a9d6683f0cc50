from __future__ import annotations

import asyncio
import webbrowser
from pathlib import Path

import pytest

from tui_forward.common.links import (
    Scheme,
    address_text,
    find_urls,
    guess_scheme,
    open_in_browser,
    probe,
    url,
)
from tui_forward.errors import ForwardError
from tui_forward.model import (
    Forward,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    ReasonCode,
    Target,
    TargetKind,
)


@pytest.mark.parametrize(
    ("number", "name", "found"),
    [
        (8080, "http", Scheme.HTTP), (8443, "", Scheme.HTTPS), (443, "web", Scheme.HTTPS),
        (9000, "https-admin", Scheme.HTTPS), (12345, "metrics", Scheme.HTTP),
        (3000, "", Scheme.HTTP),
        (5432, "", False), (8080, "grpc", False), (1234, "postgres", False), (6379, "redis", False),
        (12345, "", True), (12345, "custom", True), (80, "", Scheme.HTTP),
        (8080, "grpc-health", False), (8080, "grpc-http", Scheme.HTTP), (8080, "h2c", False),
        (9121, "redis-metrics", Scheme.HTTP), (5050, "pgadmin", Scheme.HTTP), (1, "pg", False),
        (8443, "http", Scheme.HTTPS), (9443, "webhook-server", Scheme.HTTPS),
        (8080, "web_ui", Scheme.HTTP), (9092, "", False), (27017, "", False), (0, "", True),
    ],
)  # fmt: skip
def test_guess_scheme(number: int, name: str, found: Scheme | bool) -> None:
    assert guess_scheme(number, name) == found


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ("http", Scheme.HTTP), ("HTTPS", Scheme.HTTPS), ("kubernetes.io/ws", Scheme.HTTP),
        ("kubernetes.io/wss", Scheme.HTTPS), ("kubernetes.io/h2c", False), ("grpc", False),
        ("mycompany.com/own", False),
    ],
)  # fmt: skip
def test_declared_protocol_takes_precedence(declared: str, found: Scheme | bool) -> None:
    assert guess_scheme(8080, "http", declared) == found


def forward(port: str, *hosts: str, remote_port: int | None = None) -> Forward:
    target = Target(context="c", namespace="n", kind=TargetKind.POD, name="web", port=port)
    return Forward(
        id="f1", spec=ForwardSpec(target=target), state=ForwardState.READY,
        code=ReasonCode.FORWARD_READY, reason="ready",
        listening=tuple(LocalAddress(host, 8081) for host in hosts), remote_port=remote_port,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (forward("http", "::1", "127.0.0.1"), "http://127.0.0.1:8081/"),
        (forward("8443", "::1"), "https://[::1]:8081/"),
        (forward("5432", "::1"), "[::1]:8081"),
        (forward("5432", "0.0.0.0"), "127.0.0.1:8081"),
        (forward("db", "127.0.0.1", remote_port=5432), "127.0.0.1:8081"),
        (forward("any", "127.0.0.1", remote_port=8080), "http://127.0.0.1:8081/"),
        (forward("http"), ""),
    ],
)
def test_address_text(one: Forward, text: str) -> None:
    assert address_text(one) == text


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
async def test_probe_tries_tls_then_plain_http(answer: bytes, found: Scheme | None) -> None:
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


async def test_probe_of_a_closed_port() -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    assert await probe("127.0.0.1", port, timeout_s=5) is None


async def test_probe_detects_tls_and_tls_alerts() -> None:
    """An alert is an answer in TLS, even if it is a refusal."""
    refusal = bytes([21, 3, 3, 0, 2, 2, 40])  # fatal: handshake_failure (RFC 8446, 6.2)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(refusal)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await probe("127.0.0.1", port, timeout_s=5) is Scheme.HTTPS


async def test_probe_of_a_silent_server_times_out() -> None:
    hold = asyncio.Event()

    async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hold.wait()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await probe("127.0.0.1", port, timeout_s=0.05) is None
        hold.set()


class Browser:
    """Stands in for what `webbrowser.get` finds."""

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine with a browser; collects what that is asked to show."""
    found: list[str] = []

    def open_it(address: str) -> bool:
        found.append(address)
        return True

    monkeypatch.setattr(webbrowser, "get", lambda: Browser("firefox"))
    monkeypatch.setattr(webbrowser, "open", open_it)
    return found


async def test_browser_is_opened(opened: list[str]) -> None:
    await open_in_browser("http://127.0.0.1:8080/")
    assert opened == ["http://127.0.0.1:8080/"]


async def test_terminal_browser_is_not_used(
    opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webbrowser, "get", lambda: Browser("/usr/bin/w3m"))
    with pytest.raises(ForwardError, match="no browser"):
        await open_in_browser("http://127.0.0.1:8080/")
    assert not opened


async def test_browser_is_not_taken_from_the_current_folder(
    opened: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "xdg-open").write_text("#!/bin/sh\n")
    (tmp_path / "xdg-open").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".")
    monkeypatch.setattr(webbrowser, "get", lambda: Browser("xdg-open"))
    with pytest.raises(ForwardError, match="no browser"):
        await open_in_browser("http://127.0.0.1:8080/")
    assert not opened


async def test_missing_browser_is_reported_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _url: False)
    with pytest.raises(ForwardError) as raised:
        await open_in_browser("http://127.0.0.1:8080/")
    assert "Copy the address" in raised.value.hint


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("open https://a.example/x, then", ("https://a.example/x",)),
        (
            "(see https://a.example/x).\nhttps://b.example",
            ("https://a.example/x", "https://b.example"),
        ),
        ("https://a https://a", ("https://a",)),
        ('"https://a/b?c=d&e=f#g"', ("https://a/b?c=d&e=f#g",)),
        ("javascript:alert(1) file:///etc/passwd ftp://x", ()),
        ("no address", ()),
    ],
)
def test_addresses_are_found(text: str, urls: tuple[str, ...]) -> None:
    assert find_urls(text) == urls
