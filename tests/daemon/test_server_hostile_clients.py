"""The two ends of the door against bad company; `tests/test_session.py` has the good."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.fake_engine import FakeBackend
from tests.support.waiting import until
from tui_forward.daemon import rpc as rpc
from tui_forward.daemon import server
from tui_forward.daemon import unix_socket as unix_socket
from tui_forward.daemon.framing import read_message
from tui_forward.daemon.handover import HandoverSender
from tui_forward.daemon.notices import NoticeLog
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.daemon.server import SessionServer
from tui_forward.daemon.session_store import SessionSaver
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import Event, EventKind, Snapshot
from tui_forward.session.local import LocalSession


class ServerHarness:
    """A server on a socket, over a session without a cluster."""

    def __init__(
        self, path: Path, session: LocalSession, served: SessionServer, undo: AsyncExitStack
    ):
        self.path = path
        self.session = session
        self.server = served
        self.counts: list[int] = []
        self._undo = undo

    async def open(self) -> RemoteSession:
        session = await RemoteSession.open(self.path)
        self._undo.push_async_callback(session.close)
        return session

    async def raw(self, *, hello: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self.path)
        self._undo.push_async_callback(_close, writer)
        if hello:
            writer.write(rpc.encode_message(rpc.Hello(rpc.VERSION)))
            assert isinstance(await answer(reader), rpc.Welcome)
        return reader, writer

    def event(self, number: int = 0) -> None:
        self.session._engine.emit(
            Event(event=EventKind.STATE, time=number, forward="f1", reason="x" * 1000)
        )


async def answer(reader: asyncio.StreamReader) -> rpc.FromEngine | None:
    body = await read_message(reader, rpc.MAX_ANSWER)
    return None if body is None else rpc.unpack_answer(body)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[ServerHarness]:
    async with AsyncExitStack() as undo:
        session = LocalSession(backend=FakeBackend(), monitor_system=False)
        undo.push_async_callback(session.close)
        counts: list[int] = []
        keeper = SessionSaver(session, tmp_path / "session.json")
        path = tmp_path / "engine.sock"
        lock, listening = unix_socket.SocketLock(path), unix_socket.bind_socket(path)
        assert lock.acquire()
        undo.callback(lock.release)
        giver = HandoverSender(
            session, keeper, lock, listening, rpc.HandoverOffer(), on_given=lambda _: None
        )
        served = SessionServer(
            session, keeper, NoticeLog(), giver,
            kubeconfig="/some/config", on_front_ends=counts.append,
        )  # fmt: skip
        await served.start(listening)
        undo.push_async_callback(served.close)
        door = ServerHarness(path, session, served, undo)
        door.counts = counts
        yield door


async def test_a_front_end_is_told_who_it_talks_to(door: ServerHarness) -> None:
    remote = await door.open()
    assert remote.kubeconfig == "/some/config"
    assert remote.engine_pid > 0
    assert door.counts == [1]
    await remote.close()
    await until(lambda: door.counts == [1, 0])


async def test_a_front_end_that_is_lost_leaves_the_forwards_on_until_somebody_decides(
    door: ServerHarness,
) -> None:
    keeper = door.server._keeper
    for say in (None, False):
        remote = await door.open()
        if say is not None:
            await remote.set_keep_running_if_lost(True)
            await remote.set_keep_running_if_lost(say)
        await remote.close()
    await until(lambda: door.counts[-1] == 0)
    assert not keeper.keep_running
    lost = await door.open()
    await lost.set_keep_running_if_lost(True)
    assert not keeper.keep_running, "it is still there"
    lost._writer.transport.abort()
    await until(lambda: keeper.keep_running)
    assert not keeper.keep_requested, (
        "it is not what the person asked for, and not to be brought back unasked"
    )
    later = await door.open()
    assert (await later.snapshot()).keep_running
    await later.set_keep_running(False)
    assert not (await later.snapshot()).keep_running
    # It is not the front end that goes when the engine ends.
    await later.set_keep_running_if_lost(True)
    await door.server.close()
    assert not keeper.keep_running


async def test_another_version_is_refused_with_a_reason(door: ServerHarness) -> None:
    reader, writer = await door.raw(hello=False)
    writer.write(rpc.encode_message(rpc.Hello(rpc.VERSION + 1)))
    refused = await answer(reader)
    assert isinstance(refused, rpc.VersionMismatch)
    assert await answer(reader) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x01\xc1",
        rpc.encode_message(rpc.GetSnapshot(1)),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["endless", "garbage", "no hello", "http"],
)
async def test_bad_company_costs_its_own_connection(door: ServerHarness, data: bytes) -> None:
    remote = await door.open()
    reader, writer = await door.raw(hello=False)
    writer.write(data)
    assert await _end(reader)
    assert isinstance(await remote.snapshot(), Snapshot)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _end(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "messages",
    [
        [rpc.Hello(rpc.VERSION)],
        [rpc.Subscribe(1, 0), rpc.GetSnapshot(1)],
    ],
    ids=["hello twice", "an id twice"],
)
async def test_confused_front_ends_are_let_go(
    door: ServerHarness, messages: list[rpc.FromFrontEnd]
) -> None:
    reader, writer = await door.raw()
    for message in messages:
        writer.write(rpc.encode_message(message))
    assert await _end(reader)


async def test_who_says_nothing_is_let_go(
    door: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HELLO_S", 0.02)
    reader, _ = await door.raw(hello=False)
    assert await _end(reader)


async def test_another_user_is_let_go(door: ServerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unix_socket, "is_same_user", lambda sock: False)
    with pytest.raises(TransportError, match="belongs to another user"):
        await RemoteSession.open(door.path)
    assert not door.counts


async def test_a_front_end_that_does_not_read_harms_nobody(door: ServerHarness) -> None:
    _, writer = await door.raw()
    for number in range(1, 200):
        writer.write(
            rpc.encode_message(rpc.Subscribe(number, 0) if number < 5 else rpc.GetSnapshot(number))
        )
    remote = await door.open()
    seen = 0

    async def follow() -> None:
        nonlocal seen
        async for _ in remote.events():
            seen += 1

    task = asyncio.create_task(follow())
    for number in range(6000):
        door.event(number)
        if number % 100 == 0:
            await remote.snapshot()
    await until(lambda: seen > 1000)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (front_end, *_) = door.server._front_ends
    assert not front_end.done(), "it may only be suspended"
    assert door.counts[-1] == 2


async def test_subscriptions_are_bounded_and_can_be_cancelled(door: ServerHarness) -> None:
    reader, writer = await door.raw()
    for number in range(1, server._SUBSCRIPTIONS + 2):
        writer.write(rpc.encode_message(rpc.Subscribe(number, 0)))
    refused = await answer(reader)
    assert isinstance(refused, rpc.Failure)
    assert (refused.id, refused.kind) == (server._SUBSCRIPTIONS + 1, "UsageError")
    writer.write(rpc.encode_message(rpc.Cancel(1)))
    writer.write(rpc.encode_message(rpc.Cancel(999)))
    writer.write(rpc.encode_message(rpc.GetContexts(500)))
    assert isinstance(await answer(reader), rpc.Result)
    writer.write(rpc.encode_message(rpc.Subscribe(100, 0)))
    writer.write(rpc.encode_message(rpc.GetContexts(501)))
    assert isinstance(await answer(reader), rpc.Result), "there is room again"


async def test_a_slow_reader_of_events_sees_a_gap(door: ServerHarness) -> None:
    remote = await door.open()
    reader = remote.events()
    door.event()
    assert (await anext(reader)).sequence == 1
    for number in range(3000):
        door.event(number)
        if number % 50 == 0:
            await remote.snapshot()
    await until(lambda: len(next(iter(remote._streams.values()))._items) == 1024)
    await remote.snapshot()
    second = (await anext(reader)).sequence
    assert second > 2
    await reader.aclose()  # type: ignore[attr-defined]


async def test_a_bug_behind_the_door_fails_the_request_alone(
    door: ServerHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    remote = await door.open()

    async def bug() -> Snapshot:
        raise ZeroDivisionError("bug")

    monkeypatch.setattr(door.session, "snapshot", bug)
    with pytest.raises(TuiForwardError, match="the engine failed: ZeroDivisionError: bug"):
        await remote.snapshot()
    assert "a request failed: GetSnapshot" in caplog.text
    assert await remote.contexts()


async def test_the_end_of_the_engine_fails_everything_that_waits(
    door: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = await door.open()
    asked = asyncio.Event()

    async def hang() -> Snapshot:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(door.session, "snapshot", hang)
    waiting = asyncio.create_task(remote.snapshot())
    reader = remote.events()
    following = asyncio.ensure_future(anext(reader))
    await asked.wait()
    await door.server.close()
    with pytest.raises(TransportError, match="engine"):
        await waiting
    with pytest.raises(TransportError):
        await following
    with pytest.raises(TransportError):
        await remote.contexts()


async def test_a_request_can_be_given_up(
    door: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = await door.open()
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def hang() -> Snapshot:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    monkeypatch.setattr(door.session, "snapshot", hang)
    waiting = asyncio.create_task(remote.snapshot())
    await asked.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.wait_for(cancelled.wait(), 10)
    assert await remote.contexts()


async def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="cannot talk to the engine"):
        await RemoteSession.open(tmp_path / "nobody.sock")


@pytest.mark.parametrize(
    "says",
    [b"", b"\x00\x00\x00\x01\xc1", rpc.encode_message(rpc.End(1)), b"\xff\xff\xff\xff"],
    ids=["hangs up", "garbage", "no welcome", "endless"],
)
async def test_something_else_on_the_socket(tmp_path: Path, says: bytes) -> None:
    async def impostor(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        writer.close()

    path = tmp_path / "engine.sock"
    async with await asyncio.start_unix_server(impostor, path):
        with pytest.raises(TransportError):
            await RemoteSession.open(path)


async def test_closing_the_server_twice(door: ServerHarness) -> None:
    await door.server.close()
    await door.server.close()
