"""The applications in pods."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.minicluster.node.harness import RuntimeHarness, wait_for_data
from tests.support.waiting import until
from tui_forward.minicluster.runtime.apps.registry import find_app


async def exchange(runtime: RuntimeHarness, image: str, port: int, request: bytes) -> bytes:
    """Send a request to a new pod; return everything until the end of the connection."""
    pod = await runtime.pod(image)
    async with runtime.tunnel(pod) as client:
        _, data = await client.open(port, 0, request)
        await until(lambda: data.ended)
        return data.data


def body(response: bytes) -> bytes:
    head, _, rest = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK"), head
    return rest


async def test_http_site_serves_pages_and_uploads(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod("local/http-site:1", "shop-1", TITLE="A <shop>")
    async with runtime.tunnel(pod) as client:
        await client.open(8080, 0, b"GET / HTTP/1.0\r\n\r\n")
        await client.open(8080, 1, b"GET /bytes/1000000 HTTP/1.0\r\n\r\n")
        await client.open(8080, 2, b"GET /nowhere HTTP/1.0\r\n\r\n")
        upload = b"POST /upload HTTP/1.0\r\nContent-Length: 500000\r\n\r\n" + b"u" * 500_000
        await client.open(8080, 3, upload)
        chunked = (
            b"PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
        )
        await client.open(8080, 4, chunked)
        streams = [client.streams[4 * number + 3] for number in range(5)]
        await until(lambda: all(stream.ended for stream in streams))
        page, download, missing, posted, put = (stream.data for stream in streams)
        assert b"A &lt;shop&gt;" in body(page)
        assert b"shop-1" in body(page)
        assert len(body(download)) == 1_000_000
        assert missing.startswith(b"HTTP/1.1 404")
        assert body(posted) == b"500000\n"
        assert body(put) == b"7\n"


async def test_http_connection_is_kept_alive(runtime: RuntimeHarness) -> None:
    pod = await runtime.pod("http-site")
    async with runtime.tunnel(pod) as client:
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        _, data = await client.open(8080, 0, request * 3)
        await until(lambda: data.data.count(b"\r\n\r\nok\n") == 3)
        assert not data.ended


async def test_database_executes_commands(runtime: RuntimeHarness) -> None:
    commands = b"SET a 1 2\nGET a\nGET b\nDEL a\nKEYS\nPING\nDUMP 5\nNONSENSE\nQUIT\n"
    lines = (await exchange(runtime, "database", 5432, commands)).split(b"\n")
    assert lines[0].startswith(b"+tiny-db")
    assert lines[1:7] == [b"+OK", b"1 2", b"(nil)", b"+1", b"motd version", b"+PONG"]
    assert lines[7] == b"+5"
    assert b"-ERR" in lines[8]
    assert lines[9] == b"+bye"


async def test_metrics_returns_a_large_page(runtime: RuntimeHarness) -> None:
    response = await exchange(runtime, "metrics", 9090, b"GET /metrics HTTP/1.0\r\n\r\n")
    assert b"# TYPE shop_requests_total counter" in body(response)
    assert len(body(response)) > 50_000


async def test_toolbox_counters_are_exact(runtime: RuntimeHarness) -> None:
    await runtime.control.request("streaming", drain_timeout_s=0.05)
    pod = await runtime.pod("toolbox")
    async with runtime.tunnel(pod) as client:

        async def counters(port: int) -> dict[str, Any]:
            number = len(client.streams)
            request = f"GET /counters?port={port} HTTP/1.0\r\n\r\n".encode()
            _, data = await client.open(7009, number, request)
            await until(lambda: data.ended)
            counts: dict[str, Any] = json.loads(body(data.data))
            return counts

        _, data = await client.open(7001, 0, b"7\n1234567" + b"3\nabc")
        await wait_for_data(data, b"7\n3\n")
        _, data = await client.open(7002, 1, b"100 keep\n50\n")
        await until(lambda: data.ended)
        assert len(data.data) == 150
        _, data = await client.open(7005, 2, b"3 0.01\n")
        await until(lambda: data.ended)
        assert data.data == b"..."
        sink, source = await counters(7001), await counters(7002)
        assert (sink["received"], sink["sent"], sink["open"]) == (14, 4, 1)
        assert (source["received"], source["sent"], source["open"]) == (12, 150, 0)


@pytest.mark.parametrize(
    ("image", "app"),
    [
        ("docker.io/local/echo:1", "echo"),
        ("local/echo", "echo"),
        ("echo", "echo"),
        ("echo:2@sha256:" + "0" * 64, "echo"),
        ("docker.io/library/echo", None),
        ("quay.io/local/echo", None),
        ("local/nginx", None),
    ],
)
def test_image_selects_application(image: str, app: str | None) -> None:
    assert find_app(image) == app
