from __future__ import annotations

import asyncio

import pytest

from tui_forward.daemon.lifetime import Lifetime


async def test_ends_when_no_front_end_comes() -> None:
    assert await Lifetime(60, first_s=0.01).wait() == "no front end came"


async def test_ends_at_once_after_the_last_front_end() -> None:
    lifetime = Lifetime(0, first_s=60)
    lifetime.set_client_count(1)
    lifetime.set_client_count(2)
    lifetime.set_client_count(1)
    assert not lifetime._over.done()
    lifetime.set_client_count(0)
    assert await lifetime.wait() == "the last front end has gone"


async def test_lingers_and_a_new_front_end_keeps_it_alive() -> None:
    lifetime = Lifetime(0.02, first_s=60)
    lifetime.set_client_count(1)
    lifetime.set_client_count(0)
    lifetime.set_client_count(1)
    await asyncio.sleep(0.04)
    assert not lifetime._over.done()
    lifetime.set_client_count(0)
    assert await lifetime.wait() == "the last front end has gone"


async def test_for_ever_until_it_is_told() -> None:
    lifetime = Lifetime(float("inf"), first_s=float("inf"))
    lifetime.set_client_count(1)
    lifetime.set_client_count(0)
    assert lifetime._timer is None
    lifetime.end("SIGTERM")
    lifetime.end("SIGINT")
    assert await lifetime.wait() == "SIGTERM"


async def test_goes_on_as_long_as_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_forward.daemon.lifetime._LOOK_AGAIN_S", 0.01)
    needed = True
    lifetime = Lifetime(0, first_s=60, needed=lambda: needed)
    lifetime.set_client_count(1)
    lifetime.set_client_count(0)
    await asyncio.sleep(0.05)
    assert not lifetime._over.done()
    needed = False
    assert await lifetime.wait() == "the last front end has gone"
