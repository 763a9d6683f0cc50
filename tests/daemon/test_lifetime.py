from __future__ import annotations

import pytest

from tests.support.virtual_time import VirtualTime
from tui_forward.daemon.lifetime import Lifetime


@pytest.fixture
async def time(monkeypatch: pytest.MonkeyPatch) -> VirtualTime:
    return VirtualTime(monkeypatch)


async def test_ends_when_no_client_connects(time: VirtualTime) -> None:
    lifetime = Lifetime(60, first_s=3600)
    await time.pass_seconds(1800)
    assert not lifetime._ended.done()
    assert await lifetime.wait() == "no client connected"


async def test_client_that_left_before_it_was_served_ends_nothing(time: VirtualTime) -> None:
    lifetime = Lifetime(0, first_s=3600)
    lifetime.set_client_count(1)
    lifetime.set_client_count(0)
    await time.pass_seconds(1800)
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


async def test_new_client_within_idle_timeout_extends_lifetime(time: VirtualTime) -> None:
    lifetime = Lifetime(3600, first_s=60)
    lifetime.set_client_count(1)
    lifetime.set_used()
    lifetime.set_client_count(0)
    await time.pass_seconds(1800)
    lifetime.set_client_count(1)
    await time.pass_seconds(7200)
    assert not lifetime._ended.done()
    lifetime.set_client_count(0)
    await time.pass_seconds(1800)
    assert not lifetime._ended.done()
    assert await lifetime.wait() == "the last client disconnected"


async def test_infinite_lifetime_ends_on_request() -> None:
    lifetime = Lifetime(float("inf"), first_s=float("inf"))
    lifetime.set_client_count(1)
    lifetime.set_client_count(0)
    assert lifetime._timer is None
    lifetime.end("SIGTERM")
    lifetime.end("SIGINT")
    assert await lifetime.wait() == "SIGTERM"


async def test_continues_while_needed_without_clients(time: VirtualTime) -> None:
    needed = True
    lifetime = Lifetime(0, first_s=60, is_needed=lambda: needed)
    lifetime.set_client_count(1)
    lifetime.set_used()
    lifetime.set_client_count(0)
    await time.pass_seconds(60)
    assert not lifetime._ended.done()
    needed = False
    assert await lifetime.wait() == "the last client disconnected"
