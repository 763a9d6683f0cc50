from __future__ import annotations

import asyncio

from tui_forward.engine.event_log import EventLog
from tui_forward.model import Event, EventKind


def event(number: int) -> Event:
    return Event(event=EventKind.STATE, time=number, forward=f"f{number}")


async def read_all(log: EventLog, since: int = 0) -> list[int]:
    return [one.sequence async for one in log.read(since)]


async def test_sequence_numbers_start_at_one_without_gaps() -> None:
    log = EventLog()
    for number in range(5):
        log.append(event(number))
    log.close()
    assert await read_all(log) == [1, 2, 3, 4, 5]
    assert await read_all(log, since=3) == [4, 5]
    assert await read_all(log, since=9) == []


async def test_several_readers_receive_all_events() -> None:
    log = EventLog()
    readers = [asyncio.create_task(read_all(log, since)) for since in (0, 0, 2)]
    for number in range(4):
        log.append(event(number))
        await asyncio.sleep(0)
    log.close()
    assert await asyncio.gather(*readers) == [[1, 2, 3, 4], [1, 2, 3, 4], [3, 4]]


async def test_slow_reader_loses_the_oldest_events() -> None:
    log = EventLog(limit=10)
    log.append(event(0))
    reader = log.read()
    assert (await anext(reader)).sequence == 1
    for number in range(1, 30):
        log.append(event(number))
    log.close()
    assert [one.sequence async for one in reader] == list(range(21, 31))


async def test_burst_larger_than_a_batch_is_complete() -> None:
    log = EventLog(limit=4096)
    for number in range(3000):
        log.append(event(number))
    log.close()
    assert await read_all(log) == list(range(1, 3001))
    assert await read_all(log, since=2990) == list(range(2991, 3001))


async def test_reader_can_be_canceled() -> None:
    log = EventLog()
    task = asyncio.create_task(read_all(log))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    log.append(event(1))
    log.close()
    assert await read_all(log) == [1]
