from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.support.waiting import until
from tui_forward.engine.host.system_monitor import (
    Fingerprint,
    SystemEvent,
    SystemEventKind,
    SystemMonitor,
    boottime,
    network_fingerprint,
)


@asynccontextmanager
async def watching(
    clock: Callable[[], float] = boottime,
    fingerprint: Callable[[], Fingerprint] = lambda: frozenset(),
) -> AsyncIterator[list[SystemEvent]]:
    woken: list[SystemEvent] = []
    watchman = SystemMonitor(
        woken.append, every_s=0.005, slack_s=5, clock=clock, fingerprint=fingerprint
    )
    task = asyncio.create_task(watchman.run())
    try:
        yield woken
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_notices_sleep() -> None:
    slept = 0.0
    looks = 0

    def fingerprint() -> Fingerprint:
        nonlocal looks
        looks += 1
        return frozenset()

    async with watching(lambda: boottime() + slept, fingerprint) as woken:
        await until(lambda: looks > 1)
        slept = 3725.0
        await until(lambda: woken)
        assert woken[0].cause is SystemEventKind.SLEPT
        assert "slept for 1 h 2 min" in woken[0].text


async def test_a_clock_set_back_is_no_sleep() -> None:
    offset = 0.0
    looks = 0

    def fingerprint() -> Fingerprint:
        nonlocal looks
        looks += 1
        return frozenset()

    async with watching(lambda: boottime() + offset, fingerprint) as woken:
        offset = -3600.0
        await until(lambda: looks > 3)
        assert not woken


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"eth0 10.0.0.1"}, {"eth0 10.0.0.1", "tun0 10.8.0.2"}, "tun0 10.8.0.2 is new"),
        ({"eth0 10.0.0.1"}, set(), "eth0 10.0.0.1 is gone"),
        ({"route 10.0.0.1"}, {"route 10.0.0.9"}, "another default route"),
    ],
)
async def test_notices_another_network(before: set[str], after: set[str], words: str) -> None:
    network = before
    looks = 0

    def fingerprint() -> Fingerprint:
        nonlocal looks
        looks += 1
        return frozenset(network)

    async with watching(fingerprint=fingerprint) as woken:
        await until(lambda: looks)
        network = after
        await until(lambda: woken)
        assert woken[0].cause is SystemEventKind.NETWORK
        assert words in woken[0].text


async def test_goes_on_when_the_interfaces_cannot_be_read() -> None:
    looks = 0

    def fingerprint() -> Fingerprint:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise OSError("no netlink socket left")
        return frozenset({"eth0 10.0.0.1"})

    async with watching(fingerprint=fingerprint) as woken:
        await until(lambda: looks > 4)
        assert not woken


def test_this_machine_has_a_stable_fingerprint() -> None:
    assert network_fingerprint() == network_fingerprint()
