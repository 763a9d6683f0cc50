from __future__ import annotations

import asyncio
import threading
import time

from tests.support.waiting import until
from tui_forward.common.periodic_checks import PeriodicChecks


async def test_wait_ends_when_the_check_returns_true() -> None:
    checks = PeriodicChecks("test", 0.001)
    calls: list[str] = []

    def check() -> bool:
        calls.append(threading.current_thread().name)
        return len(calls) == 3

    await checks.wait(check)
    assert calls == ["test"] * 3


async def test_all_checks_share_a_thread_that_ends_with_the_last() -> None:
    checks = PeriodicChecks("shared-checks", 0.001)
    done = False
    waits = [asyncio.create_task(checks.wait(lambda: done)) for _ in range(3)]

    def threads() -> int:
        return sum(one.name == "shared-checks" for one in threading.enumerate())

    await until(lambda: threads() == 1)
    done = True
    await asyncio.gather(*waits)
    await until(lambda: not threads())
    await checks.wait(lambda: True)  # starts another one


async def test_check_that_fails_ends_its_wait_only() -> None:
    checks = PeriodicChecks("test", 0.001)

    def fail() -> bool:
        raise OSError

    other = asyncio.create_task(checks.wait(lambda: False))
    await checks.wait(fail)
    assert not other.done()
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)


async def test_canceled_wait_ends_its_check() -> None:
    checks = PeriodicChecks("test", 0.001)
    latest = 0.0

    def check() -> bool:
        nonlocal latest
        latest = time.monotonic()
        return False

    wait = asyncio.create_task(checks.wait(check))
    await until(lambda: latest)
    wait.cancel()
    await asyncio.gather(wait, return_exceptions=True)
    await until(lambda: not checks._is_running)
