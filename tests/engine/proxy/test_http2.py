"""HTTP/2 with prior knowledge through the proxy, as gRPC and curl speak it.

Its first bytes name no host, so it goes through SOCKS5 and CONNECT, where nothing is parsed.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import pytest

from tests.engine.fake_cluster import ECHO
from tests.engine.proxy.proxy_scenario import ProxyScenario

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
GRPC = 50051
TIMEOUT_S = 30


async def connect_by_socks(
    scenario: ProxyScenario,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    code, reader, writer = await scenario.socks("web.shop", ECHO)
    assert code == 0
    return reader, writer


async def connect_by_http(
    scenario: ProxyScenario,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await scenario.connect()
    writer.write(f"CONNECT web.shop:{ECHO} HTTP/1.1\r\nHost: web.shop:{ECHO}\r\n\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    return reader, writer


@pytest.mark.parametrize("connect", [connect_by_socks, connect_by_http])
async def test_bytes_pass_untouched(scenario: ProxyScenario, connect: object) -> None:
    await scenario.start()
    reader, writer = await connect(scenario)  # type: ignore[operator]
    frames = random.Random(2).randbytes(200_000)  # as far as a proxy can tell
    sent = PREFACE + SETTINGS + frames
    writer.write(sent)
    assert await asyncio.wait_for(reader.readexactly(len(sent)), TIMEOUT_S) == sent
    (connection,) = scenario.engine.connections()
    assert (connection.bytes_to_pod, connection.bytes_from_pod) == (len(sent), len(sent))
    writer.close()


async def test_preface_with_the_request(scenario: ProxyScenario) -> None:
    await scenario.start()
    reader, writer = await scenario.connect()
    head = f"CONNECT web.shop:{ECHO} HTTP/1.1\r\nHost: web.shop:{ECHO}\r\n\r\n".encode()
    writer.write(head + PREFACE + SETTINGS)
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(len(PREFACE + SETTINGS)) == PREFACE + SETTINGS
    writer.close()


async def test_preface_without_a_host_is_refused(scenario: ProxyScenario) -> None:
    await scenario.start()
    answer = await scenario.send(PREFACE + SETTINGS)
    assert answer.startswith(b"HTTP/1.1 505 ")
    assert b"Connect through SOCKS5 or CONNECT" in answer


def reverse(request: bytes, _context: grpc.ServicerContext) -> bytes:
    return request[::-1]


@pytest.fixture
def grpc_port() -> Iterator[int]:
    """Return the port of a gRPC server without TLS."""
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(reverse)
        handler = grpc.method_handlers_generic_handler("demo.Text", {"Reverse": method})
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(None).wait()


async def start_with_grpc(scenario: ProxyScenario, grpc_port: int) -> None:
    scenario.cluster.servers[GRPC] = grpc_port
    scenario.add("text", GRPC)
    await scenario.start()


def call(proxy: int, requests: list[bytes]) -> list[bytes]:
    options = [("grpc.http_proxy", f"http://127.0.0.1:{proxy}")]
    with grpc.insecure_channel(f"text.shop:{GRPC}", options=options) as channel:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/demo.Text/Reverse"
        )
        return [method(one, timeout=TIMEOUT_S) for one in requests]


async def test_grpc_client(scenario: ProxyScenario, grpc_port: int) -> None:
    await start_with_grpc(scenario, grpc_port)
    requests = [b"abc", b"", bytes(100_000) + b"x"]
    loop = asyncio.get_running_loop()
    answers = await loop.run_in_executor(None, partial(call, scenario.port, requests))
    assert answers == [one[::-1] for one in requests]
    assert scenario.forward.counters.connections_total == 1


@pytest.mark.clients
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(
    "options", [("--proxy", "socks5h:"), ("--proxytunnel", "--proxy", "http:")]
)
async def test_curl(scenario: ProxyScenario, grpc_port: int, options: tuple[str, ...]) -> None:
    await start_with_grpc(scenario, grpc_port)
    command = (
        "curl", "-sS", "-m", str(TIMEOUT_S), "--http2-prior-knowledge", "--data-binary", "@-",
        "-H", "Content-Type: application/grpc", "-H", "TE: trailers", "-w", "%{http_version}",
        *options[:-1], f"{options[-1]}//127.0.0.1:{scenario.port}",
        f"http://text.shop:{GRPC}/demo.Text/Reverse",
    )  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    head = b"\0" + (3).to_bytes(4, "big")  # of a message: not compressed, its length
    output, _ = await process.communicate(head + b"abc")
    assert (process.returncode, output) == (0, head + b"cba" + b"2")
