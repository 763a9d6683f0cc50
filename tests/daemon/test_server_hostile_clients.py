"""Server and client against misbehaving peers; `tests/test_session.py` has the normal cases."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.fake_engine import FakeBackend
from tests.support.waiting import until
from tui_forward.daemon import handover, rpc, rpc_client, server, unix_socket
from tui_forward.daemon.framing import read_message
from tui_forward.daemon.handover import HandoverSender
from tui_forward.daemon.notices import NoticeLog
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.daemon.server import SessionServer
from tui_forward.daemon.session_saver import SessionSaver
from tui_forward.errors import TransportError, TuiForwardError, UsageError
from tui_forward.model import Event, EventKind, ReasonCode, Snapshot
from tui_forward.session.local import LocalSession


class ServerHarness:
    """Server on a socket, with a session without a cluster."""

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
            assert isinstance(await response(reader), rpc.Welcome)
        return reader, writer

    def event(self, number: int = 0) -> None:
        self.session._engine.emit(
            Event(event=EventKind.STATE, time=number, forward="f1", reason="x" * 1000)
        )


async def response(reader: asyncio.StreamReader) -> rpc.FromEngine | None:
    body = await read_message(reader, rpc.MAX_RESPONSE)
    return None if body is None else rpc.decode_response(body)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[ServerHarness]:
    async with AsyncExitStack() as undo:
        session = LocalSession(backend=FakeBackend(), monitor_system=False)
        undo.push_async_callback(session.close)
        counts: list[int] = []
        saver = SessionSaver(session, tmp_path / "session.json")
        path = tmp_path / "engine.sock"
        lock, listening = unix_socket.SocketLock(path), unix_socket.bind_socket(path)
        assert lock.acquire()
        undo.callback(lock.release)
        sender = HandoverSender(
            session, saver, lock, listening, rpc.HandoverOffer(), on_handed_over=lambda _: None
        )
        served = SessionServer(
            session, saver, NoticeLog(), sender,
            kubeconfig="/some/config", on_client_count=counts.append,
        )  # fmt: skip
        await served.start(listening)
        undo.push_async_callback(served.close)
        harness = ServerHarness(path, session, served, undo)
        harness.counts = counts
        yield harness


async def test_client_receives_pid_and_kubeconfig(harness: ServerHarness) -> None:
    remote = await harness.open()
    assert remote.kubeconfig == "/some/config"
    assert remote.engine_pid > 0
    assert harness.counts == [1]
    await remote.close()
    await until(lambda: harness.counts == [1, 0])


async def test_a_probe_of_the_socket_is_no_client(harness: ServerHarness) -> None:
    """Without clients the engine may end: another one that starts only looks whether it serves."""
    for _ in range(5):
        assert unix_socket.is_served(harness.path)
    remote = await harness.open()
    assert unix_socket.is_served(harness.path)
    await remote.close()
    await until(lambda: harness.counts == [1, 0])


async def test_lost_client_keeps_forwards_running_until_a_client_decides(
    harness: ServerHarness,
) -> None:
    saver = harness.server._saver
    for revoked in (None, False):
        remote = await harness.open()
        if revoked is not None:
            await remote.set_keep_running_if_lost(True)
            await remote.set_keep_running_if_lost(revoked)
        await remote.close()
    await until(lambda: harness.counts[-1] == 0)
    assert not saver.keep_running
    lost = await harness.open()
    await lost.set_keep_running_if_lost(True)
    assert not saver.keep_running, "the client is still connected"
    lost._client._writer.transport.abort()
    await until(lambda: saver.keep_running)
    assert not saver.keep_requested, (
        "the user did not request it, so a reboot does not restore them"
    )
    later = await harness.open()
    assert (await later.snapshot()).keep_running
    await later.set_keep_running(False)
    assert not (await later.snapshot()).keep_running
    # The end of the engine is not the loss of a client.
    await later.set_keep_running_if_lost(True)
    await harness.server.close()
    assert not saver.keep_running


async def _canceled() -> None:
    task = asyncio.ensure_future(asyncio.Event().wait())
    asyncio.get_running_loop().call_soon(task.cancel)
    await task


async def _fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("run", "code", "text"),
    [
        (lambda: _fail(OSError(28, "secret")), "internal.error", "OSError, no space left"),
        (lambda: _fail(ConnectionResetError(104, "secret")), "internal.error", "reset by peer"),
        (lambda: _fail(TimeoutError("secret")), "internal.error", "TimeoutError"),
        (lambda: _fail(RuntimeError("secret")), "internal.error", "RuntimeError"),
        (lambda: _fail(ExceptionGroup("secret", [OSError()])), "internal.error", "ExceptionGroup"),
        (lambda: _fail(RecursionError("secret")), "internal.error", "RecursionError"),
        (_canceled, "internal.error", "CancelledError"),
        (lambda: asyncio.sleep(0, object()), "internal.error", "TypeError"),
        (lambda: asyncio.sleep(0, "x" * 2_000_000), "usage.invalid", "more than can be"),
        (lambda: asyncio.sleep(60), "engine.not_responding", "did not answer within 0.3 s"),
        (lambda: _fail(UsageError("the text")), "usage.invalid", "the text"),
    ],
)
async def test_every_request_is_answered(
    harness: ServerHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    run: Callable[[], Awaitable[None]], code: str, text: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(rpc, "MAX_RESPONSE", 1_000_000)
    remote = await harness.open()
    monkeypatch.setattr(harness.session, "contexts", run)
    with monkeypatch.context() as patch:
        if code == "engine.not_responding":
            patch.setattr(server, "_REQUEST_S", 0.3)
        with pytest.raises(TuiForwardError, match=text) as failed:
            await remote.contexts()
    assert failed.value.code == code
    assert "secret" not in f"{failed.value} {failed.value.hint}"
    is_logged = any(record.exc_info for record in caplog.records)
    assert is_logged == (code == "internal.error")
    # The connection is still usable.
    assert isinstance(await remote.snapshot(), Snapshot)


async def test_failing_subscription_is_answered(
    harness: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = await harness.open()

    async def events(since: int) -> AsyncIterator[Event]:
        yield Event(event=EventKind.STATE, time=0, forward="f1")
        raise OSError(5, "secret")

    monkeypatch.setattr(harness.session, "events", events)
    received = remote.events()
    async with asyncio.timeout(60):
        assert (await anext(received)).forward == "f1"
        with pytest.raises(TuiForwardError, match="internal error: OSError, input/output error"):
            await anext(received)


async def test_engine_that_does_not_answer_is_an_error(
    harness: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = await harness.open()
    monkeypatch.setattr(harness.session, "contexts", lambda: asyncio.sleep(60))
    with monkeypatch.context() as patch:
        patch.setattr(rpc_client, "_RESPONSE_S", 0.1)
        with pytest.raises(TransportError, match=r"did not answer within 0\.1 s") as failed:
            await remote.contexts()
    assert failed.value.code is ReasonCode.ENGINE_NOT_RESPONDING
    assert "tui-forward restart" in failed.value.hint
    assert isinstance(await remote.snapshot(), Snapshot)


async def test_other_version_is_rejected(harness: ServerHarness) -> None:
    reader, writer = await harness.raw(hello=False)
    writer.write(rpc.encode_message(rpc.Hello(rpc.VERSION + 1)))
    rejected = await response(reader)
    assert isinstance(rejected, rpc.VersionMismatch)
    assert await response(reader) is None


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
async def test_invalid_first_message_closes_only_its_connection(
    harness: ServerHarness, data: bytes
) -> None:
    remote = await harness.open()
    reader, writer = await harness.raw(hello=False)
    writer.write(data)
    assert await _is_closed(reader)
    assert isinstance(await remote.snapshot(), Snapshot)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _is_closed(reader: asyncio.StreamReader) -> bool:
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
async def test_protocol_violation_closes_the_connection(
    harness: ServerHarness, messages: list[rpc.FromClient]
) -> None:
    reader, writer = await harness.raw()
    for message in messages:
        writer.write(rpc.encode_message(message))
    assert await _is_closed(reader)


async def test_silent_client_is_disconnected(
    harness: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HELLO_S", 0.02)
    reader, _ = await harness.raw(hello=False)
    assert await _is_closed(reader)


async def test_other_user_is_rejected(
    harness: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_socket, "is_same_user", lambda sock: False)
    with pytest.raises(TransportError, match="belongs to another user"):
        await RemoteSession.open(harness.path)
    assert not harness.counts


async def test_client_that_does_not_read_does_not_affect_others(harness: ServerHarness) -> None:
    _, writer = await harness.raw()
    for number in range(1, 200):
        writer.write(
            rpc.encode_message(rpc.Subscribe(number, 0) if number < 5 else rpc.GetSnapshot(number))
        )
    remote = await harness.open()
    seen = 0

    async def follow() -> None:
        nonlocal seen
        async for _ in remote.events():
            seen += 1

    task = asyncio.create_task(follow())
    for number in range(6000):
        harness.event(number)
        if number % 100 == 0:
            await remote.snapshot()
    await until(lambda: seen > 1000)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (client, *_) = harness.server._clients
    assert not client.done(), "it may only be suspended"
    assert harness.counts[-1] == 2


async def test_subscriptions_are_limited_and_can_be_canceled(harness: ServerHarness) -> None:
    reader, writer = await harness.raw()
    for number in range(1, server._MAX_SUBSCRIPTIONS + 2):
        writer.write(rpc.encode_message(rpc.Subscribe(number, 0)))
    rejected = await response(reader)
    assert isinstance(rejected, rpc.Failure)
    assert (rejected.id, rejected.kind) == (server._MAX_SUBSCRIPTIONS + 1, "UsageError")
    writer.write(rpc.encode_message(rpc.Cancel(1)))
    writer.write(rpc.encode_message(rpc.Cancel(999)))
    writer.write(rpc.encode_message(rpc.GetContexts(500)))
    assert isinstance(await response(reader), rpc.Result)
    writer.write(rpc.encode_message(rpc.Subscribe(100, 0)))
    writer.write(rpc.encode_message(rpc.GetContexts(501)))
    assert isinstance(await response(reader), rpc.Result), "a subscription is available again"


async def test_slow_reader_of_events_sees_a_gap(harness: ServerHarness) -> None:
    remote = await harness.open()
    reader = remote.events()
    harness.event()
    assert (await anext(reader)).sequence == 1
    for number in range(3000):
        harness.event(number)
        if number % 50 == 0:
            await remote.snapshot()
    await until(lambda: len(next(iter(remote._client._subscriptions.values()))._items) == 1024)
    await remote.snapshot()
    second = (await anext(reader)).sequence
    assert second > 2
    await reader.aclose()  # type: ignore[attr-defined]


async def test_bug_in_the_engine_fails_only_its_request(
    harness: ServerHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    remote = await harness.open()

    async def bug() -> Snapshot:
        raise ZeroDivisionError("bug")

    monkeypatch.setattr(harness.session, "snapshot", bug)
    with pytest.raises(TuiForwardError, match="internal error: ZeroDivisionError"):
        await remote.snapshot()
    assert "request GetSnapshot failed" in caplog.text
    assert await remote.contexts()


async def test_end_of_the_engine_fails_pending_requests(
    harness: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = await harness.open()
    requested = asyncio.Event()

    async def hang() -> Snapshot:
        requested.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(harness.session, "snapshot", hang)
    waiting = asyncio.create_task(remote.snapshot())
    reader = remote.events()
    following = asyncio.ensure_future(anext(reader))
    await requested.wait()
    await harness.server.close()
    with pytest.raises(TransportError, match="engine"):
        await waiting
    with pytest.raises(TransportError):
        await following
    with pytest.raises(TransportError):
        await remote.contexts()


async def test_canceled_request_is_canceled_in_the_engine(
    harness: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = await harness.open()
    requested, cancelled = asyncio.Event(), asyncio.Event()

    async def hang() -> Snapshot:
        requested.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    monkeypatch.setattr(harness.session, "snapshot", hang)
    waiting = asyncio.create_task(remote.snapshot())
    await requested.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.wait_for(cancelled.wait(), 60)
    assert await remote.contexts()


async def test_missing_socket_is_a_transport_error(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="cannot connect to the engine"):
        await RemoteSession.open(tmp_path / "missing.sock")


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00\x00\x00\x01\xc1", rpc.encode_message(rpc.End(1)), b"\xff\xff\xff\xff"],
    ids=["closes", "garbage", "no welcome", "endless"],
)
async def test_other_program_on_the_socket_is_a_transport_error(
    tmp_path: Path, data: bytes
) -> None:
    async def impostor(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    path = tmp_path / "engine.sock"
    async with await asyncio.start_unix_server(impostor, path):
        with pytest.raises(TransportError):
            await RemoteSession.open(path)


async def test_server_can_be_closed_twice(harness: ServerHarness) -> None:
    await harness.server.close()
    await harness.server.close()


async def test_late_engine_does_not_replace_the_running_one(
    harness: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "_CONFIRMATION_S", 0.2)
    holder = unix_socket.SocketLock(harness.path).holder
    for _ in range(2):
        state = await asyncio.to_thread(handover.request_handover, harness.path)
        await until(lambda: harness.server._handover.idle.is_set())  # it has waited long enough
        with pytest.raises(TransportError, match="was not replaced"):
            await asyncio.to_thread(state.confirm)
        state.server_socket.close()
        os.close(state.lock_fd)
        # The running engine has its place, and no other can get it.
        assert isinstance(await (await harness.open()).snapshot(), Snapshot)
        assert unix_socket.SocketLock(harness.path).holder == holder
        assert not unix_socket.SocketLock(harness.path).acquire()
    assert not harness.server._handover.is_done


async def test_engine_in_time_replaces_the_running_one(harness: ServerHarness) -> None:
    state = await asyncio.to_thread(handover.request_handover, harness.path)
    await asyncio.to_thread(state.confirm)
    assert harness.server._handover.is_done
    state.server_socket.close()
    os.close(state.lock_fd)


async def test_client_closes_although_the_engine_does_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_client, "_CLOSE_S", 0.1)
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader, rpc.MAX_REQUEST)
        writer.write(rpc.encode_message(rpc.Welcome(rpc.VERSION, 1, "")))
        await closed.wait()
        await _close(writer)

    path = tmp_path / "e.sock"
    async with await asyncio.start_unix_server(serve, path):
        client = await rpc_client.RpcClient.open(path)
        for number in range(10):
            client._writer.write(rpc.encode_message(rpc.GetConnections(number, "x" * 100_000)))
        async with asyncio.timeout(60):
            await client.close()
        closed.set()
