"""Ports, lock and socket of an engine that is killed, which its parent holds."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest

from tests.daemon.test_handover import listening, ports, queued, replace, spec
from tests.support.engine_processes import EngineSandbox
from tests.support.waiting import until
from tui_forward.daemon import rpc, unix_socket
from tui_forward.daemon.reconnecting_session import ReconnectingSession
from tui_forward.model import ForwardSpec, LocalAddress

pytestmark = pytest.mark.timeout(120)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


async def started(sandbox: EngineSandbox, *specs: ForwardSpec) -> ReconnectingSession:
    session = await sandbox.open_reconnecting()
    await session.set_keep_running(True)
    for one in specs:
        await session.start(one)
    await listening(session)
    await sandbox.wait_saved(len(specs))
    return session


async def killed(session: ReconnectingSession) -> None:
    """Kill the engine and wait until it is gone."""
    pid = session.engine_pid
    kill(pid)
    await until(lambda: not psutil.pid_exists(pid))


async def test_clients_wait_while_no_engine_runs(sandbox: EngineSandbox) -> None:
    session = await started(sandbox, spec())
    before = ports(await session.snapshot())
    pid = session.engine_pid
    with ExitStack() as stack:
        # Connects all the time, from before the kill until another engine serves.
        clients = [stack.enter_context(closing(connection(before["f1"])))]
        kill(pid)
        reopening = asyncio.ensure_future(session.snapshot())
        while not reopening.done():
            clients.append(stack.enter_context(closing(connection(before["f1"]))))
            await asyncio.sleep(0.02)
        assert ports(await listening(session)) == before
        assert session.engine_pid != pid
        # The one that was opened last, before any engine served.
        await accepted(session, clients[-1])
    await session.close()


async def test_client_that_gave_up_during_a_restart_does_not_end_the_engine(
    sandbox: EngineSandbox,
) -> None:
    """Its connection waits in the backlog of the socket, and is the first that is accepted."""
    session = await sandbox.open_reconnecting()
    await session.start(spec())
    port = ports(await listening(session))["f1"]
    await sandbox.wait_saved()
    parent, engine = sandbox.engines()
    parent.suspend()
    engine.kill()
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.connect(str(sandbox.socket))
        client.sendall(rpc.encode_message(rpc.Hello(rpc.VERSION)))
        client.shutdown(socket.SHUT_WR)
        parent.resume()
        client.setblocking(False)
        async with asyncio.timeout(60):  # until the engine has done with it
            while await asyncio.get_running_loop().sock_recv(client, 4096):
                pass
    with closing(connection(port)):
        assert ports(await session.snapshot()) == {"f1": port}
    assert psutil.Process(session.engine_pid).ppid() == parent.pid
    await session.close()


async def accepted(session: ReconnectingSession, client: socket.socket) -> None:
    address = str(LocalAddress(*client.getsockname()))
    async with asyncio.timeout(40):
        while True:
            if address in {one.client for one in await session.connections()}:
                break
            await asyncio.sleep(0.01)


def connection(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


async def test_engine_that_replaces_a_killed_one_cannot_be_overtaken(
    sandbox: EngineSandbox,
) -> None:
    session = await started(sandbox, spec())
    for _ in range(3):
        await killed(session)
        # The parent has the lock, so that this client gets the engine of that parent.
        assert not unix_socket.SocketLock(sandbox.socket).acquire()
        other = await sandbox.open()
        await session.snapshot()
        assert other.engine_pid == session.engine_pid
        await other.close()
    assert len(sandbox.engines()) == 2, "one engine and its parent"
    await session.close()


async def test_stopped_forward_closes_its_port_everywhere(sandbox: EngineSandbox) -> None:
    session = await started(sandbox, spec("web-1"), spec("web-2"))
    first, second = ports(await session.snapshot()).values()
    await session.stop("f1")
    with closing(socket.socket()) as other:  # at once, without waiting for anything
        other.bind(("127.0.0.1", first))
    await sandbox.wait_saved(1)
    await killed(session)
    with pytest.raises(ConnectionRefusedError):
        connection(first)
    assert ports(await listening(session)) == {"f2": second}
    await session.close()


async def test_paused_forward_rejects_connections_after_a_kill(sandbox: EngineSandbox) -> None:
    session = await started(sandbox, spec())
    port = ports(await session.snapshot())["f1"]
    await session.pause("f1")
    await until(lambda: sandbox.saved().forwards[0].paused)
    await killed(session)
    with pytest.raises(ConnectionResetError):
        receive(port)
    await session.close()


def receive(port: int) -> bytes:
    with closing(connection(port)) as client:
        client.settimeout(30)
        return client.recv(1)


async def test_ports_are_held_after_a_restart_of_the_engine(sandbox: EngineSandbox) -> None:
    session = await started(sandbox, spec())
    before = ports(await session.snapshot())
    message = await replace(sandbox)
    assert ports(await listening(session)) == before
    assert session.engine_pid == message.pid
    await until(lambda: len(sandbox.engines()) == 2)
    kill(message.pid)
    with closing(connection(before["f1"])):
        await queued(session)
    # The parent of the replaced engine does not hold the port either.
    await session.stop("f1")
    with pytest.raises(ConnectionRefusedError):
        connection(before["f1"])
    await session.close()


async def test_ports_stay_open_without_the_parent(sandbox: EngineSandbox) -> None:
    session = await started(sandbox, spec())
    port = ports(await session.snapshot())["f1"]
    parent, engine = sandbox.engines()
    parent.kill()
    await until(lambda: len(sandbox.engines()) == 1)
    with closing(connection(port)):
        await queued(session)
    await session.stop("f1")
    await session.start(spec())
    await listening(session)
    # A new engine has a parent again.
    message = await replace(sandbox)
    await until(lambda: len(sandbox.engines()) == 2)
    assert message.pid != engine.pid
    kill(message.pid)
    with closing(connection(ports(await listening(session))["f2"])):
        await queued(session)
    await session.close()


async def test_forward_keeps_its_port_while_the_kubeconfig_is_broken(
    sandbox: EngineSandbox,
) -> None:
    session = await started(sandbox, spec())
    port = ports(await session.snapshot())["f1"]
    content = sandbox.kubeconfig.read_text()
    sandbox.kubeconfig.write_text("{")
    await killed(session)
    with closing(connection(port)):
        await session.snapshot()
        sandbox.kubeconfig.write_text(content)
        assert ports(await listening(session)) == {"f1": port}
    await session.close()


async def test_engine_is_found_after_its_folder_was_removed(
    sandbox: EngineSandbox, tmp_path: Path
) -> None:
    """The system removes it when the user logs out."""
    run = tmp_path / "run"
    sandbox.socket = run / "e.sock"
    session = await started(sandbox, spec())
    shutil.rmtree(run)
    await until(lambda: unix_socket.is_served(sandbox.socket))
    other = await sandbox.open()
    assert other.engine_pid == session.engine_pid
    await other.close()
    await killed(session)
    assert ports(await session.snapshot())
    assert len(sandbox.engines()) == 2
    await session.close()


async def test_clients_that_start_at_once_share_one_engine(sandbox: EngineSandbox) -> None:
    sessions = await asyncio.gather(*(sandbox.open() for _ in range(8)))
    assert len({session.engine_pid for session in sessions}) == 1
    await asyncio.gather(*(session.close() for session in sessions))
