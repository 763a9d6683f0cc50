"""Session whose engine process is killed."""

from __future__ import annotations

import asyncio
import os
import signal

import psutil
import pytest

from tests.support.engine_processes import EngineSandbox
from tests.support.waiting import until
from tui_forward.daemon import unix_socket
from tui_forward.daemon.launcher import connect_if_running
from tui_forward.daemon.reconnecting_session import ReconnectingSession
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.errors import TransportError, UsageError
from tui_forward.model import CatalogScope, Event, ForwardSpec, ForwardState, Target, TargetKind


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def spec(port: int = 0) -> ForwardSpec:
    target = Target(context="here", namespace="shop", kind=TargetKind.POD, name="web-1", port="80")
    return ForwardSpec(target=target, local_port=port, addresses=("127.0.0.1",))


async def listening(session: ReconnectingSession) -> int:
    async with asyncio.timeout(60):
        while True:
            for forward in (await session.snapshot()).forwards:
                if forward.listening:
                    return forward.listening[0].port
            await asyncio.sleep(0.01)


async def test_parent_restarts_a_killed_engine(sandbox: EngineSandbox) -> None:
    session = await sandbox.open_reconnecting()
    await session.start(spec())
    await session.set_keep_running(True)
    port = await listening(session)
    await sandbox.wait_saved()
    await until(lambda: sandbox.saved().keep_running)
    before = session.engine_pid
    parent = psutil.Process(before).ppid()
    await session.close()  # the session would race with the parent to start an engine
    kill(before)
    lock = unix_socket.SocketLock(sandbox.socket)
    await until(lambda: lock.holder not in (None, before))
    after = lock.holder
    assert after is not None
    assert psutil.Process(after).ppid() == parent
    session = await sandbox.open_reconnecting()
    assert session.engine_pid == after
    assert await listening(session) == port
    await session.stop((await session.snapshot()).forwards[0].id)
    await session.close()
    await until(lambda: not sandbox.engines())


async def test_session_continues_in_another_engine(sandbox: EngineSandbox) -> None:
    session = await sandbox.open_reconnecting()
    await session.start(spec())
    port = await listening(session)
    await sandbox.wait_saved()
    before = session.engine_pid
    kill(before)
    assert await listening(session) == port
    assert session.engine_pid != before
    # Without the parent, the session starts the engine.
    kill(psutil.Process(session.engine_pid).ppid(), session.engine_pid)
    assert await listening(session) == port
    await session.stop((await session.snapshot()).forwards[0].id)
    await session.close()
    await until(lambda: not sandbox.engines())


async def test_command_is_not_repeated(sandbox: EngineSandbox) -> None:
    session = await sandbox.open_reconnecting()
    await session.start(spec())
    port = await listening(session)
    await sandbox.wait_saved()
    kill(session.engine_pid)
    with pytest.raises(TransportError, match="the engine was replaced while"):
        await session.start(spec())
    assert await listening(session) == port
    assert len((await session.snapshot()).forwards) == 1
    await session.close()


async def test_events_and_catalog_of_a_new_engine_are_complete(sandbox: EngineSandbox) -> None:
    session = await sandbox.open_reconnecting()
    seen: list[Event] = []

    async def listen() -> None:
        async for event in session.events():
            seen.append(event)  # noqa: PERF401 - read while they arrive

    listener = asyncio.create_task(listen())
    await session.start(spec())
    await listening(session)
    scope = CatalogScope("here", "shop")
    first = await session.catalog(scope)
    assert (await session.catalog(scope, first.version)).scope == scope
    await sandbox.wait_saved()
    seen.clear()
    kill(session.engine_pid)
    await listening(session)
    # An event of the old engine may still arrive first.
    await until(lambda: any(one.sequence == 1 for one in seen))
    await until(lambda: any(one.state is ForwardState.STARTING for one in seen))
    assert (await session.catalog(scope, 10_000)).complete
    listener.cancel()
    await session.close()


