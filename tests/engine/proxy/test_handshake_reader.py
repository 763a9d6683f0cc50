from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from tests.support.waiting import until
from tui_forward.engine.proxy.handshake import ClientHandshake
from tui_forward.engine.proxy.handshake_reader import HandshakeReader, read_handshake
from tui_forward.engine.proxy.requests import RequestRules

GREETING = b"\x05\x01\x00"
REQUEST = b"\x05\x01\x00\x03\x08web.shop\x00\x50"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's socket, and the proxy's end of it."""
    client, accepted = socket.socketpair()
    with client, accepted:
        accepted.setblocking(False)
        yield client, accepted


def start(sock: socket.socket, problems: list[str], timeout_s: float = 30.0) -> HandshakeReader:
    return HandshakeReader(
        sock,
        ClientHandshake(RequestRules(1080, None)),
        timeout_s=timeout_s,
        on_done=lambda _, problem: problems.append(problem),
    )


async def test_what_has_arrived_is_read_at_once(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, sock = pair
    client.sendall(GREETING + REQUEST)
    handshake = ClientHandshake(RequestRules(1080, None))
    assert not read_handshake(sock, handshake)
    assert str(handshake.destination) == "web.shop:80"
    assert not read_handshake(sock, handshake), "nothing more has arrived"


async def test_the_rest_is_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    client, sock = pair
    client.sendall(GREETING)
    problems: list[str] = []
    client.setblocking(False)
    start(sock, problems)
    assert await asyncio.get_running_loop().sock_recv(client, 9) == b"\x05\x00"
    client.sendall(REQUEST[:5])
    assert problems == []
    client.sendall(REQUEST[5:])
    await until(lambda: problems == [""])


async def test_clients_that_leave_or_send_nothing(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, sock = pair
    problems: list[str] = []
    start(sock, problems, timeout_s=0.01)
    await until(lambda: problems == ["it sends nothing"])
    client.close()
    reader = start(sock, problems)
    await until(lambda: problems == ["it sends nothing", ""])
    assert reader.handshake.is_over
