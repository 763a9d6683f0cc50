from __future__ import annotations

import asyncio
import time

import pytest

from tui_forward.common import retry_pacer
from tui_forward.common.retry_pacer import RetryPacer


async def count_turns(pacer: RetryPacer, seconds: float, turn_s: float = 0.0) -> int:
    turns, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        await pacer.next_turn()
        turns += 1
        await asyncio.sleep(turn_s)
    return turns


async def test_turns_that_end_at_once_do_not_spin() -> None:
    assert 3 <= await count_turns(RetryPacer(first_s=0.05, longest_s=10), 0.5) <= 9


async def test_turns_that_last_are_not_delayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_pacer, "_STABLE_S", 0.01)
    began = time.monotonic()
    pacer = RetryPacer(first_s=60, longest_s=60)
    for _ in range(5):
        await pacer.next_turn()
        await asyncio.sleep(0.02)
    assert time.monotonic() - began < 30
