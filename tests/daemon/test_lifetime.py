from __future__ import annotations

import asyncio

import pytest

from tui_forward.daemon.lifetime import Lifetime


async def test_ends_when_no_client_connects() -> None:
    assert await Lifetime(60, first_s=0.01).wait() == "no client connected"


async def test_client_that_left_before_it_was_served_ends_nothing() -> None:
    lifetime = Lifetime(0, first_s=0.05)
    lifetime.set_client_count(1)
    lifetime.set_client_count(0)
    assert not lifetime._ended.done()
    assert await lifetime.wait() == "no client connected"


async def test_ends_at_once_after_the_last_client() -> None:
    lifetime = Lifetime(0, first_s=60)
    lifetime.set_client_count(1)
    lifetime.set_used()
    lifetime.set_client_count(2)
    lifetime.set_client_count(1)
    assert not lifetime._ended.done()
    lifetime.set_client_count(0)
    assert await lifetime.wait() == "the last client disconnected"


async def test_new_client_within_idle_timeout_extends_lifetime() -> None:
    lifetime = Lifetime(0.02, first_s=60)
    lifetime.set_client_count(1)
    lifetime.set_used()
    lifetime.set_client_count(0)
    lifetime.set_client_count(1)
    await asyncio.sleep(0.04)
    assert not lifetime._ended.done()
    lifetime.set_client_count(0)
    assert await lifetime.wait() == "the last client disconnected"


async def test_infinite_lifetime_ends_on_request() -> None:
    lifetime = Lifetime(float("inf"), first_s=float("inf"))
    lifetime.set_client_count(1)
    lifetime.set_client_count(0)
    assert lifetime._timer is None
    lifetime.end("SIGTERM")
    lifetime.end("SIGINT")
    assert await lifetime.wait() == "SIGTERM"


async def test_continues_while_needed_without_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_forward.daemon.lifetime._CHECK_S", 0.01)
    needed = True
    lifetime = Lifetime(0, first_s=60, is_needed=lambda: needed)
    lifetime.set_client_count(1)
    lifetime.set_used()
    lifetime.set_client_count(0)
    await asyncio.sleep(0.05)
    assert not lifetime._ended.done()
    needed = False
    assert await lifetime.wait() == "the last client disconnected"
