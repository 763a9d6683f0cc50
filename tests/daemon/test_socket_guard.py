"""A running engine whose socket or lock file is removed, or taken by another engine."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tui_forward.daemon import unix_socket
from tui_forward.daemon.socket_guard import SocketGuard
from tui_forward.daemon.unix_socket import SocketLock


class GuardHarness:
    """Guard of a socket in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.path = folder / "e.sock"
        self.lock_file = folder / "e.sock.lock"
        self.lock = SocketLock(self.path)
        assert self.lock.acquire()
        self.listening = unix_socket.bind_socket(self.path)
        self.overtaken: list[str] = []
        self.guard = SocketGuard(
            self.path, self.lock, on_rebound=self.rebind, on_overtaken=self.on_overtaken
        )

    async def rebind(self, listening: socket.socket) -> None:
        self.listening.close()
        self.listening = listening

    def on_overtaken(self) -> None:
        self.overtaken.append("")

    def close(self) -> None:
        self.listening.close()
        self.lock.release()


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[GuardHarness]:
    harness = GuardHarness(tmp_path / "run")
    yield harness
    harness.close()


def remove_nothing(harness: GuardHarness) -> None:
    pass


def remove_socket(harness: GuardHarness) -> None:
    harness.path.unlink()


def remove_lock(harness: GuardHarness) -> None:
    harness.lock_file.unlink()


def remove_folder(harness: GuardHarness) -> None:
    shutil.rmtree(harness.path.parent)


@pytest.mark.parametrize("remove", [remove_nothing, remove_socket, remove_lock, remove_folder])
async def test_removed_files_are_restored(harness: GuardHarness, remove: object) -> None:
    assert callable(remove)
    listening = harness.listening
    remove(harness)
    for _ in range(2):
        assert await harness.guard.check()
    assert unix_socket.is_served(harness.path)
    assert SocketLock(harness.path).is_held()
    assert not SocketLock(harness.path).acquire()
    assert SocketLock(harness.path).holder == os.getpid()
    assert (harness.listening is listening) == (remove in (remove_nothing, remove_lock))
    assert not harness.overtaken


async def test_folder_that_cannot_be_restored_is_restored_later(
    harness: GuardHarness, caplog: pytest.LogCaptureFixture
) -> None:
    folder = harness.path.parent
    shutil.rmtree(folder)
    folder.write_text("")
    for _ in range(3):
        assert await harness.guard.check()
    assert len([one for one in caplog.records if "cannot restore" in one.message]) == 1
    folder.unlink()
    assert await harness.guard.check()
    assert unix_socket.is_served(harness.path)


async def test_engine_gives_up_its_place_to_one_that_serves(harness: GuardHarness) -> None:
    remove_folder(harness)
    harness.path.parent.mkdir(mode=0o700)
    other = SocketLock(harness.path)
    assert other.acquire()
    assert await harness.guard.check(), "the other one does not serve yet"
    assert not harness.overtaken
    with unix_socket.bind_socket(harness.path):
        async with asyncio.timeout(60):
            await harness.guard.run()
    assert len(harness.overtaken) == 1
    other.release()


async def test_lock_of_a_removed_file_is_not_acquired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = SocketLock(tmp_path / "e.sock")
    monkeypatch.setattr("tui_forward.daemon.unix_socket.path_identity", lambda path: (0, 0))
    assert not lock.acquire()
    assert not lock.is_held()
