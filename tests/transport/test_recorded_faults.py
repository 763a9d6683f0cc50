"""Recorded faults between this machine and an API server: which step failed, and why."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.kube.certificates import Authority, server_context
from tests.support.recorded_faults import load_fault
from tui_forward.errors import TransportError
from tui_forward.model import ReasonCode
from tui_forward.transport import Endpoint, connect
from tui_forward.transport.proxy_address import ProxyAddress
from tui_forward.transport.tcp import describe_connect_error
from tui_forward.transport.tls_context import create_verifying_context

Code = ReasonCode
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Run a server that treats every connection alike; yields its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await serve(reader, writer)
        finally:
            writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(run, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read(-1)


async def close(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read(64)


def recorded_connect_answer(fault: str) -> bytes:
    """Return what the recorded proxy answered to CONNECT."""
    answer = load_fault(fault)["requests"][0]["error"].partition("CONNECT with: ")[2]
    status, _, rest = answer.partition(" {")
    headers, _, body = rest.partition("} ")
    lines = [ast.literal_eval(status)]
    lines += [f"{name}: {value}" for name, value in ast.literal_eval("{" + headers + "}").items()]
    page: bytes = ast.literal_eval(body)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + page


async def failure(endpoint: Endpoint, timeout_s: float = 60.0) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await connect(endpoint, timeout_s=timeout_s)
    return caught.value


PROXIES = (
    (
        "133-proxy-403",
        Code.NETWORK_PROXY_REFUSED,
        "does not allow connections to api.corp:6443: 403 Forbidden, Access denied by policy",
        "Ask its operator",
    ),
    ("134-proxy-407", Code.NETWORK_PROXY_AUTH, "requires a user and a password", "user:password@"),
    (
        "135-proxy-502",
        Code.NETWORK_PROXY_FAILED,
        "cannot reach api.corp:6443: 502 Bad Gateway",
        "behind the proxy",
    ),
)


@pytest.mark.parametrize(("fault", "code", "text", "hint"), PROXIES)
async def test_answer_to_connect(fault: str, code: ReasonCode, text: str, hint: str) -> None:
    answer = recorded_connect_answer(fault)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        await reader.read(-1)

    async with serving(serve) as port:
        error = await failure(via_proxy(port))
    assert error.code is code
    assert error.message.startswith(f"the proxy http://127.0.0.1:{port} ")
    assert text in error.message
    assert hint in error.hint
    assert "<" not in error.message


def via_proxy(port: int) -> Endpoint:
    proxy = ProxyAddress(scheme="http", host="127.0.0.1", port=port)
    return Endpoint(host="api.corp", port=6443, proxy=proxy)


async def test_136_proxy_down() -> None:
    assert load_fault("136-proxy-down")["requests"][0]["error"]
    async with serving(close) as port:
        pass
    error = await failure(via_proxy(port))
    assert error.code is Code.NETWORK_PROXY_UNREACHABLE
    assert error.message == (
        f"the proxy http://127.0.0.1:{port} cannot be reached: it refuses connections"
    )
    assert "Check that the proxy runs" in error.hint


async def test_137_proxy_closes() -> None:
    assert load_fault("137-proxy-closes")["requests"][0]["error"]
    async with serving(close) as port:
        error = await failure(via_proxy(port))
    assert error.code is Code.NETWORK_PROXY_CLOSED
    assert error.message.endswith("closed the connection without an answer")


async def test_138_proxy_hangs() -> None:
    assert load_fault("138-proxy-hangs")["requests"][0]["error"]
    async with serving(never) as port:
        error = await failure(via_proxy(port), timeout_s=0.2)
    assert error.code is Code.NETWORK_PROXY_TIMEOUT
    assert error.message == (
        f"the proxy http://127.0.0.1:{port} does not answer the request to connect to "
        "api.corp:6443 within 0.2 s"
    )


CERTIFICATES = (
    ("123-api-wrong-ca", Code.NETWORK_CERTIFICATE, "authority that signed it"),
    ("124-api-no-ca", Code.NETWORK_CERTIFICATE, "it names none"),
    ("125-api-wrong-server-name", Code.NETWORK_CERTIFICATE_NAME, "tls-server-name"),
    ("128-api-cert-expired", Code.NETWORK_CERTIFICATE_EXPIRED, "Check the clock of this machine"),
    (
        "129-api-cert-not-yet-valid",
        Code.NETWORK_CERTIFICATE_NOT_YET_VALID,
        "Check the clock of this machine",
    ),
)


@pytest.mark.parametrize(("fault", "code", "hint"), CERTIFICATES)
async def test_certificate(fault: str, code: ReasonCode, hint: str, tmp_path: Path) -> None:
    authority = Authority()
    days = {"128-api-cert-expired": -1}.get(fault, 2)
    begins_in = 1 if fault == "129-api-cert-not-yet-valid" else -3
    names = ("other",) if fault == "125-api-wrong-server-name" else ("127.0.0.1",)
    pair = authority.issue("server", names=names, days=days, begins_in_days=begins_in)
    trusted = Authority("another") if fault == "123-api-wrong-ca" else authority
    has_ca = fault != "124-api-no-ca"
    tls = create_verifying_context(trusted.pem.decode() if has_ca else None)
    async with serving(close, server_context(pair, tmp_path)) as port:
        error = await failure(Endpoint(host="127.0.0.1", port=port, tls=tls, has_own_ca=has_ca))
    assert error.code is code
    assert hint in error.hint
    if fault.startswith("12"):
        recorded = str(load_fault(fault)["requests"][0].get("error", ""))
        assert "CERTIFICATE_VERIFY_FAILED" in recorded


@pytest.mark.parametrize("resets", [False, True])
async def test_127_https_to_http(*, resets: bool) -> None:
    assert load_fault("127-api-https-to-http")["requests"][0]["error"]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        if resets:  # as when bytes are left that nothing reads
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    async with serving(serve) as port:
        tls = create_verifying_context(Authority().pem.decode())
        error = await failure(Endpoint(host="127.0.0.1", port=port, tls=tls))
    assert error.code is Code.NETWORK_TLS_CLOSED
    assert "whether `server` in the kubeconfig should begin with http://" in error.hint


async def test_151_api_tls_handshake_hangs() -> None:
    assert load_fault("151-api-tls-handshake-hangs")["requests"][0]["error"]
    async with serving(never) as port:
        tls = create_verifying_context(Authority().pem.decode())
        error = await failure(Endpoint(host="127.0.0.1", port=port, tls=tls), timeout_s=0.2)
    assert error.code is Code.NETWORK_TLS_TIMEOUT
    assert error.message == (
        f"the API server at 127.0.0.1:{port} accepts connections, "
        "but does not answer the TLS handshake within 0.2 s"
    )


async def test_130_api_name_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_fault("130-api-name-unknown")["requests"][0]["error"]

    def unknown(host: str, *args: object, **kwargs: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = await failure(Endpoint(host="api.invalid", port=6443))
    assert error.code is Code.NETWORK_DNS
    assert "'api.invalid'" in error.message


@pytest.mark.parametrize(
    ("fault", "number", "code"),
    [
        ("131-api-refuses-connections", errno.ECONNREFUSED, Code.NETWORK_REFUSED),
        ("132-api-no-route", errno.EHOSTUNREACH, Code.NETWORK_UNREACHABLE),
        ("152-api-down-mid-connection", errno.ECONNREFUSED, Code.NETWORK_REFUSED),
        ("153-api-down", errno.ECONNREFUSED, Code.NETWORK_REFUSED),
        ("156-api-killed-mid-connection", errno.ECONNREFUSED, Code.NETWORK_REFUSED),
    ],
)
def test_failed_connection(fault: str, number: int, code: ReasonCode) -> None:
    recorded = [str(one["error"]) for one in load_fault(fault)["requests"] if one.get("error")]
    assert recorded
    error = describe_connect_error(
        OSError(number, os.strerror(number)), "10.0.0.9", 6443, "the API server"
    )
    assert error.code is code
    assert "10.0.0.9:6443" in error.message
