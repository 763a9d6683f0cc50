from __future__ import annotations

import asyncio
import stat
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.waiting import until
from tui_forward.common import paths
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels import spill_file
from tui_forward.engine.tunnels.spill_buffer import BufferBudget, SpillBuffer

KIB = 1024
SMALL = replace(Limits(), stream_buffer=0, forward_buffer=1000 * KIB, spill=2000 * KIB)


class Reader:
    """A slow reader's buffer, and what is taken from it."""

    def __init__(self, limits: Limits) -> None:
        self.budget = BufferBudget(limits)
        self.changed = asyncio.Event()
        self.backlog = SpillBuffer(self.budget, self.changed.set)

    async def drain(self) -> bytes:
        out = b""
        while self.backlog.size:
            self.changed.clear()
            piece = self.backlog.peek()
            if not piece:
                await self.changed.wait()
                continue
            out += bytes(piece)
            self.backlog.consume(len(piece))
        return out

    async def written(self) -> None:
        """Wait until nothing waits for the disk."""
        await until(lambda: not self.backlog._is_busy and not self.backlog._tail)


@pytest.fixture
def blocked_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let each write wait for the event."""
    event = threading.Event()
    open_file = spill_file.open_spill_file

    def wait_and_open() -> object:
        assert event.wait(60)
        return open_file()

    monkeypatch.setattr(spill_file, "open_spill_file", wait_and_open)
    yield event
    event.set()


async def test_memory_is_used_before_disk_and_order_is_kept() -> None:
    reader = Reader(SMALL)
    sent = b""
    for number in range(40):
        piece = bytes([number]) * (20 * KIB)
        reader.backlog.append(memoryview(piece))
        sent += piece
    assert reader.backlog.size == len(sent)
    await reader.written()
    assert 256 * KIB <= reader.budget.memory <= 300 * KIB
    assert reader.budget.disk >= len(sent) - reader.budget.memory
    assert await reader.drain() == sent
    assert (reader.budget.memory, reader.budget.disk, reader.backlog.size) == (0, 0, 0)


async def test_disk_that_hangs_does_not_stop_the_loop(blocked_disk: threading.Event) -> None:
    reader = Reader(SMALL)
    sent = bytes(range(250)) * (4 * KIB)
    for start in range(0, len(sent), 50 * KIB):
        reader.backlog.append(memoryview(sent)[start : start + 50 * KIB])  # returns at once
    assert reader.backlog.peek()[:4] == sent[:4], "what is in memory can be read"
    assert not reader.backlog.is_behind
    for _ in range(100):
        reader.backlog.append(memoryview(bytes(50 * KIB)))
    assert reader.backlog.is_behind, "the tunnel must wait for the disk"
    blocked_disk.set()
    assert (await reader.drain())[: len(sent)] == sent
    assert not reader.backlog.is_behind


async def test_full_disk_is_no_error_and_order_is_kept() -> None:
    reader = Reader(replace(SMALL, spill=300 * KIB))
    sent = bytes(range(250)) * (4 * KIB)
    for start in range(0, len(sent), 50 * KIB):
        reader.backlog.append(memoryview(sent)[start : start + 50 * KIB])
        await asyncio.sleep(0)
    assert reader.budget.disk <= 300 * KIB
    await until(lambda: reader.budget.disk_full)
    assert reader.budget.max_backlog(shared=True) == reader.budget.memory_share
    assert await reader.drain() == sent


async def test_reader_that_is_always_behind_does_not_use_up_the_disk() -> None:
    reader = Reader(SMALL)
    step = 50 * KIB
    pieces = [bytes([number]) * step for number in range(200)]  # five times the limit
    behind, received = 20, b""
    for number, piece in enumerate(pieces):
        reader.backlog.append(memoryview(piece))
        if number < behind:
            continue
        wanted = len(received) + step
        while len(received) < wanted:
            reader.changed.clear()
            head = bytes(reader.backlog.peek()[: wanted - len(received)])
            if not head:
                await reader.changed.wait()
                continue
            received += head
            reader.backlog.consume(len(head))
        await until(lambda: not reader.backlog._is_busy)
        assert not reader.budget.disk_full
    assert received + await reader.drain() == b"".join(pieces)
    assert (reader.budget.memory, reader.budget.disk) == (0, 0)


def test_files_are_few_whatever_the_limit() -> None:
    for limit in (1, 8 * KIB * KIB, 256 * KIB * KIB, 100 * KIB * KIB * KIB):
        budget = BufferBudget(replace(Limits(), spill=limit))
        assert limit // max(1, budget.file_bytes) <= 64


@pytest.mark.parametrize("fails_at", ["open", "write"])
async def test_unusable_disk_is_no_error(monkeypatch: pytest.MonkeyPatch, fails_at: str) -> None:
    class Full:
        def seek(self, at: int) -> None: ...

        def write(self, data: bytes) -> int:
            return 1

        def close(self) -> None: ...

    def open_file() -> Full:
        if fails_at == "open":
            raise OSError("no space left on device")
        return Full()

    monkeypatch.setattr(spill_file, "open_spill_file", open_file)
    reader = Reader(SMALL)
    sent = bytes(600 * KIB)
    for start in range(0, len(sent), 50 * KIB):
        reader.backlog.append(memoryview(sent)[start : start + 50 * KIB])
    await until(lambda: reader.budget.disk_full)
    assert reader.budget.disk == 0
    assert await reader.drain() == sent


async def test_file_that_cannot_be_read_back_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(SMALL)
    for _ in range(40):
        reader.backlog.append(memoryview(bytes(20 * KIB)))
    await reader.written()
    monkeypatch.setattr(
        spill_file.SpillFile, "read", lambda self, at, count, done: done(b"", OSError("broken"))
    )
    with pytest.raises(OSError, match="broken"):
        await reader.drain()
    reader.backlog.close()


async def test_close_releases_the_budget_also_during_a_write(
    blocked_disk: threading.Event,
) -> None:
    reader = Reader(SMALL)
    reader.backlog.append(memoryview(bytes(300 * KIB)))
    reader.backlog.append(memoryview(bytes(300 * KIB)))
    assert reader.budget.disk
    reader.backlog.close()
    reader.backlog.close()
    assert (reader.budget.memory, reader.budget.disk) == (0, 0)
    blocked_disk.set()


async def test_buffered_data_is_a_copy() -> None:
    reader = Reader(Limits())
    buffer = bytearray(b"abc")
    reader.backlog.append(memoryview(buffer))
    buffer[:] = b"xyz"
    assert await reader.drain() == b"abc"


async def test_small_chunks_are_joined_and_counted_with_their_objects() -> None:
    """A hundred thousand chunks of one byte must not take a hundred times their size."""
    reader = Reader(replace(Limits(), stream_buffer=1024 * KIB))
    for _ in range(100_000):
        reader.backlog.append(memoryview(b"x"))
    held = sum(map(sys.getsizeof, reader.backlog._head)) + sys.getsizeof(reader.backlog._head)
    assert 100_000 <= reader.budget.memory <= 102_000
    assert held <= 1.15 * reader.budget.memory
    assert await reader.drain() == b"x" * 100_000
    assert reader.budget.memory == 0


async def test_chunk_does_not_grow_a_piece_that_is_in_use() -> None:
    reader = Reader(Limits())
    reader.backlog.append(memoryview(b"abc"))
    piece = reader.backlog.peek()
    reader.backlog.append(memoryview(b"def"))
    assert bytes(piece) == b"abc"
    assert await reader.drain() == b"abcdef"


def test_file_is_in_a_private_folder_and_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache" / "spill"
    monkeypatch.setattr(paths, "spill_dir", lambda: folder)
    with spill_file.open_spill_file() as file:
        file.write(b"secret")
        assert not list(folder.iterdir())
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


def test_folder_that_cannot_be_created_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(paths, "spill_dir", lambda: tmp_path / "file" / "spill")
    with spill_file.open_spill_file() as file:
        assert file.write(b"data") == 4


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
    async def move() -> None:
        limits = replace(Limits(), stream_buffer=0, forward_buffer=0, spill=600_000)
        reader = Reader(limits)
        expected = bytearray()
        for number, (put, take) in enumerate(moves):
            piece = bytes((number + index) % 251 for index in range(0, put, 97)) * 97
            reader.backlog.append(memoryview(piece))
            expected += piece
            while take and len(head := reader.backlog.peek()):
                count = min(take, len(head))
                assert bytes(head[:count]) == bytes(expected[:count])
                reader.backlog.consume(count)
                del expected[:count]
                take -= count
            assert reader.backlog.size == len(expected)
            await asyncio.sleep(0)
        assert await reader.drain() == bytes(expected)
        assert (reader.budget.memory, reader.budget.disk) == (0, 0)

    asyncio.run(move())
