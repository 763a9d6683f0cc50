"""The metrics server and hostile clients."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.cli.fake_session import until
from tui_forward.cli import metrics_server
from tui_forward.cli.metrics_server import MAX_CONNECTIONS, MAX_REQUEST_BYTES, MetricsServer
from tui_forward.errors import ForwardError, TransportError
from tui_forward.model import Snapshot

Load = Callable[[], Awaitable[Snapshot | None]]


async def load() -> Snapshot | None:
    return Snapshot(version=1, at=1.0)


@contextlib.asynccontextmanager
async def serving(load: Load = load) -> AsyncIterator[int]:
    async with MetricsServer(load, "127.0.0.1", 0) as server:
        yield int(server.url.split(":")[2].split("/")[0])


async def send(port: int, request: bytes) -> bytes:
    """Send bytes and return all that the server sends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await reader.read(-1)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def get(port: int) -> bytes:
    return await send(port, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")


def status(response: bytes) -> int:
    return int(response.split()[1])


@pytest.mark.parametrize(
    ("request_line", "host", "expected"),
    [
        ("GET /metrics HTTP/1.1", "localhost:{port}", 200),
        ("GET /metrics HTTP/1.1", "127.0.0.1:{port}", 200),
        ("GET /metrics HTTP/1.1", "127.1.2.3", 200),
        ("GET /metrics HTTP/1.1", "[::1]:{port}", 200),
        ("GET /metrics?x=1 HTTP/1.1", "LOCALHOST", 200),
        ("HEAD /metrics HTTP/1.1", "localhost", 200),
        ("GET /metrics HTTP/1.0", "localhost", 200),
        ("GET http://localhost:{port}/metrics HTTP/1.1", "localhost", 200),
        ("GET http://evil.example/metrics HTTP/1.1", "localhost", 403),
        ("GET /metrics HTTP/1.1", "evil.example", 403),
        ("GET /metrics HTTP/1.1", "evil.example:{port}", 403),
        ("GET /metrics HTTP/1.1", "localhost.evil.example", 403),
        ("GET /metrics HTTP/1.1", "127.0.0.1.evil.example", 403),
        ("GET /metrics HTTP/1.1", "0.0.0.0", 403),
        ("GET /metrics HTTP/1.1", "192.168.0.1", 403),
        ("GET /metrics HTTP/1.1", "127.0.0.1%lo", 403),
        ("GET /metrics HTTP/1.1", "localhost@evil.example", 403),
        ("GET /metrics HTTP/1.1", "[::1", 403),
        ("GET /metrics HTTP/1.1", "", 403),
        ("GET /metrics HTTP/1.0", "evil.example", 403),
        ("GET / HTTP/1.1", "localhost", 404),
        ("GET /metricsx HTTP/1.1", "localhost", 404),
        ("GET /metrics/../metrics HTTP/1.1", "localhost", 404),
        ("POST /metrics HTTP/1.1", "localhost", 405),
        ("DELETE /metrics HTTP/1.1", "localhost", 405),
        ("OPTIONS /metrics HTTP/1.1", "localhost", 405),
        ("CONNECT localhost:1 HTTP/1.1", "localhost", 404),
        ("POST /metrics HTTP/1.1", "evil.example", 403),
    ],
)
async def test_requests(request_line: str, host: str, expected: int) -> None:
    async with serving() as port:
        lines = f"{request_line}\r\nHost: {host}\r\n\r\n".format(port=port)
        response = await send(port, lines.encode())
    head, _, body = response.partition(b"\r\n\r\n")
    assert status(response) == expected
    assert (b"allow: get, head" in head.lower()) is (expected == 405)
    if expected != 200:
        assert b"tui_forward_up" not in response
    elif request_line.startswith("HEAD"):
        assert not body
        assert b"content-length: 0" not in head.lower()
    else:
        assert body.endswith(b"tui_forward_up 1\n# EOF\n")


async def test_http_1_0_request_needs_no_host() -> None:
    async with serving() as port:
        assert status(await send(port, b"GET /metrics HTTP/1.0\r\n\r\n")) == 200
        assert status(await send(port, b"GET /metrics HTTP/1.1\r\n\r\n")) == 400


@pytest.mark.parametrize(
    ("garbage", "expected"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), 400),  # TLS
        (b"\r\n\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n", 400),
        (b"GET //[ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET /" + b"a" * 100_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X-Y: " + b"z" * 1_000_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * MAX_REQUEST_BYTES, 431),
    ],
)
async def test_garbage_is_refused(
    garbage: bytes, expected: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as port:
        response = await send(port, garbage)
        # A client that still sends when the connection is closed may lose the response.
        assert (len(garbage) > MAX_REQUEST_BYTES and not response) or status(response) == expected
        assert status(await get(port)) == 200
    assert not caplog.records


async def test_body_is_not_read() -> None:
    async with serving() as port:
        head = b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n"
        assert status(await send(port, head + bytes(500_000))) == 405


async def test_slow_client_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "REQUEST_S", 0.3)
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        loop = asyncio.get_running_loop()
        began = loop.time()
        writer.write(b"GET /metrics HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"X: y\r\n")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await reader.read(1)
        assert loop.time() - began < 5
        writer.close()


async def test_client_that_does_not_close_or_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "RESPONSE_S", 0.1)
    async with serving() as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                while await loop.sock_recv(client, 1000):
                    pass
            async with asyncio.timeout(60):
                with contextlib.suppress(ConnectionError):
                    while True:  # until the server has reset the connection
                        await loop.sock_sendall(client, b"more")
                        await asyncio.sleep(0.01)


