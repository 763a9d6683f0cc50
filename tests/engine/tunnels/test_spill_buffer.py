from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels import spill_buffer
from tui_forward.engine.tunnels.spill_buffer import BufferBudget, SpillBuffer

KIB = 1024
SMALL = replace(Limits(), stream_buffer=0, forward_buffer=1000 * KIB, spill=2000 * KIB)


def drain(backlog: SpillBuffer) -> bytes:
    out = b""
    while len(piece := backlog.peek()):
        out += bytes(piece)
        backlog.consume(len(piece))
    return out


def test_memory_first_then_disk_and_everything_in_order() -> None:
    store = BufferBudget(SMALL)
    backlog = SpillBuffer(store)
    sent = b""
    for number in range(40):
        piece = bytes([number]) * (20 * KIB)
        backlog.append(memoryview(piece))
        sent += piece
    assert backlog.size == len(sent)
    assert 256 * KIB <= store.memory <= 300 * KIB
    assert store.disk == len(sent) - store.memory
    assert drain(backlog) == sent
    assert (store.memory, store.disk, backlog.size) == (0, 0, 0)


def test_a_full_disk_is_not_an_error_and_keeps_the_order() -> None:
    store = BufferBudget(replace(SMALL, spill=300 * KIB))
    backlog = SpillBuffer(store)
    sent = bytes(range(250)) * (4 * KIB)
    for start in range(0, len(sent), 50 * KIB):
        backlog.append(memoryview(sent)[start : start + 50 * KIB])
    assert store.disk <= 300 * KIB
    assert not store.disk_left
    assert store.max_backlog(shared=True) == store.memory_share
    assert drain(backlog) == sent


def test_no_disk_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(spill_buffer, "_open_scratch", fail)
    backlog = SpillBuffer(BufferBudget(SMALL))
    sent = bytes(600 * KIB)
    for start in range(0, len(sent), 50 * KIB):
        backlog.append(memoryview(sent)[start : start + 50 * KIB])
    assert drain(backlog) == sent


def test_closing_gives_everything_back() -> None:
    store = BufferBudget(SMALL)
    backlog = SpillBuffer(store)
    backlog.append(memoryview(bytes(300 * KIB)))
    backlog.append(memoryview(bytes(300 * KIB)))
    assert store.disk
    backlog.close()
    backlog.close()
    assert (store.memory, store.disk) == (0, 0)


def test_what_is_kept_is_a_copy() -> None:
    backlog = SpillBuffer(BufferBudget(Limits()))
    buffer = bytearray(b"abc")
    backlog.append(memoryview(buffer))
    buffer[:] = b"xyz"
    assert drain(backlog) == b"abc"


def test_alone_little_is_kept_shared_the_disk_helps_and_memory_is_shared_out() -> None:
    limits = Limits()
    store = BufferBudget(limits)
    assert store.max_backlog(shared=False) == limits.stream_buffer
    assert store.max_backlog(shared=True) == limits.stream_buffer + limits.spill
    store.memory = limits.forward_buffer
    assert store.max_backlog(shared=False) < limits.stream_buffer


def test_room_for_replays_is_bounded() -> None:
    store = BufferBudget(replace(Limits(), forward_replay=10))
    assert store.reserve_replay(10)
    assert not store.reserve_replay(1)
    store.release_replay(10)
    assert store.reserve_replay(1)


@given(st.lists(st.tuples(st.integers(1, 90_000), st.integers(0, 120_000)), max_size=40))
def test_first_in_first_out(moves: list[tuple[int, int]]) -> None:
    limits = replace(Limits(), stream_buffer=0, forward_buffer=0, spill=600_000)
    store = BufferBudget(limits)
    backlog = SpillBuffer(store)
    expected = bytearray()
    for number, (put, take) in enumerate(moves):
        piece = bytes((number + index) % 251 for index in range(0, put, 97)) * 97
        backlog.append(memoryview(piece))
        expected += piece
        while take and len(head := backlog.peek()):
            count = min(take, len(head))
            assert bytes(head[:count]) == bytes(expected[:count])
            backlog.consume(count)
            del expected[:count]
            take -= count
        assert backlog.size == len(expected)
    assert drain(backlog) == bytes(expected)
    assert (store.memory, store.disk) == (0, 0)
