from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Iterator

import pytest

from tests.support.waiting import until
from tui_forward.engine.host.heap_trimmer import HeapTrimmer

MIB = 1 << 20


async def checks_with_trim(activity: Iterator[int], checks: int) -> list[int]:
    """Return after how many checks the heap was trimmed."""
    count = 0
    trimmed = []

    def read() -> int:
        nonlocal count
        count += 1
        return next(activity)

    def trim(_pad: int) -> int:
        trimmed.append(count)
        return 1

    task = asyncio.create_task(HeapTrimmer(read, trim=trim, every_s=0.001).run())
    try:
        await until(lambda: count >= checks or task.done())
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return trimmed


def then_constant(values: list[int]) -> Iterator[int]:
    yield from values
    while True:
        yield values[-1]


async def test_heap_is_trimmed_after_traffic_and_again_when_idle() -> None:
    assert await checks_with_trim(then_constant([0, 10 * MIB, 20 * MIB, 20 * MIB]), 40) == [4, 17]


async def test_heap_is_not_trimmed_during_traffic() -> None:
    assert await checks_with_trim(then_constant([n * 10 * MIB for n in range(20)]), 15) == []


async def test_heap_is_not_trimmed_after_little_traffic() -> None:
    assert await checks_with_trim(then_constant([0, 100, 200]), 12) == []


async def test_small_transfers_add_up() -> None:
    assert await checks_with_trim(then_constant([0, 3 * MIB, 3 * MIB, 6 * MIB, 6 * MIB]), 12) == [5]


@pytest.mark.skipif(
    not (sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim")),
    reason="this C library has no malloc_trim",
)
async def test_trimmed_memory_is_returned_to_the_system() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    # Free pieces below used ones: the allocator cannot return these by itself.
    pieces = [bytes(60_000) for _ in range(2000)]
    kept = pieces[::200]
    before = resident()
    del pieces
    moved = iter([0, 100 * MIB])
    task = asyncio.create_task(HeapTrimmer(lambda: next(moved, 100 * MIB), every_s=0.001).run())
    try:
        await until(lambda: resident() < before - 60 * MIB)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert len(kept) == 10


async def test_idle_heap_is_not_checked() -> None:
    count = 0
    active = asyncio.Event()

    trims = 0

    def read() -> int:
        nonlocal count
        count += 1
        return 10 * MIB if active.is_set() else 0

    def trim(_pad: int) -> int:
        nonlocal trims
        trims += 1
        if trims == 2:  # nothing is left to trim
            active.clear()
        return 1

    async def wait() -> None:
        await active.wait()

    trimmer = HeapTrimmer(read, wait_for_activity=wait, trim=trim, every_s=0.001)
    task = asyncio.create_task(trimmer.run())
    for _ in range(2):
        before = count
        for _ in range(50):
            await asyncio.sleep(0.0001)
        assert count <= before + 1
        active.set()
        await until(lambda: trims == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
