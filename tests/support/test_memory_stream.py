from __future__ import annotations

import asyncio

from tests.support.faulty_stream import FaultyStream
from tests.support.memory_stream import memory_pair
from tests.support.waiting import until
from tests.transport.handlers import Listener


async def test_pair_pauses_writers_and_closes_like_sockets() -> None:
    left, right = memory_pair(write_limit=100)
    here = Listener(left)
    there = Listener(right, read=False)
    left.write(bytes(101))
    assert (here.paused, left.write_buffer_size) == (1, 101)
    right.resume_reading()
    await there.expect(bytes(101))
    await until(lambda: here.resumed)
    right.write(b"bye")
    right.close()
    await here.expect(b"bye")
    assert await here.end() is None
    assert await there.end() is None
    left.write(b"unread")


async def test_abort_resets_the_peer() -> None:
    left, right = memory_pair()
    here, there = Listener(left), Listener(right)
    left.abort()
    assert await here.end() is None
    error = await there.end()
    assert error is not None
    late = Listener(right)
    assert await late.end() is error


async def test_stalled_stream_continues_after_unstall() -> None:
    left, right = memory_pair()
    wire = FaultyStream(left)
    here, there = Listener(wire), Listener(right)
    wire.stall()
    wire.write(b"out")
    right.write(b"in")
    await asyncio.sleep(0.01)
    assert not here.received
    assert not there.received
    assert wire.write_buffer_size == 3
    wire.unstall()
    await here.expect(b"in")
    await there.expect(b"out")
    wire.cut()
    assert await here.end() is None
    assert await Listener(wire).end() is None


async def test_delayed_split_and_discarded_data() -> None:
    left, right = memory_pair()
    wire = FaultyStream(left)
    here, there = Listener(wire), Listener(right)
    wire.delay(0.01)
    wire.split(2)
    right.write(b"12345")
    await here.expect(b"12345")
    assert here.largest == 2
    wire.swallow()
    wire.write(b"lost")
    wire.reset()
    error = await here.end()
    assert error is not None
    assert not there.received
    wire.abort()
