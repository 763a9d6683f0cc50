from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from tests.support.waiting import until
from tui_forward.errors import TransportError
from tui_forward.transport import dns
from tui_forward.transport.dns import resolve


async def test_unknown_name_is_an_error() -> None:
    with pytest.raises(TransportError, match=r"'nowhere\.invalid', cannot be resolved") as caught:
        await resolve("nowhere.invalid", 80, label="it")
    assert "VPN" in caught.value.hint


async def test_malformed_name_is_an_error() -> None:
    with pytest.raises(TransportError, match="cannot be resolved"):
        await resolve("a" * 300, 80, label="it")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_address_needs_no_lookup(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(dns, "start_in_thread")
    (found,) = await resolve(host, 80, label="it")
    assert found[4][:2] == (host, 80)


class HangingLookups:
    """Lookups that end when the test allows it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.allowed = threading.Event()
        self.names: list[str] = []
        getaddrinfo = socket.getaddrinfo

        def hang(host: str, port: int, *args: Any, **options: Any) -> Any:
            if options.get("flags"):
                return getaddrinfo(host, port, *args, **options)
            self.names.append(host)
            assert self.allowed.wait(10)
            return getaddrinfo("127.0.0.1", port, *args, **options)

        monkeypatch.setattr(socket, "getaddrinfo", hang)


async def test_hanging_lookups_of_one_name_share_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    lookups = HangingLookups(monkeypatch)
    waiting = [asyncio.create_task(resolve("api.example", 80, label="it")) for _ in range(50)]
    other = asyncio.create_task(resolve("other.example", 80, label="it"))
    await until(lambda: len(lookups.names) == 2)
    # The event loop's own executor stays free.
    assert await asyncio.to_thread(lambda: 7) == 7
    waiting.pop().cancel()
    lookups.allowed.set()
    found = await asyncio.gather(*waiting, other)
    assert {one[0][4] for one in found} == {("127.0.0.1", 80)}
    assert sorted(lookups.names) == ["api.example", "other.example"]
    assert not dns._lookups
