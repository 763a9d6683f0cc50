from __future__ import annotations

from dataclasses import replace

from tui_forward.engine.connections.upload import ReplayBuffer
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.spill_buffer import BufferBudget


def test_data_is_kept_until_cleared() -> None:
    budget = BufferBudget(Limits())
    replay = ReplayBuffer(100)
    assert replay.possible
    assert not replay
    buffer = bytearray(b"hello")
    replay.append(memoryview(buffer), budget)
    buffer[:] = b"xxxxx"
    assert bytes(replay) == b"hello"
    assert budget.replay == 5
    replay.clear()
    replay.clear()
    assert not replay.possible
    assert (len(replay), budget.replay) == (0, 0)


def test_upload_beyond_the_limit_is_not_kept() -> None:
    budget = BufferBudget(Limits())
    replay = ReplayBuffer(5)
    replay.append(memoryview(b"four"), budget)
    replay.append(memoryview(b"more"), budget)
    assert not replay.possible
    assert budget.replay == 0


def test_budget_is_shared_by_all_connections_of_a_forward() -> None:
    budget = BufferBudget(replace(Limits(), forward_replay=6))
    first, second = ReplayBuffer(100), ReplayBuffer(100)
    first.append(memoryview(b"four"), budget)
    second.append(memoryview(b"four"), budget)
    assert first.possible
    assert not second.possible
    first.clear()
    assert budget.replay == 0
