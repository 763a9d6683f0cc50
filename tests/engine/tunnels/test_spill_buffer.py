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


def test_memory_is_used_before_disk_and_order_is_kept() -> None:
    budget = BufferBudget(SMALL)
    backlog = SpillBuffer(budget)
    sent = b""
    for number in range(40):
        piece = bytes([number]) * (20 * KIB)
        backlog.append(memoryview(piece))
        sent += piece
    assert backlog.size == len(sent)
    assert 256 * KIB <= budget.memory <= 300 * KIB
    assert budget.disk == len(sent) - budget.memory
    assert drain(backlog) == sent
    assert (budget.memory, budget.disk, backlog.size) == (0, 0, 0)


def test_full_disk_is_no_error_and_order_is_kept() -> None:
    budget = BufferBudget(replace(SMALL, spill=300 * KIB))
    backlog = SpillBuffer(budget)
    sent = bytes(range(250)) * (4 * KIB)
    for start in range(0, len(sent), 50 * KIB):
        backlog.append(memoryview(sent)[start : start + 50 * KIB])
    assert budget.disk <= 300 * KIB
    assert not budget.disk_left
    assert budget.max_backlog(shared=True) == budget.memory_share
    assert drain(backlog) == sent


def test_unusable_disk_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(spill_buffer, "_open_scratch_file", fail)
    backlog = SpillBuffer(BufferBudget(SMALL))
    sent = bytes(600 * KIB)
    for start in range(0, len(sent), 50 * KIB):
        backlog.append(memoryview(sent)[start : start + 50 * KIB])
    assert drain(backlog) == sent


def test_close_releases_the_budget() -> None:
    budget = BufferBudget(SMALL)
    backlog = SpillBuffer(budget)
    backlog.append(memoryview(bytes(300 * KIB)))
    backlog.append(memoryview(bytes(300 * KIB)))
    assert budget.disk
    backlog.close()
    backlog.close()
    assert (budget.memory, budget.disk) == (0, 0)


def test_buffered_data_is_a_copy() -> None:
    backlog = SpillBuffer(BufferBudget(Limits()))
    buffer = bytearray(b"abc")
    backlog.append(memoryview(buffer))
    buffer[:] = b"xyz"
    assert drain(backlog) == b"abc"


def test_backlog_bound_depends_on_sharing_and_memory_use() -> None:
    limits = Limits()
    budget = BufferBudget(limits)
    assert budget.max_backlog(shared=False) == limits.stream_buffer
    assert budget.max_backlog(shared=True) == limits.stream_buffer + limits.spill
    budget.memory = limits.forward_buffer
    assert budget.max_backlog(shared=False) < limits.stream_buffer


def test_replay_budget_is_bounded() -> None:
    budget = BufferBudget(replace(Limits(), forward_replay=10))
    assert budget.reserve_replay(10)
    assert not budget.reserve_replay(1)
    budget.release_replay(10)
    assert budget.reserve_replay(1)


@given(st.lists(st.tuples(st.integers(1, 90_000), st.integers(0, 120_000)), max_size=40))
def test_order_is_first_in_first_out(moves: list[tuple[int, int]]) -> None:
    limits = replace(Limits(), stream_buffer=0, forward_buffer=0, spill=600_000)
    budget = BufferBudget(limits)
    backlog = SpillBuffer(budget)
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
    assert (budget.memory, budget.disk) == (0, 0)
