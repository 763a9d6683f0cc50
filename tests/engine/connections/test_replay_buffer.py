from __future__ import annotations

from dataclasses import replace

from tui_forward.engine.connections.replay_buffer import ReplayBuffer
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.spill_buffer import BufferBudget


def test_what_was_kept_can_be_sent_again_until_it_is_forgotten() -> None:
    store = BufferBudget(Limits())
    replay = ReplayBuffer(100)
    assert replay.possible
    assert not replay
    buffer = bytearray(b"hello")
    replay.append(memoryview(buffer), store)
    buffer[:] = b"xxxxx"
    assert bytes(replay) == b"hello"
    assert store.replay == 5
    replay.clear()
    replay.clear()
    assert not replay.possible
    assert (len(replay), store.replay) == (0, 0)


def test_too_much_cannot_be_repeated() -> None:
    store = BufferBudget(Limits())
    replay = ReplayBuffer(5)
    replay.append(memoryview(b"four"), store)
    replay.append(memoryview(b"more"), store)
    assert not replay.possible
    assert store.replay == 0


def test_room_is_shared_by_all_connections_of_a_forward() -> None:
    store = BufferBudget(replace(Limits(), forward_replay=6))
    first, second = ReplayBuffer(100), ReplayBuffer(100)
    first.append(memoryview(b"four"), store)
    second.append(memoryview(b"four"), store)
    assert first.possible
    assert not second.possible
    first.clear()
    assert store.replay == 0
