"""Messages between an engine and its parent about descriptors, both in this process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tui_forward.daemon import held_descriptors, parent_link, unix_socket
from tui_forward.daemon.held_descriptors import LOCK, SERVER, HeldDescriptors
from tui_forward.daemon.parent_link import ParentLink
from tui_forward.model import LocalAddress


class Pair:
    """An engine's link, and what its parent holds; the parent reads in a thread if started."""

    def __init__(self) -> None:
        self.parent, engine = socket.socketpair()
        self.link = ParentLink(engine)
        self.held = HeldDescriptors()
        self._reader = threading.Thread(target=self._read)

    def start_reading(self) -> None:
        self._reader.start()

    def _read(self) -> None:
        while self.held.receive(self.parent):
            pass

    def close(self) -> None:
        self.link.close()
        if self._reader.ident is not None:
            self._reader.join()
        self.held.close_all()
        self.parent.close()

    def receive_all(self) -> None:
        """Process what was sent, up to the end of the engine."""
        self.link.close()
        self._read()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def address_of(sock: socket.socket) -> LocalAddress:
    return LocalAddress(*sock.getsockname())


def key(address: LocalAddress) -> str:
    return held_descriptors.address_key(address.host, address.port)


def refuses(address: LocalAddress) -> bool:
    with socket.socket() as client:
        return client.connect_ex((address.host, address.port)) != 0


async def test_descriptors_are_recognized(
    pair: Pair, tmp_path: Path, listening: socket.socket
) -> None:
    lock = unix_socket.SocketLock(tmp_path / "e.sock")
    assert lock.acquire()
    with unix_socket.bind_socket(tmp_path / "e.sock") as server:
        pair.link.hold(lock.fileno())
        pair.link.hold(server.fileno())
        pair.link.hold(listening.fileno())
        pair.link.notify_ready()
        pair.receive_all()
    address = address_of(listening)
    assert set(pair.held.by_key) == {LOCK, SERVER, key(address)}
    assert pair.held.has_served
    assert not any(os.get_inheritable(one) for one in pair.held.by_key.values())
    # They work without those of the engine.
    lock.release()
    listening.close()
    assert unix_socket.SocketLock(tmp_path / "e.sock").is_held()
    assert unix_socket.is_served(tmp_path / "e.sock")
    assert not refuses(address)
    pair.held.close_all()
    assert not unix_socket.SocketLock(tmp_path / "e.sock").is_held()
    assert refuses(address)


async def test_released_socket_is_closed_when_flush_returns(
    pair: Pair, listening: socket.socket
) -> None:
    pair.start_reading()
    address = address_of(listening)
    for _ in range(3):  # a copy replaces the one before
        pair.link.hold(listening.fileno())
    pair.link.release(LocalAddress("127.0.0.1", 1))  # not held
    await pair.link.flush()
    assert list(pair.held.by_key) == [key(address)]
    listening.close()
    assert not refuses(address)
    pair.link.release(address)
    await asyncio.gather(*(pair.link.flush() for _ in range(20)))
    assert refuses(address)
    assert not pair.held.by_key


async def test_all_are_released_at_once(pair: Pair, listening: socket.socket) -> None:
    pair.start_reading()
    pair.link.hold(listening.fileno())
    pair.link.release_all()
    await pair.link.flush()
    assert not pair.held.by_key


async def test_number_is_bounded(
    pair: Pair, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_descriptors, "MAX_HELD", 1)
    files = len(os.listdir("/dev/fd"))  # noqa: PTH208
    with socket.create_server(("127.0.0.1", 0)) as second:
        pair.link.hold(listening.fileno())
        pair.link.hold(second.fileno())
        pair.receive_all()
    assert list(pair.held.by_key) == [key(address_of(listening))]
    assert len(os.listdir("/dev/fd")) == files  # noqa: PTH208 - one held, the link is closed


async def test_engine_continues_without_its_parent(
    pair: Pair, listening: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    pair.parent.close()
    pair.link.hold(listening.fileno())
    pair.link.release(address_of(listening))
    await pair.link.flush()
    assert "the parent process is gone" in caplog.text


async def test_end_of_the_parent_ends_a_flush(pair: Pair) -> None:
    flushing = asyncio.create_task(pair.link.flush())
    await asyncio.sleep(0)
    pair.parent.close()
    async with asyncio.timeout(parent_link._ANSWER_S / 2):
        await flushing


async def test_flush_is_bounded(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parent_link, "_ANSWER_S", 0.01)
    await pair.link.flush()
    assert "did not answer" in caplog.text


async def test_hung_parent_is_killed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would keep ports open that the engine closes."""
    kills: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: kills.append((pid, number)))
    for _ in range(100_000):
        pair.link.notify_ready()
        if kills:
            break
    assert kills == [(os.getppid(), signal.SIGKILL)]
    pair.link.notify_ready()
    assert len(kills) == 1


async def test_engine_without_a_parent_holds_nothing(listening: socket.socket) -> None:
    link = ParentLink(None)
    link.hold(listening.fileno())
    link.release(address_of(listening))
    link.release_server()
    link.release_all()
    link.notify_ready()
    await link.flush()
    link.close()
