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


async def tended(activity: Iterator[int], looks: int) -> list[int]:
    """After how many looks the heap was trimmed."""
    seen = 0
    trimmed = []

    def read() -> int:
        nonlocal seen
        seen += 1
        return next(activity)

    def trim(_pad: int) -> int:
        trimmed.append(seen)
        return 1

    task = asyncio.create_task(HeapTrimmer(read, trim=trim, every_s=0.001).run())
    try:
        await until(lambda: seen >= looks or task.done())
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return trimmed


def held(figures: list[int]) -> Iterator[int]:
    yield from figures
    while True:
        yield figures[-1]


async def test_trims_when_traffic_has_ended_and_once_more_when_all_is_idle() -> None:
    assert await tended(held([0, 10 * MIB, 20 * MIB, 20 * MIB]), 40) == [4, 17]


async def test_leaves_the_heap_alone_while_bytes_flow() -> None:
    assert await tended(held([n * 10 * MIB for n in range(20)]), 15) == []


async def test_a_little_traffic_is_not_worth_it() -> None:
    assert await tended(held([0, 100, 200]), 12) == []


async def test_what_adds_up_is() -> None:
    assert await tended(held([0, 3 * MIB, 3 * MIB, 6 * MIB, 6 * MIB]), 12) == [5]


@pytest.mark.skipif(
    not (sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim")),
    reason="this C library has no malloc_trim",
)
async def test_the_system_gets_it_back() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    # Freed pieces below ones in use: what the allocator cannot give back by itself.
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
