"""The proxy over the real engine and data path, to a fake cluster in this process.

The application at the other end echoes what it gets, so that a client sees its own request as the
application has received it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.engine.fake_cluster import (
    ECHO,
    GREETER,
    REFUSED,
    SOURCE,
    SOURCE_BYTES,
    UPGRADER,
)
from tests.engine.proxy.proxy_scenario import ProxyScenario
from tests.support.fake_engine import pod
from tests.support.other_user import needs_other_user, run_as_other_user
from tests.support.waiting import until
from tui_forward.engine.connections import peer_state
from tui_forward.engine.proxy import server
from tui_forward.errors import ConfigError, ForwardError, UsageError
from tui_forward.model import (
    ConnectionState,
    ForwardState,
    PodRef,
    ProxySpec,
    Reason,
    ReasonCode,
    Service,
    Unresolved,
)

SUCCEEDED = b"\x05\x00\x00\x01" + bytes(6)


def closed_pages(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


async def test_socks(scenario: ProxyScenario) -> None:
    await scenario.start()
    code, reader, writer = await scenario.socks("web.shop", ECHO)
    assert code == 0
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    forward = scenario.forward
    assert forward.spec.proxy == scenario.proxy_id
    assert forward.state is ForwardState.READY
    assert forward.listening == ()
    (connection,) = scenario.engine.connections()
    assert connection.state is ConnectionState.OPEN
    assert (connection.bytes_to_pod, connection.bytes_from_pod) == (5, 5)
    writer.close()
    await until(lambda: not scenario.forward.counters.connections_open)


async def test_data_that_is_sent_without_waiting(scenario: ProxyScenario) -> None:
    await scenario.start()
    reader, writer = await scenario.connect()
    name = b"web.shop"
    writer.write(b"\x05\x01\x00\x05\x01\x00\x03\x08" + name + ECHO.to_bytes(2, "big") + b"early")
    assert await reader.readexactly(12) == b"\x05\x00" + SUCCEEDED
    assert await reader.readexactly(5) == b"early"
    writer.close()


async def test_a_server_that_speaks_first(scenario: ProxyScenario) -> None:
    scenario.add("greeter", GREETER)
    await scenario.start()
    code, reader, writer = await scenario.socks("greeter", GREETER)
    assert code == 0
    assert await reader.readexactly(5) == b"hello"
    writer.close()


ADDRESSES = {"service": "fd00::10", "pod": "fd00::7"}


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
async def test_ipv6_targets(scenario: ProxyScenario, address: str) -> None:
    """As SOCKS sends them, in CONNECT, and in absolute form."""
    web = replace(scenario.names.services["shop", "web"], cluster_ip="fd00::10")
    scenario.names.add(web)
    scenario.names.pods["fd00::7"] = PodRef(namespace="shop", name="web", uid="u")
    await scenario.start()
    hello, port = b"hello", ECHO.to_bytes(2, "big")
    reader, writer = await scenario.connect()
    writer.write(b"\x05\x01\x00")
    assert await reader.readexactly(2) == b"\x05\x00"
    packed = socket.inet_pton(socket.AF_INET6, address)
    writer.write(b"\x05\x01\x00\x04" + packed + port)
    assert await reader.readexactly(10) == SUCCEEDED
    writer.write(hello)
    assert await reader.readexactly(5) == hello
    writer.close()
    reader, writer = await scenario.connect()
    host = f"[{address}]:{ECHO}"
    writer.write(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() + hello)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert await reader.readexactly(5) == hello
    writer.close()
    reader, writer = await scenario.connect()
    long_form = f"[{address.replace('::', ':0:0:0:0:0:0:')}]:{ECHO}"
    writer.write(f"GET http://{long_form}/a HTTP/1.1\r\nHost: {long_form}\r\n\r\n".encode())
    expected = f"GET /a HTTP/1.1\r\nHost: {long_form}\r\nConnection: close\r\n\r\n".encode()
    assert await reader.readexactly(len(expected)) == expected
    writer.close()
    assert scenario.forward.counters.connections_total == 3, "all to the same target"


async def test_a_long_answer(scenario: ProxyScenario) -> None:
    scenario.add("source", SOURCE)
    await scenario.start()
    _, reader, writer = await scenario.socks("source", SOURCE)
    assert len(await reader.read(-1)) == SOURCE_BYTES
    writer.close()


async def test_connect(scenario: ProxyScenario) -> None:
    await scenario.start()
    reader, writer = await scenario.connect()
    writer.write(f"CONNECT web.shop:{ECHO} HTTP/1.1\r\nHost: web.shop\r\n\r\n".encode())
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 Connection established\r\n\r\n"
    writer.write(b"\x16\x03\x01")
    assert await reader.readexactly(3) == b"\x16\x03\x01"
    writer.close()


async def test_absolute_form(scenario: ProxyScenario) -> None:
    await scenario.start()
    reader, writer = await scenario.connect()
    host = f"web.shop:{ECHO}"
    writer.write(
        f"POST http://{host}/a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhello".encode()
    )
    expected = (
        f"POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    ).encode()
    assert await reader.readexactly(len(expected)) == expected
    (connection,) = scenario.engine.connections()
    assert connection.bytes_to_pod == len(expected)
    writer.close()


async def test_localhost_and_a_request_of_another_page(scenario: ProxyScenario) -> None:
    await scenario.start()
    reader, writer = await scenario.connect()
    head = f"GET / HTTP/1.1\r\nHost: web.shop.localhost:{scenario.port}\r\n"
    own = f"{head}Sec-Fetch-Site: same-origin\r\n\r\n".encode()
    for _ in range(3):
        writer.write(own)
        assert await reader.readexactly(len(own)) == own
    writer.write(f"{head}Sec-Fetch-Site: cross-site\r\n\r\n".encode())
    answer = await reader.read(-1)
    assert answer.startswith(b"HTTP/1.1 403 ")
    writer.close()
    (closed,) = scenario.engine.connections()
    assert closed.close_code is ReasonCode.PROXY_REFUSED


async def test_host_without_its_suffix(scenario: ProxyScenario) -> None:
    await scenario.start(strip_suffix=True)
    reader, writer = await scenario.connect()
    authority = f"web.shop.localhost:{scenario.port}"
    for path in ("/login", "/after-a-redirect"):
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {authority}\r\nSec-Fetch-Site: same-origin\r\n"
            f"Origin: http://{authority}\r\n\r\n".encode()
        )
        expected = (
            f"GET {path} HTTP/1.1\r\nHost: web.shop\r\nSec-Fetch-Site: same-origin\r\n"
            "Origin: http://web.shop\r\n\r\n"
        ).encode()
        assert await reader.readexactly(len(expected)) == expected
    writer.close()


async def test_websocket(scenario: ProxyScenario) -> None:
    scenario.add("chat", UPGRADER)
    await scenario.start()
    for target in (f"http://chat.shop:{UPGRADER}/ws", "/ws"):
        host = f"chat.shop.localhost:{scenario.port}" if target == "/ws" else "chat.shop"
        reader, writer = await scenario.connect()
        fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        for frame in (b"\x81\x85abcd12345", b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"):
            writer.write(frame)
            assert await reader.readexactly(len(frame)) == frame
        writer.close()


async def test_a_refused_websocket(scenario: ProxyScenario) -> None:
    await scenario.start()
    reader, writer = await scenario.connect()
    host = f"web.shop.localhost:{scenario.port}"
    request = (
        f"GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    ).encode()
    # The application answers with the bytes of the request: no 101, so requests are checked on.
    writer.write(request)
    assert await reader.readexactly(len(request)) == request
    writer.write(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert (await reader.read(-1)).startswith(b"HTTP/1.1 403 ")
    writer.close()


@pytest.mark.parametrize(
    ("host", "port", "code"),
    [
        ("wep.shop", 80, 4),
        ("example.com", 443, 2),
        ("kubernetes.default", 443, 2),
    ],
)
async def test_names_without_a_target(
    scenario: ProxyScenario, host: str, port: int, code: int
) -> None:
    scenario.names.add(Service(namespace="default", name="kubernetes"))
    await scenario.start()
    found, reader, writer = await scenario.socks(host, port)
    assert found == code
    assert await reader.read(-1) == b""
    writer.close()
    assert scenario.engine.forwards() == ()
    (info,) = scenario.engine.proxies()
    assert host in info.last_refusal


async def test_a_page_for_an_unknown_name(scenario: ProxyScenario) -> None:
    await scenario.start()
    answer = await scenario.send(b"GET http://wep.shop/ HTTP/1.1\r\nHost: wep.shop\r\n\r\n")
    status, body = closed_pages(answer)
    assert status == 502
    assert "web.shop" in body


async def test_a_port_that_refuses(scenario: ProxyScenario) -> None:
    scenario.add("closed", REFUSED)
    await scenario.start()
    request = f"GET http://closed.shop:{REFUSED}/ HTTP/1.1\r\nHost: closed.shop\r\n\r\n"
    status, body = closed_pages(await scenario.send(request.encode()))
    assert status == 502
    assert "nothing listens on" in body


async def test_a_target_that_is_blocked_answers_at_once(scenario: ProxyScenario) -> None:
    scenario.backend.resolutions["web"] = Unresolved(reason=Reason(code=ReasonCode.RBAC_FORBIDDEN))
    await scenario.start()
    for _ in range(2):
        code, _, writer = await scenario.socks("web.shop", ECHO)
        assert code == 2
        writer.close()
    assert scenario.forward.state is ForwardState.BLOCKED
    scenario.backend.watches["web"].set(pod("web-1", ECHO))
    await until(lambda: scenario.forward.state is ForwardState.READY)
    code, _, writer = await scenario.socks("web.shop", ECHO)
    assert code == 0
    writer.close()


async def test_a_target_without_a_pod_in_time(scenario: ProxyScenario) -> None:
    scenario.backend.resolutions["web"] = Unresolved(
        reason=Reason(code=ReasonCode.POD_CREATING, pod="web-1")
    )
    await scenario.start(queue_timeout_s=0.1)
    request = b"GET http://web.shop:1001/ HTTP/1.1\r\nHost: web.shop\r\n\r\n"
    status, body = closed_pages(await scenario.send(request))
    assert status == 504
    assert "web-1" in body
    assert "pod.creating" in (await scenario.send(request)).decode()


async def test_many_clients_share_the_forward_of_a_target(scenario: ProxyScenario) -> None:
    scenario.add("other", ECHO)
    await scenario.start()

    async def check(number: int) -> None:
        name = "web" if number % 2 else "other.shop.svc.cluster.local"
        code, reader, writer = await scenario.socks(name, ECHO)
        assert code == 0
        writer.write(b"%03d" % number)
        assert await reader.readexactly(3) == b"%03d" % number
        writer.close()

    await asyncio.gather(*map(check, range(100)))
    assert len(scenario.engine.forwards()) == 2
    assert sum(one.counters.connections_total for one in scenario.engine.forwards()) == 100


async def test_idle_targets_are_closed(scenario: ProxyScenario) -> None:
    await scenario.start(idle_timeout_s=0.1)
    _, reader, writer = await scenario.socks("web.shop", ECHO)
    writer.write(b"x")
    await reader.readexactly(1)
    await asyncio.sleep(0)
    assert len(scenario.engine.forwards()) == 1
    writer.close()
    await until(lambda: not scenario.engine.forwards())
    code, _, writer = await scenario.socks("web.shop", ECHO)  # opened again
    assert code == 0
    writer.close()


async def test_idle_timeout_of_zero_does_not_keep_the_loop_busy(
    scenario: ProxyScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    call_later, delays = loop.call_later, []

    def record(delay: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        if getattr(callback, "__name__", "") == "_close_idle":
            delays.append(delay)
        return call_later(delay, callback, *args)

    monkeypatch.setattr(loop, "call_later", record)
    await scenario.start(idle_timeout_s=0.0)
    _, _, writer = await scenario.socks("web.shop", ECHO)
    writer.close()
    await until(lambda: not scenario.engine.forwards())
    assert delays
    assert min(delays) >= 0.1


async def test_a_target_that_was_stopped_is_opened_again(scenario: ProxyScenario) -> None:
    await scenario.start()
    _, _, writer = await scenario.socks("web.shop", ECHO)
    writer.close()
    await scenario.engine.stop(scenario.forward.id)
    code, _, writer = await scenario.socks("web.shop", ECHO)
    assert code == 0
    writer.close()


async def test_stopping_the_proxy_ends_its_connections(scenario: ProxyScenario) -> None:
    await scenario.start()
    _, reader, writer = await scenario.socks("web.shop", ECHO)
    silent_reader, silent_writer = await scenario.connect()  # has sent nothing
    await scenario.engine.stop_proxy(scenario.proxy_id)
    for one in (reader, silent_reader):
        with contextlib.suppress(ConnectionError):
            assert await one.read() == b""
    assert scenario.engine.forwards() == ()
    assert scenario.engine.proxies() == ()
    assert scenario.names.is_closed
    writer.close()
    silent_writer.close()
    with pytest.raises(UsageError, match="no proxy p1"):
        await scenario.engine.stop_proxy(scenario.proxy_id)


async def test_a_port_that_is_taken(scenario: ProxyScenario) -> None:
    await scenario.start()
    spec = ProxySpec(context="here", namespace="shop", port=scenario.port)
    with pytest.raises(ForwardError, match=f"{scenario.port}.*the cluster proxy p1"):
        await scenario.engine.start_proxy(spec)
    assert len(scenario.engine.proxies()) == 1


async def test_restored_proxy_waits_for_its_port(
    scenario: ProxyScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_RETRY_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as owner:
        port = owner.getsockname()[1]
        spec = ProxySpec(context="here", namespace="shop", port=port)
        with pytest.raises(ForwardError):
            await scenario.engine.start_proxy(spec)
        for name, one in (("p7", spec), ("", replace(spec, profile="shop"))):
            scenario.proxy_id = await scenario.engine.start_proxy(one, proxy_id=name)
            (info,) = scenario.engine.proxies()
            assert (info.listening, info.code) == ((), ReasonCode.LOCAL_PORT_TAKEN)
            assert f"({os.getpid()})" in info.reason, "it names the owner"
            if name:
                assert info.id == name
                await scenario.engine.stop_proxy(name)
    await until(lambda: bool(scenario.engine.proxies()[0].listening))
    assert scenario.port == port
    assert not scenario.engine.proxies()[0].reason
    code, _, writer = await scenario.socks("web.shop", ECHO)
    assert code == 0
    writer.close()


async def test_pac_file(scenario: ProxyScenario) -> None:
    await scenario.start()
    request = f"GET /proxy.pac HTTP/1.1\r\nHost: localhost:{scenario.port}\r\n\r\n"
    status, body = closed_pages(await scenario.send(request.encode()))
    assert status == 200
    assert f'"PROXY 127.0.0.1:{scenario.port}"' in body
    assert '".shop"' in body


async def test_password(scenario: ProxyScenario, tmp_path: Path) -> None:
    file = tmp_path / "login"
    file.write_text("alice:secret\n")
    file.chmod(0o600)
    await scenario.start(auth_file=str(file))
    assert (await scenario.send(b"\x05\x01\x00")) == b"\x05\xff"
    answer = await scenario.send(b"GET http://web.shop/ HTTP/1.1\r\nHost: web.shop\r\n\r\n")
    assert closed_pages(answer)[0] == 407
    reader, writer = await scenario.connect()
    writer.write(b"\x05\x01\x02\x01\x05alice\x06secret\x05\x01\x00\x03\x03web\x03\xe9")
    assert await reader.readexactly(14) == b"\x05\x02\x01\x00" + SUCCEEDED
    writer.close()
    assert "secret" not in repr(scenario.engine.proxies())


@pytest.mark.parametrize(
    ("text", "mode"), [("alice:secret", 0o644), ("alice", 0o600), ("", 0o600), ("a:b\nc:d", 0o600)]
)
async def test_password_files_that_cannot_be_used(
    scenario: ProxyScenario, tmp_path: Path, text: str, mode: int
) -> None:
    file = tmp_path / "login"
    file.write_text(text)
    file.chmod(mode)
    for path in (file, tmp_path / "missing"):
        with pytest.raises(ConfigError):
            await scenario.start(auth_file=str(path))
    assert scenario.engine.proxies() == ()


@needs_other_user
async def test_clients_of_other_users_are_refused(scenario: ProxyScenario) -> None:
    await scenario.start()

    def attack(port: int) -> str:
        try:
            # Not create_connection, which imports a codec: this user may not read the library.
            with socket.socket() as sock:
                sock.settimeout(5)
                sock.connect(("127.0.0.1", port))
                sock.sendall(b"\x05\x01\x00")
                return repr(sock.recv(2))
        except ConnectionError:
            return "reset"

    attack_in_other_process: Callable[[], str] = partial(attack, scenario.port)
    loop = asyncio.get_running_loop()
    result = await loop.run_in_executor(None, run_as_other_user, attack_in_other_process)
    assert result == "reset"
    (info,) = scenario.engine.proxies()
    assert "another user" in info.last_refusal


async def test_the_own_user_is_known() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, address = server.accept()
        ends = address, server.getsockname()
        with accepted:
            assert peer_state.find_user(*ends) in (os.getuid(), None)
            client.close()
            assert peer_state.find_user(*ends) in (-1, None)


async def test_a_name_that_becomes_that_of_another_service(scenario: ProxyScenario) -> None:
    await scenario.start()
    for _ in range(2):
        code, _, writer = await scenario.socks("web", ECHO)
        assert code == 0
        writer.close()
    scenario.names.services.clear()
    scenario.names.version += 1
    code, _, writer = await scenario.socks("web", ECHO)
    assert code == 4
    writer.close()


async def test_direct(scenario: ProxyScenario) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await scenario.start(direct=True)
    code, reader, writer = await scenario.socks("127.0.0.1", port)
    assert code == 0
    writer.write(b"hello")
    assert await reader.read(-1) == b"hello"
    writer.close()
    request = f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    assert (await scenario.send(request.encode())).startswith(b"GET / HTTP/1.1\r\n")
    server.close()
    await server.wait_closed()
    code, _, writer = await scenario.socks("127.0.0.1", port)
    assert code == 5
    writer.close()
