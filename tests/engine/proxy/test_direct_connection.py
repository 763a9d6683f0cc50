from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from tui_forward.engine.proxy import direct_connection
from tui_forward.engine.proxy.direct_connection import dial_direct
from tui_forward.engine.proxy.router import DirectAddress
from tui_forward.errors import ForwardError
from tui_forward.model import ReasonCode


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    async def resolve(host: str, port: int, *, label: str) -> Sequence[Any]:
        return [
            one
            for address in addresses
            for one in socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        ]

    monkeypatch.setattr(direct_connection, "resolve", resolve)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "fe80::1",
    ],
)
async def test_names_do_not_lead_to_this_machine(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    resolve_to(monkeypatch, address)
    with pytest.raises(ForwardError) as caught:
        await dial_direct(DirectAddress("rebind.example.com", 80))
    assert caught.value.code is ReasonCode.PROXY_LOCAL_ADDRESS
    assert "rebind.example.com" in caught.value.message


async def test_the_other_addresses_of_a_name_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    dialed: list[Any] = []

    async def dial(addresses: Sequence[Any], host: str, port: int, *, label: str) -> socket.socket:
        dialed.extend((one[4][0], host, port, label) for one in addresses)
        return socket.socket()

    resolve_to(monkeypatch, "127.0.0.1", "192.0.2.1")
    monkeypatch.setattr(direct_connection, "dial_addresses", dial)
    (await dial_direct(DirectAddress("both.example.com", 80))).close()
    assert dialed == [("192.0.2.1", "both.example.com", 80, "both.example.com")]


async def test_short_forms_of_addresses_are_names() -> None:
    with pytest.raises(ForwardError) as caught:
        await dial_direct(DirectAddress("127.1", 80))
    assert caught.value.code is ReasonCode.PROXY_LOCAL_ADDRESS


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_this_machine_is_reached_by_its_own_names(host: str) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        (await dial_direct(DirectAddress(host, port))).close()
