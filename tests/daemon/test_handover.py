"""An engine process in the place of another: real processes, real ports, and what goes wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.support.engine_processes import EngineSandbox
from tests.support.waiting import until
from tui_forward.daemon import handover, session_store, unix_socket
from tui_forward.daemon import rpc as rpc
from tui_forward.daemon.launcher import ReadyMessage, replace_engine
from tui_forward.errors import ConfigError, TransportError, TuiForwardError, UsageError
from tui_forward.model import ConnectionState, ForwardSpec, Snapshot, Target, TargetKind
from tui_forward.session import Session

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="no unix sockets"),
    pytest.mark.timeout(60),
]


def spec(name: str = "web-1") -> ForwardSpec:
    target = Target(context="here", namespace="shop", kind=TargetKind.POD, name=name, port="80")
    return ForwardSpec(target=target, local_port=0, addresses=("127.0.0.1",), queue_timeout_s=60)


async def listening(session: Session) -> Snapshot:
    async with asyncio.timeout(20):
        while True:
            snapshot = await session.snapshot()
            if all(one.listening for one in snapshot.forwards):
                return snapshot
            await asyncio.sleep(0.01)


def ports(snapshot: Snapshot) -> dict[str, int]:
    return {one.id: one.listening[0].port for one in snapshot.forwards}


async def queued(session: Session) -> None:
    """Wait until there is one connection, and it waits."""
    async with asyncio.timeout(10):
        while True:
            states = [one.state for one in await session.connections()]
            if states == [ConnectionState.QUEUED]:
                return
            await asyncio.sleep(0.01)


async def replaced(place: EngineSandbox) -> ReadyMessage:
    return await replace_engine(str(place.kubeconfig), socket_path=place.socket)


async def test_ports_ids_and_connections_outlive_the_process(place: EngineSandbox) -> None:
    session = await place.lasting()
    await session.start(spec("gone"))
    await session.start(spec("web-1"))
    await session.start(spec("web-2"))
    await session.stop("f1")
    await session.pause("f3")
    await session.set_keep_running(True)
    before = ports(await listening(session))
    assert list(before) == ["f2", "f3"]
    old = session.engine_pid
    with closing(socket.create_connection(("127.0.0.1", before["f2"]))) as client:
        await queued(session)
        readiness = await replaced(place)
        assert readiness.draining == 1
        # The same session, asked again: soon it is another process that answers.
        async with asyncio.timeout(10):
            while session.engine_pid == old:
                snapshot = await session.snapshot()
        assert session.engine_pid == readiness.pid
        assert ports(snapshot) == before
        assert [one.paused for one in snapshot.forwards] == [False, True]
        assert snapshot.keep_running
        with closing(socket.create_connection(("127.0.0.1", before["f2"]))):
            await queued(session)
        # Nobody has closed the one that was open; its process stays for it, and for nothing else.
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        assert psutil.pid_exists(old)
    await until(lambda: not psutil.pid_exists(old))
    assert unix_socket.SocketLock(place.socket).holder == readiness.pid
    file = session_store.load_session(session_store.session_file(place.socket))
    assert [one.id for one in file.forwards] == ["f2", "f3"]
    assert "another engine has taken its place" in place.log.read_text()
    await session.close()


async def test_one_that_stays_for_connections_can_be_told_to_end(place: EngineSandbox) -> None:
    session = await place.lasting()
    await session.start(spec())
    port = ports(await listening(session))["f1"]
    old = session.engine_pid
    with closing(socket.create_connection(("127.0.0.1", port))):
        await queued(session)
        new = (await replaced(place)).pid
        os.kill(old, signal.SIGTERM)
        await until(lambda: not psutil.pid_exists(old))
        assert [one.pid for one in place.engines() if one.pid == new]
        assert ports(await session.snapshot()) == {"f1": port}
    await session.close()


async def test_a_successor_that_is_killed_has_one_itself(place: EngineSandbox) -> None:
    session = await place.lasting()
    await session.start(spec())
    await session.set_keep_running(True)
    before = ports(await listening(session))
    new = (await replaced(place)).pid
    assert ports(await session.snapshot()) == before
    os.kill(new, signal.SIGKILL)
    await until(lambda: not psutil.pid_exists(new))
    assert ports(await listening(session)) == before
    assert session.engine_pid != new
    await session.close()


async def test_whoever_asks_and_does_not_take_has_changed_nothing(place: EngineSandbox) -> None:
    session = await place.open()
    await session.start(spec())
    port = ports(await listening(session))["f1"]
    for _ in range(2):
        estate = await asyncio.to_thread(handover.request_handover, place.socket)
        assert [address.port for address in estate.listening] == [port]
        assert estate.session.forwards[0].spec.local_port == port
        with closing(socket.create_connection(("127.0.0.1", port))) as client:
            pausing = asyncio.ensure_future(session.pause("f1"))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not pausing.done(), "what is on must not change meanwhile"
            assert all(one.state is ConnectionState.CLOSED for one in await session.connections())
            estate.serving.close()
            os.close(estate.lock)
            for sock in estate.listening.values():
                sock.close()
            estate._connection.close()
            await pausing
            with pytest.raises(ConnectionResetError):  # as a paused forward refuses
                client.recv(1)
        await session.resume("f1")
    assert session.lost is None
    assert not unix_socket.SocketLock(place.socket).acquire(), "it has its lock still"
    await session.close()


async def test_two_who_ask_at_once(place: EngineSandbox) -> None:
    session = await place.lasting()
    await session.start(spec())
    before = ports(await listening(session))
    asked = await asyncio.gather(replaced(place), replaced(place), return_exceptions=True)
    assert [one for one in asked if isinstance(one, ReadyMessage)]
    assert all(isinstance(one, ReadyMessage | TuiForwardError) for one in asked)
    assert ports(await session.snapshot()) == before
    await session.close()


async def test_there_is_nothing_to_take(place: EngineSandbox) -> None:
    with pytest.raises(UsageError, match="no engine runs"):
        await replaced(place)
    unix_socket.bind_socket(place.socket).close()
    with pytest.raises(ConfigError, match="no engine runs"):
        await replaced(place)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "hung up"),
        (rpc.encode_message(rpc.VersionMismatch(1, "no")), "does not know how to hand over"),
        (b"\x7f\xff\xff\xff", "says too much"),
        (rpc.encode_message(rpc.HandoverOffer(session=b"{}")), "hung up"),
        (rpc.encode_message(rpc.HandoverOffer(session=b"[")), "cannot be replaced"),
    ],
    ids=["nothing", "refuses", "endless", "no sockets", "no session"],
)
async def test_what_is_no_engine_is_left_alone(tmp_path: Path, answer: bytes, said: str) -> None:
    path = tmp_path / "e.sock"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        with pytest.raises(TransportError, match=said):
            await asyncio.to_thread(handover.request_handover, path)


async def test_one_that_hangs_is_named(
    place: EngineSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "_PATIENCE_S", 0.2)
    session = await place.open()
    os.kill(session.engine_pid, signal.SIGSTOP)
    try:
        with pytest.raises(TransportError, match="does not answer") as failed:
            await asyncio.to_thread(handover.request_handover, place.socket)
        assert str(session.engine_pid) in failed.value.hint
    finally:
        os.kill(session.engine_pid, signal.SIGCONT)
    await session.close()


async def test_a_successor_that_cannot_serve_leaves_all_to_the_one_before(
    place: EngineSandbox,
) -> None:
    session = await place.open()
    await session.start(spec())
    before = ports(await listening(session))
    place.log.unlink()
    place.log.mkdir()  # the next one cannot log
    try:
        with pytest.raises(TransportError, match="cannot write the log"):
            await replaced(place)
    finally:
        place.log.rmdir()
    assert session.lost is None
    assert ports(await session.snapshot()) == before
    assert place.socket.exists()
    with closing(socket.create_connection(("127.0.0.1", before["f1"]))):
        await queued(session)
    await session.close()
