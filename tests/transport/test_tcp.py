from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

import pytest
from aiohappyeyeballs import AddrInfoType

from tests.support.waiting import until
from tests.transport.handlers import echo_server
from tui_forward.errors import TransportError
from tui_forward.model import ReasonCode
from tui_forward.transport import tcp
from tui_forward.transport.tcp import dial_tcp


async def test_refused_connection_is_an_error_with_address_and_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(TransportError, match=f"the thing at 127.0.0.1:{port} refuses") as caught:
        await dial_tcp("127.0.0.1", port, label="the thing")
    assert caught.value.hint


async def test_socket_has_keep_alive_and_no_delay() -> None:
    async with echo_server() as server:
        sock = await dial_tcp("127.0.0.1", server.port, label="it")
        with sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            idle_s = sock.getsockopt(socket.IPPROTO_TCP, tcp._KEEPALIVE_IDLE)
            assert idle_s == tcp.KEEPALIVE_IDLE_S


def resolved_to(*hosts: str) -> Callable[..., object]:
    async def resolve(host: str, port: int, *, label: str) -> list[AddrInfoType]:
        return [
            (
                socket.AF_INET6 if ":" in one else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (one, port),
            )
            for one in hosts
        ]

    return resolve


async def test_next_address_is_tried_when_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "resolve", resolved_to("127.0.0.2", "127.0.0.1"))
    async with echo_server() as server:
        sock = await dial_tcp("two", server.port, label="it")
        assert sock.getpeername() == ("127.0.0.1", server.port)
        sock.close()


async def test_next_address_is_tried_when_one_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "resolve", resolved_to("127.0.0.2", "127.0.0.1"))
    monkeypatch.setattr(tcp, "ATTEMPT_DELAY_S", 0.01)
    with socket.create_server(("127.0.0.2", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]  # a full backlog drops further SYNs
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.2", port))
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", port)
        async with server:
            sock = await asyncio.wait_for(dial_tcp("two", port, label="it"), 10)
            assert sock.getpeername() == ("127.0.0.1", port)
            sock.close()
        for filler in fillers:
            filler.close()


async def test_all_failures_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "resolve", resolved_to("127.0.0.2", "127.0.0.1"))
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(TransportError, match=r"it at two:.* refuses connections"):
        await dial_tcp("two", port, label="it")


async def test_canceling_closes_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[socket.socket] = []
    open_socket = tcp._open_socket

    def remember(address: AddrInfoType) -> socket.socket:
        opened.append(open_socket(address))
        return opened[-1]

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(tcp, "_open_socket", remember)
    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", never)
    dial = asyncio.create_task(dial_tcp("127.0.0.1", 1, label="it"))
    await until(lambda: opened)
    dial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dial
    assert opened[0].fileno() == -1


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENETUNREACH, "no route to it"),
        (errno.EHOSTUNREACH, "no route to it"),
        (errno.ETIMEDOUT, "does not answer"),
        (errno.EACCES, "cannot be reached"),
    ],
)
def test_connect_errors_in_words(number: int, text: str) -> None:
    error = tcp.describe_connect_error(OSError(number, "x"), "::1", 80, "it")
    assert text in error.message
    assert "[::1]:80" in error.message


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_lack_of_files_is_not_the_fault_of_the_server(number: int) -> None:
    error = tcp.describe_connect_error(OSError(number, "x"), "::1", 80, "it")
    assert error.code is ReasonCode.LOCAL_EXHAUSTED
    assert error.message.startswith("no more files or connections can be opened: ")
    assert "ulimit -n" in error.hint
