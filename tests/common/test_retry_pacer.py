from __future__ import annotations

import asyncio

import pytest

from tests.support.virtual_time import VirtualTime
from tui_forward.common.retry_pacer import RetryPacer


async def test_turns_that_end_at_once_do_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    VirtualTime(monkeypatch)
    loop = asyncio.get_running_loop()
    pacer = RetryPacer(first_s=0.5, longest_s=100)
    turns, until = 0, loop.time() + 500
    while loop.time() < until:
        await pacer.next_turn()
        turns += 1
    assert 13 <= turns <= 22


async def test_turns_that_last_are_not_delayed(monkeypatch: pytest.MonkeyPatch) -> None:
    VirtualTime(monkeypatch)
    loop = asyncio.get_running_loop()
    began = loop.time()
    pacer = RetryPacer(first_s=600, longest_s=600)
    for _ in range(5):
        await pacer.next_turn()
        await asyncio.sleep(2.5)
    assert loop.time() - began < 300
