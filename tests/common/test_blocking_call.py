from __future__ import annotations

import asyncio
import threading

import pytest

from tests.support.waiting import until
from tui_forward.common.blocking_call import ThreadSlots, run_in_thread


async def test_hanging_calls_do_not_delay_others() -> None:
    """The event loop's own pool has a few threads only."""
    allowed = threading.Event()
    hanging = [
        asyncio.create_task(run_in_thread(lambda: allowed.wait(30), name="hang"))
        for _ in range(100)
    ]
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        assert await run_in_thread(lambda: 7, name="other") == 7
    allowed.set()
    assert all(await asyncio.gather(*hanging))


async def test_error_is_raised_where_the_result_is_awaited() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run_in_thread(fail, name="fails")


async def test_slots_are_limited_until_calls_end() -> None:
    slots, allowed = ThreadSlots(2), threading.Event()
    hanging = [
        asyncio.create_task(slots.run(lambda: allowed.wait(30), name="hang")) for _ in range(2)
    ]
    await asyncio.sleep(0)
    assert await slots.run(lambda: 7, name="third") is None
    hanging[0].cancel()
    await asyncio.sleep(0)
    assert await slots.run(lambda: 7, name="third") is None, "its thread has not ended"
    allowed.set()
    await hanging[1]
    await until(lambda: slots._free == 2)
    assert await slots.run(lambda: 7, name="fourth") == 7