async def test_error_explains_why_no_engine_can_start(sandbox: EngineSandbox) -> None:
    session = await sandbox.open_reconnecting()
    sandbox.refuses = True
    kill(psutil.Process(session.engine_pid).ppid(), session.engine_pid)
    with pytest.raises(TransportError, match="the engine process is gone: no engine today"):
        await session.snapshot()
    sandbox.refuses = False
    assert (await session.snapshot()).forwards == ()
    # An error that the engine reports does not replace it.
    pid = session.engine_pid
    with pytest.raises(UsageError, match="no forward f9"):
        await session.stop("f9")
    assert session.engine_pid == pid
    await session.close()
    with pytest.raises(TransportError):
        await session.snapshot()


async def test_connect_if_running_starts_only_an_engine_that_should_run(
    sandbox: EngineSandbox,
) -> None:
    assert await connect_if_running(str(sandbox.kubeconfig), socket_path=sandbox.socket) is None
    session = await sandbox.open_reconnecting()
    await session.start(spec())
    await session.set_keep_running(True)
    port = await listening(session)
    await sandbox.wait_saved()
    await until(lambda: sandbox.saved().keep_running)
    await session.close()
    kill(psutil.Process(session.engine_pid).ppid(), session.engine_pid)
    again = await connect_if_running(str(sandbox.kubeconfig), socket_path=sandbox.socket)
    assert again is not None
    forward = (await again.snapshot()).forwards[0]
    await until(lambda: sandbox.saved().forwards[0].spec.local_port == port)
    await again.stop(forward.id)
    await again.close()
    await until(lambda: not sandbox.engines())
    assert await connect_if_running(str(sandbox.kubeconfig), socket_path=sandbox.socket) is None


async def test_engine_that_ends_on_a_signal_is_not_restarted(sandbox: EngineSandbox) -> None:
    session = await sandbox.open()
    parent = psutil.Process(session.engine_pid).ppid()
    os.kill(parent, signal.SIGTERM)  # the parent forwards it
    await until(lambda: session.lost is not None and not sandbox.engines())
    await session.close()


async def test_keep_running_if_lost_is_repeated_to_each_engine(sandbox: EngineSandbox) -> None:
    session = await sandbox.open_reconnecting()
    await session.set_keep_running_if_lost(True)
    await session.start(spec())
    port = await listening(session)
    await sandbox.wait_saved()
    kill(session.engine_pid)
    assert await listening(session) == port
    await session.close()  # like a lost client
    again = await connect_if_running(str(sandbox.kubeconfig), socket_path=sandbox.socket)
    assert again is not None
    assert (await again.snapshot()).keep_running
    await again.close()


async def test_callers_that_wait_too_short_share_the_next_engine(sandbox: EngineSandbox) -> None:
    """A dashboard gives up a request after seconds, which an engine may need to start."""
    opened = 0
    may_open = asyncio.Event()

    async def reopen() -> RemoteSession:
        nonlocal opened
        opened += 1
        await may_open.wait()
        return await sandbox.open("--restore")

    session = ReconnectingSession(await sandbox.open(), reopen)
    kill(psutil.Process(session.engine_pid).ppid(), session.engine_pid)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await session.snapshot()
    may_open.set()
    assert (await session.snapshot()).forwards == ()
    assert opened == 1
    await session.close()


async def test_closed_session_opens_no_engine(sandbox: EngineSandbox) -> None:
    async def reopen() -> RemoteSession:
        await asyncio.Event().wait()
        raise AssertionError

    session = ReconnectingSession(await sandbox.open(), reopen)
    kill(psutil.Process(session.engine_pid).ppid(), session.engine_pid)
    waiting = asyncio.create_task(session.snapshot())
    await until(lambda: session._replacing is not None)
    await session.close()
    with pytest.raises(TransportError, match="the session is closed"):
        await waiting
