from __future__ import annotations

from dataclasses import replace

from tui_forward.engine.connections.replay_buffer import Replay
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.spill_buffer import Store


def test_what_was_kept_can_be_sent_again_until_it_is_forgotten() -> None:
    store = Store(Limits())
    replay = Replay(100)
    assert replay.possible
    assert not replay
    buffer = bytearray(b"hello")
    replay.keep(memoryview(buffer), store)
    buffer[:] = b"xxxxx"
    assert bytes(replay) == b"hello"
    assert store.replay == 5
    replay.forget()
    replay.forget()
    assert not replay.possible
    assert (len(replay), store.replay) == (0, 0)


def test_too_much_cannot_be_repeated() -> None:
    store = Store(Limits())
    replay = Replay(5)
    replay.keep(memoryview(b"four"), store)
    replay.keep(memoryview(b"more"), store)
    assert not replay.possible
    assert store.replay == 0


def test_room_is_shared_by_all_connections_of_a_forward() -> None:
    store = Store(replace(Limits(), forward_replay=6))
    first, second = Replay(100), Replay(100)
    first.keep(memoryview(b"four"), store)
    second.keep(memoryview(b"four"), store)
    assert first.possible
    assert not second.possible
    first.forget()
    assert store.replay == 0
