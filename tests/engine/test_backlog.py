"""What waits for slow readers is bounded, in memory and on disk."""

from __future__ import annotations

import errno
from typing import NoReturn

import pytest

from tui_forward.engine import backlog
from tui_forward.engine.backlog import Backlog, Store
from tui_forward.engine.limits import KIB, Limits

LIMITS = Limits(stream_buffer=64 * KIB, forward_buffer=256 * KIB, spill=1000 * KIB)
PIECE = memoryview(bytes(48 * KIB))


def held(store: Store, backlogs: list[Backlog]) -> None:
    """Append round robin for as long as the tunnel would be read."""
    while all(one.size < store.bound(shared=True) for one in backlogs):
        for one in backlogs:
            one.append(PIECE)


def test_what_came_first_goes_first_through_memory_and_disk() -> None:
    one = Backlog(Store(LIMITS))
    sent = b"".join(bytes([n]) * 40_000 for n in range(50))
    for at in range(0, len(sent), 40_000):
        one.append(memoryview(sent)[at : at + 40_000])
    received = bytearray()
    while one.size:
        piece = one.peek()
        received += piece[:30_000]
        one.consume(min(30_000, len(piece)))
    assert received == sent
    one.close()


def test_many_that_share_a_disk_that_is_nearly_full_do_not_go_on_in_memory() -> None:
    store = Store(LIMITS)
    backlogs = [Backlog(store) for _ in range(5)]
    held(store, backlogs)
    # The rest of the disk is smaller than a piece, and will never be used.
    assert 0 < store.disk_left < len(PIECE)
    assert store.memory < 4 * 1024 * KIB
    for one in backlogs:
        one.close()
    assert (store.memory, store.disk) == (0, 0)
    assert store.bound(shared=True) > LIMITS.spill


def test_a_disk_that_takes_nothing_is_not_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(backlog, "_open_scratch", full)
    store = Store(LIMITS)
    backlogs = [Backlog(store) for _ in range(5)]
    held(store, backlogs)
    assert store.memory < 4 * 1024 * KIB
    for one in backlogs:
        one.close()
