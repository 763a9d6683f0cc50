from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.support.waiting import until
from tui_forward.common.clock import boottime
from tui_forward.common.periodic_checks import PeriodicChecks
from tui_forward.engine.host.system_monitor import (
    Fingerprint,
    SystemMonitor,
    network_fingerprint,
)


@asynccontextmanager
async def monitored(
    clock: Callable[[], float] = boottime,
    fingerprint: Callable[[], Fingerprint] = lambda: frozenset(),
) -> AsyncIterator[list[str]]:
    events: list[str] = []
    monitor = SystemMonitor(
        events.append,
        checks=PeriodicChecks("test", 0.005),
        slack_s=5,
        clock=clock,
        fingerprint=fingerprint,
    )
    task = asyncio.create_task(monitor.run())
    try:
        yield events
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_sleep_is_reported() -> None:
    slept = 0.0
    checks = 0

    def fingerprint() -> Fingerprint:
        nonlocal checks
        checks += 1
        return frozenset()

    async with monitored(lambda: boottime() + slept, fingerprint) as events:
        await until(lambda: checks > 1)
        slept = 3725.0
        await until(lambda: events)
        assert "slept for 1 h 2 min" in events[0]


async def test_clock_set_back_is_not_sleep() -> None:
    offset = 0.0
    checks = 0

    def fingerprint() -> Fingerprint:
        nonlocal checks
        checks += 1
        return frozenset()

    async with monitored(lambda: boottime() + offset, fingerprint) as events:
        offset = -3600.0
        await until(lambda: checks > 3)
        assert not events


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ({"eth0 10.0.0.1"}, {"eth0 10.0.0.1", "tun0 10.8.0.2"}, "tun0 10.8.0.2 is new"),
        ({"eth0 10.0.0.1"}, set(), "eth0 10.0.0.1 is gone"),
        ({"route 10.0.0.1"}, {"route 10.0.0.9"}, "another default route"),
    ],
)
async def test_network_change_is_reported(before: set[str], after: set[str], text: str) -> None:
    network = before
    checks = 0

    def fingerprint() -> Fingerprint:
        nonlocal checks
        checks += 1
        return frozenset(network)

    async with monitored(fingerprint=fingerprint) as events:
        await until(lambda: checks)
        network = after
        await until(lambda: events)
        assert text in events[0]


async def test_unreadable_interfaces_are_ignored() -> None:
    checks = 0

    def fingerprint() -> Fingerprint:
        nonlocal checks
        checks += 1
        if checks == 2:
            raise OSError("no netlink socket left")
        return frozenset({"eth0 10.0.0.1"})

    async with monitored(fingerprint=fingerprint) as events:
        await until(lambda: checks > 4)
        assert not events


def test_fingerprint_is_stable() -> None:
    assert network_fingerprint() == network_fingerprint()