async def test_a_thousand_idle_connections_deny_no_scrape(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving() as port:
        with contextlib.ExitStack() as stack:
            for number in range(1000):
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                with contextlib.suppress(ConnectionError):
                    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
                if number % 2:
                    with contextlib.suppress(OSError):
                        client.send(b"GET /metrics HTTP/1.1\r\n")
            assert status(await get(port)) == 200
        assert status(await get(port)) == 200
    assert not [one for one in caplog.records if one.levelno > logging.DEBUG]
    assert not capsys.readouterr().err


async def test_connections_are_bounded() -> None:
    release = asyncio.Event()

    async def slow() -> Snapshot | None:
        await release.wait()
        return None

    async with MetricsServer(slow, "127.0.0.1", 0) as server:
        port = int(server.url.split(":")[2].split("/")[0])
        clients = [asyncio.create_task(get(port)) for _ in range(MAX_CONNECTIONS)]
        await until(lambda: sum(not one.is_idle for one in server._connections) == MAX_CONNECTIONS)
        assert [await get(port) for _ in range(5)] == [b""] * 5
        release.set()
        assert [status(one) for one in await asyncio.gather(*clients)] == [200] * MAX_CONNECTIONS


async def test_scrapes_at_the_same_time_share_a_snapshot() -> None:
    calls, release = 0, asyncio.Event()

    async def count() -> Snapshot | None:
        nonlocal calls
        calls += 1
        await release.wait()
        return None

    async with MetricsServer(count, "127.0.0.1", 0) as server:
        port = int(server.url.split(":")[2].split("/")[0])
        scrapes = [asyncio.create_task(get(port)) for _ in range(20)]
        await until(lambda: sum(not one.is_idle for one in server._connections) == 20)
        release.set()
        assert all(b"tui_forward_up 0" in one for one in await asyncio.gather(*scrapes))
    assert calls == 1


@pytest.mark.parametrize(
    ("failure", "expected", "text"),
    [
        (TransportError("the engine is not responding"), 503, b"the engine is not responding\n"),
        (ZeroDivisionError("secret"), 500, b"unexpected ZeroDivisionError\n"),
    ],
)
async def test_error_is_a_sentence(failure: Exception, expected: int, text: bytes) -> None:
    async def fail() -> Snapshot | None:
        raise failure

    async with serving(fail) as port:
        response = await get(port)
    assert status(response) == expected
    assert response.endswith(b"\r\n\r\n" + text)


async def test_engine_that_does_not_respond_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "RESPONSE_S", 0.2)

    async def hang() -> Snapshot | None:
        await asyncio.Event().wait()
        return None

    async with serving(hang) as port:
        assert status(await get(port)) == 503


async def test_error_of_the_event_loop_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving():
        loop = asyncio.get_running_loop()
        for _ in range(1000):
            error = OSError(24, "Too many open files")
            loop.call_exception_handler({"message": "socket.accept()", "exception": error})
    assert capsys.readouterr().err == ("warning: socket.accept(): [Errno 24] Too many open files\n")


async def test_port_in_use_is_an_error() -> None:
    async with serving() as port:
        with pytest.raises(ForwardError, match="cannot listen"):
            async with MetricsServer(load, "127.0.0.1", port):
                pass
