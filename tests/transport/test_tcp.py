from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from tests.transport.handlers import echo_server
from tui_forward.errors import TransportError
from tui_forward.transport import tcp
from tui_forward.transport.tcp import dial_tcp


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(TransportError, match=f"the thing at 127.0.0.1:{port} refuses") as caught:
        await dial_tcp("127.0.0.1", port, what="the thing")
    assert caught.value.hint


async def test_no_such_name() -> None:
    with pytest.raises(TransportError, match=r"'nowhere\.invalid', cannot be resolved"):
        await dial_tcp("nowhere.invalid", 80, what="the thing")


async def test_a_name_that_is_no_name() -> None:
    with pytest.raises(TransportError, match="cannot be resolved"):
        await dial_tcp("a" * 300, 80, what="the thing")


def resolved_to(*hosts: str) -> Callable[..., object]:
    async def resolve(host: str, port: int, what: str) -> list[tcp.Address]:
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, (one, port)) for one in hosts]

    return resolve


async def test_the_next_address_is_tried_when_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "_resolve", resolved_to("127.0.0.2", "127.0.0.1"))
    async with echo_server() as server:
        sock = await dial_tcp("two", server.port, what="it")
        assert sock.getpeername() == ("127.0.0.1", server.port)
        sock.close()


async def test_the_next_address_is_tried_when_one_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "_resolve", resolved_to("127.0.0.2", "127.0.0.1"))
    monkeypatch.setattr(tcp, "ATTEMPT_DELAY_S", 0.01)
    connect = tcp._connect
    cancelled: list[object] = []

    async def slow(address: tcp.Address) -> socket.socket:
        if address[1][0] == "127.0.0.2":
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(address)
        return await connect(address)

    monkeypatch.setattr(tcp, "_connect", slow)
    async with echo_server() as server:
        sock = await dial_tcp("two", server.port, what="it")
        sock.close()
    assert cancelled


async def test_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    async def info(*_: object, **__: object) -> list[object]:
        return [
            (socket.AF_INET6, 1, 6, "", ("::1", 1)),
            (socket.AF_INET6, 1, 6, "", ("::2", 1)),
            (socket.AF_INET, 1, 6, "", ("1.1.1.1", 1)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", info)
    order = [address[1][0] for address in await tcp._resolve("x", 1, "it")]
    assert order == ["::1", "1.1.1.1", "::2"]


async def test_cancelling_closes_what_was_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def never(address: tcp.Address) -> socket.socket:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(tcp, "_connect", never)
    dial = asyncio.create_task(dial_tcp("127.0.0.1", 1, what="it"))
    await begun.wait()
    dial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dial


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("ENETUNREACH", "there is no way to it"),
        ("EHOSTUNREACH", "there is no way to it"),
        ("ETIMEDOUT", "does not answer"),
        ("EACCES", "cannot be reached"),
    ],
)
def test_errors_in_words(number: str, words: str) -> None:
    import errno

    error = tcp.describe_connect_error(OSError(getattr(errno, number), "x"), "::1", 80, "it")
    assert words in error.message
    assert "[::1]:80" in error.message
