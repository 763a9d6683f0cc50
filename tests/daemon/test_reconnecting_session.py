"""A session whose engine process is killed under it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import psutil
import pytest

from tests.support.engine_processes import EngineSandbox
from tests.support.waiting import until
from tui_forward.daemon import session_store as session_store
from tui_forward.daemon import unix_socket as unix_socket
from tui_forward.daemon.launcher import connect_if_running
from tui_forward.daemon.reconnecting_session import ReconnectingSession
from tui_forward.errors import TransportError, UsageError
from tui_forward.model import CatalogScope, Event, ForwardSpec, ForwardState, Target, TargetKind

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="no unix sockets"),
    pytest.mark.timeout(60),
]


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def spec(port: int = 0) -> ForwardSpec:
    target = Target(context="here", namespace="shop", kind=TargetKind.POD, name="web-1", port="80")
    return ForwardSpec(target=target, local_port=port, addresses=("127.0.0.1",))


async def listening(session: ReconnectingSession) -> int:
    async with asyncio.timeout(20):
        while True:
            for forward in (await session.snapshot()).forwards:
                if forward.listening:
                    return forward.listening[0].port
            await asyncio.sleep(0.01)


async def test_an_engine_that_is_killed_is_replaced_by_its_parent(place: EngineSandbox) -> None:
    session = await place.lasting()
    await session.start(spec())
    await session.set_keep_running(True)
    port = await listening(session)
    path = session_store.session_file(place.socket)
    await until(
        lambda: (
            session_store.load_session(path).keep_running
            and session_store.load_session(path).forwards[0].spec.local_port
        )
    )
    before = session.engine_pid
    parent = psutil.Process(before).ppid()
    await session.close()  # it would be as quick, and who comes first is nobody's promise
    kill(before)
    lock = unix_socket.SocketLock(place.socket)
    await until(lambda: lock.holder not in (None, before))
    after = lock.holder
    assert after is not None
    assert psutil.Process(after).ppid() == parent
    session = await place.lasting()
    assert session.engine_pid == after
    assert await listening(session) == port
    await session.stop((await session.snapshot()).forwards[0].id)
    await session.close()
    await until(lambda: not place.engines())


async def test_whoever_is_attached_has_another_engine_at_once(place: EngineSandbox) -> None:
    session = await place.lasting()
    await session.start(spec())
    port = await listening(session)
    path = session_store.session_file(place.socket)
    await until(
        lambda: (
            session_store.load_session(path).forwards
            and session_store.load_session(path).forwards[0].spec.local_port
        )
    )
    before = session.engine_pid
    kill(before)
    assert await listening(session) == port
    assert session.engine_pid != before
    # With the parent there is nobody left but the front end.
    kill(psutil.Process(session.engine_pid).ppid(), session.engine_pid)
    assert await listening(session) == port
    await session.stop((await session.snapshot()).forwards[0].id)
    await session.close()
    await until(lambda: not place.engines())


async def test_a_command_is_not_given_twice(place: EngineSandbox) -> None:
    session = await place.lasting()
    await session.start(spec())
    port = await listening(session)
    await until(
        lambda: session_store.load_session(session_store.session_file(place.socket)).forwards
    )
    kill(session.engine_pid)
    with pytest.raises(TransportError, match="another engine has taken the place"):
        await session.start(spec())
    assert await listening(session) == port
    assert len((await session.snapshot()).forwards) == 1
    await session.close()


async def test_events_and_catalogue_begin_anew(place: EngineSandbox) -> None:
    session = await place.lasting()
    seen: list[Event] = []

    async def listen() -> None:
        async for event in session.events():
            seen.append(event)  # noqa: PERF401 - seen while they come

    listener = asyncio.create_task(listen())
    await session.start(spec())
    await listening(session)
    scope = CatalogScope("here", "shop")
    first = await session.catalog(scope)
    assert (await session.catalog(scope, first.version)).scope == scope
    await until(
        lambda: session_store.load_session(session_store.session_file(place.socket)).forwards
    )
    seen.clear()
    kill(session.engine_pid)
    await listening(session)
    # One of the old engine may still have been on its way.
    await until(lambda: any(one.sequence == 1 for one in seen))
    await until(lambda: any(one.state is ForwardState.STARTING for one in seen))
    assert (await session.catalog(scope, 10_000)).complete
    listener.cancel()
    await session.close()


async def test_without_another_engine_it_says_why(place: EngineSandbox) -> None:
    session = await place.lasting()
    place.refuses = True
    kill(psutil.Process(session.engine_pid).ppid(), session.engine_pid)
    with pytest.raises(TransportError, match="the engine process is gone: no engine today"):
        await session.snapshot()
    place.refuses = False
    assert (await session.snapshot()).forwards == ()
    # What the engine answers is no reason to have another one.
    pid = session.engine_pid
    with pytest.raises(UsageError, match="no forward f9"):
        await session.stop("f9")
    assert session.engine_pid == pid
    await session.close()
    with pytest.raises(TransportError):
        await session.snapshot()


async def test_who_only_looks_begins_no_engine_unless_one_should_be_there(
    place: EngineSandbox,
) -> None:
    assert await connect_if_running(str(place.kubeconfig), socket_path=place.socket) is None
    session = await place.lasting()
    await session.start(spec())
    await session.set_keep_running(True)
    port = await listening(session)
    await until(
        lambda: session_store.load_session(session_store.session_file(place.socket)).keep_running
    )
    await session.close()
    kill(psutil.Process(session.engine_pid).ppid(), session.engine_pid)
    again = await connect_if_running(str(place.kubeconfig), socket_path=place.socket)
    assert again is not None
    forward = (await again.snapshot()).forwards[0]
    await until(
        lambda: (
            session_store.load_session(session_store.session_file(place.socket))
            .forwards[0]
            .spec.local_port
            == port
        )
    )
    await again.stop(forward.id)
    await again.close()
    await until(lambda: not place.engines())
    assert await connect_if_running(str(place.kubeconfig), socket_path=place.socket) is None


async def test_an_engine_that_ends_in_order_is_not_begun_again(place: EngineSandbox) -> None:
    session = await place.open()
    parent = psutil.Process(session.engine_pid).ppid()
    os.kill(parent, signal.SIGTERM)  # is passed on
    await until(lambda: not place.engines())
    assert session.lost is not None
    await session.close()


async def test_what_is_to_become_of_forwards_is_said_to_each_engine(place: EngineSandbox) -> None:
    session = await place.lasting()
    await session.set_keep_running_if_lost(True)
    await session.start(spec())
    port = await listening(session)
    await until(
        lambda: session_store.load_session(session_store.session_file(place.socket)).forwards
    )
    kill(session.engine_pid)
    assert await listening(session) == port
    await session.close()  # as one that is lost
    again = await connect_if_running(str(place.kubeconfig), socket_path=place.socket)
    assert again is not None
    assert (await again.snapshot()).keep_running
    await again.close()
