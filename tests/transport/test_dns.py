from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from tests.support.waiting import until
from tui_forward.errors import TransportError
from tui_forward.model import ReasonCode
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
            assert self.allowed.wait(60)
            return getaddrinfo("127.0.0.1", port, *args, **options)

        monkeypatch.setattr(socket, "getaddrinfo", hang)


@pytest.fixture(autouse=True)
def resolver(monkeypatch: pytest.MonkeyPatch) -> dns.Resolver:
    resolver = dns.Resolver()
    monkeypatch.setattr(dns, "_resolver", resolver)
    return resolver


async def test_hanging_lookup_is_an_error_that_names_the_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dns, "TIMEOUT_S", 0.05)
    lookups = HangingLookups(monkeypatch)
    with pytest.raises(TransportError, match=r"no name server answered within 0\.05 s") as failed:
        await resolve("api.example", 80, label="the API server")
    assert failed.value.code is ReasonCode.NETWORK_DNS
    lookups.allowed.set()


async def test_result_that_comes_too_late_is_used_by_the_next_attempt(
    monkeypatch: pytest.MonkeyPatch, resolver: dns.Resolver
) -> None:
    lookups = HangingLookups(monkeypatch)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await resolve("api.example", 80, label="it")
    lookups.allowed.set()
    await until(lambda: resolver.lookups["api.example", 80].ended_at is not None)
    monkeypatch.delattr(dns, "start_in_thread")  # no other lookup is needed
    (found,) = await resolve("api.example", 80, label="it")
    assert found[4] == ("127.0.0.1", 80)
    assert not resolver.lookups


async def test_old_lookup_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hang in a name server of a network that is gone."""
    monkeypatch.setattr(dns, "_STALE_S", 0.0)
    lookups = HangingLookups(monkeypatch)
    waiting = asyncio.create_task(resolve("api.example", 80, label="it"))
    await until(lambda: len(lookups.names) == 1)
    other = asyncio.create_task(resolve("api.example", 80, label="it"))
    await until(lambda: len(lookups.names) == 2)
    lookups.allowed.set()
    await asyncio.gather(waiting, other)


async def test_hanging_lookups_are_bounded(
    monkeypatch: pytest.MonkeyPatch, resolver: dns.Resolver
) -> None:
    monkeypatch.setattr(dns, "_MAX_LOOKUPS", 3)
    lookups = HangingLookups(monkeypatch)
    waiting = [asyncio.create_task(resolve(f"api{n}.example", 80, label="it")) for n in range(3)]
    await until(lambda: len(lookups.names) == 3)
    with pytest.raises(TransportError, match="3 other lookups have not ended"):
        await resolve("other.example", 80, label="it")
    lookups.allowed.set()
    await asyncio.gather(*waiting)
    assert await resolve("other.example", 80, label="it")
    assert not resolver.lookups


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
    assert not dns._resolver.lookups
