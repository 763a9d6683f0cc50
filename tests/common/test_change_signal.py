from __future__ import annotations

import asyncio

import pytest

from tests.support.virtual_time import VirtualTime
from tui_forward.common.change_signal import ChangeSignal


async def test_changes_that_follow_each_other_are_reported_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    VirtualTime(monkeypatch)
    loop = asyncio.get_running_loop()
    signal = ChangeSignal()
    times: list[float] = []

    async def read() -> None:
        async for _ in signal.read():
            times.append(loop.time())  # noqa: PERF401 - one by one

    reading = asyncio.create_task(read())
    await asyncio.sleep(60)
    assert times == []  # nothing wakes a reader while nothing changes
    begun = loop.time()
    while loop.time() < begun + 20:
        signal.notify()
        await asyncio.sleep(0.05)
    assert times[0] - begun < 0.01
    assert 0.2 < times[1] - times[0] < 0.4
    assert 18 < len(times) < 30  # once a second while changes go on
    signal.close()
    await reading


async def test_wait_is_for_later_versions() -> None:
    signal = ChangeSignal()
    version = signal.version
    signal.notify()
    assert await signal.wait(version) == version + 1
    waiting = asyncio.create_task(signal.wait(version + 1))
    await asyncio.sleep(0)
    assert not waiting.done()
    signal.notify()
    assert await waiting == version + 2
