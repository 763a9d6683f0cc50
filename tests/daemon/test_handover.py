"""Handover between real engine processes with real ports, and its failures."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import closing
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.support.engine_processes import EngineSandbox
from tests.support.waiting import until
from tui_forward.common.access_options import parse_access_options
from tui_forward.daemon import handover, rpc, session_store, unix_socket
from tui_forward.daemon.launcher import replace_engine
from tui_forward.daemon.readiness import ReadyMessage
from tui_forward.errors import ConfigError, TransportError, TuiForwardError, UsageError
from tui_forward.model import (
    BlockedBy,
    CatalogScope,
    ConnectionState,
    Forward,
    ForwardSpec,
    ForwardState,
    ReasonCode,
    Snapshot,
    Target,
    TargetKind,
)
from tui_forward.session import Session


def spec(name: str = "web-1") -> ForwardSpec:
    target = Target(context="here", namespace="shop", kind=TargetKind.POD, name=name, port="80")
    return ForwardSpec(target=target, local_port=0, addresses=("127.0.0.1",), queue_timeout_s=60)


async def listening(session: Session) -> Snapshot:
    async with asyncio.timeout(60):
        while True:
            snapshot = await session.snapshot()
            if all(one.listening for one in snapshot.forwards):
                return snapshot
            await asyncio.sleep(0.01)


def ports(snapshot: Snapshot) -> dict[str, int]:
    return {one.id: one.listening[0].port for one in snapshot.forwards}


async def queued(session: Session) -> None:
    """Wait until there is one connection, and it is queued."""
    async with asyncio.timeout(60):
        while True:
            states = [one.state for one in await session.connections()]
            if states == [ConnectionState.QUEUED]:
                return
            await asyncio.sleep(0.01)


async def replace(sandbox: EngineSandbox) -> ReadyMessage:
    return await replace_engine(str(sandbox.kubeconfig), socket_path=sandbox.socket)


async def test_ports_ids_and_connections_survive_the_handover(sandbox: EngineSandbox) -> None:
    session = await sandbox.open_reconnecting()
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
        message = await replace(sandbox)
        assert message.draining == 1
        # The session reconnects to the new process.
        async with asyncio.timeout(60):
            while session.engine_pid == old:
                snapshot = await session.snapshot()
        assert session.engine_pid == message.pid
        assert ports(snapshot) == before
        assert [one.paused for one in snapshot.forwards] == [False, True]
        assert snapshot.keep_running
        with closing(socket.create_connection(("127.0.0.1", before["f2"]))):
            await queued(session)
        # The open connection was not closed; the old process only continues for it.
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        assert psutil.pid_exists(old)
    await until(lambda: not psutil.pid_exists(old))
    assert unix_socket.SocketLock(sandbox.socket).holder == message.pid
    assert [one.id for one in sandbox.saved().forwards] == ["f2", "f3"]
    assert "another engine has replaced it" in sandbox.log.read_text()
    await session.close()


async def test_secret_options_survive_the_handover_but_no_crash(sandbox: EngineSandbox) -> None:
    given = parse_access_options({"as": ["bob"], "token": ["t0ken-of-bob"]})
    session = await sandbox.open_reconnecting()
    target = msgspec.structs.replace(spec().target, options=given)
    await session.start(msgspec.structs.replace(spec(), target=target))
    await session.set_keep_running(True)
    await listening(session)
    old = session.engine_pid
    await replace(sandbox)

    async def reached(*codes: ReasonCode, negate: bool = False) -> Forward:
        async with asyncio.timeout(60):
            while True:
                (forward,) = (await session.snapshot()).forwards
                if session.engine_pid != old and (forward.code in codes) != negate:
                    return forward
                await asyncio.sleep(0.02)

    # Its server is tried, with the token.
    starting = (ReasonCode.FORWARD_STARTING, ReasonCode.TARGET_RESOLVING)
    forward = await reached(*starting, negate=True)
    assert forward.code is not ReasonCode.AUTH_SECRET_NOT_KEPT
    assert forward.spec.target.options == given.without_secrets()
    file = session_store.session_file(sandbox.socket)
    await sandbox.wait_saved()
    os.kill(session.engine_pid, signal.SIGKILL)
    old = session.engine_pid
    forward = await reached(ReasonCode.AUTH_SECRET_NOT_KEPT)
    assert (forward.state, forward.blocked_by) == (ForwardState.BLOCKED, BlockedBy.CREDENTIALS)
    assert "--token" in forward.reason
    assert b"t0ken" not in file.read_bytes()
    assert "t0ken" not in sandbox.log.read_text()
    # The dashboard that started it still has the token.
    await session.catalog(CatalogScope("here", "shop", given))
    await reached(ReasonCode.AUTH_SECRET_NOT_KEPT, negate=True)
    await session.close()


async def test_signal_ends_an_engine_that_drains(sandbox: EngineSandbox) -> None:
    session = await sandbox.open_reconnecting()
    await session.start(spec())
    port = ports(await listening(session))["f1"]
    old = session.engine_pid
    with closing(socket.create_connection(("127.0.0.1", port))):
        await queued(session)
        new = (await replace(sandbox)).pid
        os.kill(old, signal.SIGTERM)
        await until(lambda: not psutil.pid_exists(old))
        assert [one.pid for one in sandbox.engines() if one.pid == new]
        assert ports(await session.snapshot()) == {"f1": port}
    await session.close()


async def test_killed_new_engine_is_restarted(sandbox: EngineSandbox) -> None:
    session = await sandbox.open_reconnecting()
    await session.start(spec())
    await session.set_keep_running(True)
    before = ports(await listening(session))
    new = (await replace(sandbox)).pid
    assert ports(await session.snapshot()) == before
    os.kill(new, signal.SIGKILL)
    await until(lambda: not psutil.pid_exists(new))
    assert ports(await listening(session)) == before
    assert session.engine_pid != new
    await session.close()


async def test_handover_that_is_not_confirmed_changes_nothing(sandbox: EngineSandbox) -> None:
    session = await sandbox.open()
    await session.start(spec())
    port = ports(await listening(session))["f1"]
    for _ in range(2):
        state = await asyncio.to_thread(handover.request_handover, sandbox.socket)
        assert [address.port for address in state.forward_sockets] == [port]
        assert state.session.forwards[0].spec.local_port == port
        with closing(socket.create_connection(("127.0.0.1", port))) as client:
            pausing = asyncio.ensure_future(session.pause("f1"))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not pausing.done(), "forwards must not change meanwhile"
            assert all(one.state is ConnectionState.CLOSED for one in await session.connections())
            state.server_socket.close()
            os.close(state.lock_fd)
            for sock in state.forward_sockets.values():
                sock.close()
            state._connection.close()
            await pausing
            with pytest.raises(ConnectionResetError):  # as a paused forward rejects it
                client.recv(1)
        await session.resume("f1")
    assert session.lost is None
    assert not unix_socket.SocketLock(sandbox.socket).acquire(), "it still holds its lock"
    await session.close()


async def test_concurrent_handover_requests(sandbox: EngineSandbox) -> None:
    session = await sandbox.open_reconnecting()
    await session.start(spec())
    before = ports(await listening(session))
    results = await asyncio.gather(replace(sandbox), replace(sandbox), return_exceptions=True)
    assert [one for one in results if isinstance(one, ReadyMessage)]
    assert all(isinstance(one, ReadyMessage | TuiForwardError) for one in results)
    assert ports(await session.snapshot()) == before
    await session.close()


async def test_handover_without_an_engine_fails(sandbox: EngineSandbox) -> None:
    with pytest.raises(UsageError, match="no engine is running"):
        await replace(sandbox)
    unix_socket.bind_socket(sandbox.socket).close()
    with pytest.raises(ConfigError, match="no engine is running"):
        await replace(sandbox)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (b"", "closed the connection"),
        (rpc.encode_message(rpc.VersionMismatch(1, "no")), "does not support a handover"),
        (b"\x7f\xff\xff\xff", "message is too long"),
        (rpc.encode_message(rpc.HandoverOffer(session=b"{}")), "closed the connection"),
        (rpc.encode_message(rpc.HandoverOffer(session=b"[")), "cannot be replaced"),
    ],
    ids=["nothing", "rejects", "endless", "no sockets", "no session"],
)
async def test_invalid_handover_response_is_an_error(
    tmp_path: Path, response: bytes, error: str
) -> None:
    path = tmp_path / "e.sock"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(response)
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        with pytest.raises(TransportError, match=error):
            await asyncio.to_thread(handover.request_handover, path)


async def test_error_names_an_engine_that_hangs(
    sandbox: EngineSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "_TIMEOUT_S", 0.2)
    session = await sandbox.open()
    os.kill(session.engine_pid, signal.SIGSTOP)
    try:
        with pytest.raises(TransportError, match="not responding") as failed:
            await asyncio.to_thread(handover.request_handover, sandbox.socket)
        assert str(session.engine_pid) in failed.value.hint
    finally:
        os.kill(session.engine_pid, signal.SIGCONT)
    await session.close()


async def test_old_engine_continues_if_the_new_one_cannot_serve(
    sandbox: EngineSandbox,
) -> None:
    session = await sandbox.open()
    await session.start(spec())
    before = ports(await listening(session))
    sandbox.log.unlink()
    sandbox.log.mkdir()  # the new engine cannot log
    try:
        with pytest.raises(TransportError, match="cannot write the log"):
            await replace(sandbox)
    finally:
        sandbox.log.rmdir()
    assert session.lost is None
    assert ports(await session.snapshot()) == before
    assert sandbox.socket.exists()
    with closing(socket.create_connection(("127.0.0.1", before["f1"]))):
        await queued(session)
    await session.close()
