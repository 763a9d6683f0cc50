"""Engines of one user for several kubeconfigs, which must not be mistaken for one."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.daemon.test_handover import listening, ports, spec
from tests.support.engine_processes import KUBECONFIG, engine_processes
from tests.support.waiting import until
from tui_forward.cli.main import main
from tui_forward.common import paths
from tui_forward.daemon import connect, session_store, unix_socket
from tui_forward.daemon.other_engines import OtherEngines, find_other_engines, running_socket
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.daemon.session_store import SavedForward, SavedSession
from tui_forward.daemon.unix_socket import SocketLock
from tui_forward.model import ForwardState

pytestmark = pytest.mark.timeout(120)


def write_session(folder: Path, name: str, saved: SavedSession) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(msgspec.json.encode(saved))


def saved(socket: Path, count: int, kubeconfig: str = "") -> SavedSession:
    forwards = tuple(SavedForward(spec()) for _ in range(count))
    return SavedSession(socket=str(socket), kubeconfig=kubeconfig, forwards=forwards)


def test_only_running_engines_with_forwards_are_found(tmp_path: Path) -> None:
    own, other = tmp_path / "engine.sock", tmp_path / "engine-1.sock"
    lock = SocketLock(other)
    folder = paths.sessions_dir()
    assert find_other_engines(own) == ()
    for name, content in (
        ("engine.json", saved(own, 3)),
        ("engine-1.json", saved(other, 14, "/b")),
        ("engine-1.previous.json", saved(other, 7, "/b")),
        ("engine-2.json", SavedSession(forwards=(SavedForward(spec()),))),
    ):
        write_session(folder, name, content)
    (folder / "engine-3.json").write_bytes(b"[[[")
    assert find_other_engines(own) == ()
    assert lock.acquire()
    (found,) = find_other_engines(own)
    assert (found.pid, found.kubeconfig, found.forwards) == (os.getpid(), "/b", 14)
    assert len(found.listed) == 14
    assert found.listed[0].endswith(str(spec().target))
    assert find_other_engines(other) == ()
    write_session(folder, "engine-1.json", saved(other, 0))
    assert find_other_engines(own) == ()
    lock.release()


async def test_engines_are_read_in_the_background(tmp_path: Path) -> None:
    others = OtherEngines(tmp_path / "engine.sock")
    other = tmp_path / "engine-1.sock"
    write_session(paths.sessions_dir(), "engine-1.json", saved(other, 1))
    lock = SocketLock(other)
    assert lock.acquire()
    assert others.current == ()
    await until(lambda: len(others.current) == 1)
    lock.release()


def test_engine_is_found_at_another_socket(tmp_path: Path) -> None:
    """The runtime folder differs after `su`, and in a cron job."""
    here, there = tmp_path / "a" / "engine.sock", tmp_path / "b" / "engine.sock"
    there.parent.mkdir()
    write_session(paths.sessions_dir(), "engine.json", saved(there, 1))
    assert running_socket(here) == here, "it does not run"
    lock = SocketLock(there)
    assert lock.acquire()
    assert running_socket(here) == there
    assert running_socket(there) == there
    lock.release()


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """Yield two kubeconfigs of the same cluster; kill their engines at the end."""
    files = (tmp_path / "a.yaml", tmp_path / "b.yaml")
    for file in files:
        file.write_text(KUBECONFIG)
    yield str(files[0]), str(files[1])

    def none_left() -> bool:
        processes = engine_processes(Path(os.environ["XDG_RUNTIME_DIR"]))
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return not processes

    await until(none_left)


async def opened(kubeconfig: str) -> RemoteSession:
    return await connect(environ={**os.environ, "KUBECONFIG": kubeconfig})


async def test_engines_for_two_kubeconfigs_know_of_each_other(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = [await opened(file) for file in files]
    assert a.engine_pid != b.engine_pid
    await a.set_keep_running(True)
    await a.start(spec("web-1"))
    await a.start(spec("web-2"))
    first, second = ports(await listening(a)).values()
    file = session_store.session_file(
        unix_socket.default_socket_path(None, {**os.environ, "KUBECONFIG": files[0]})
    )
    await until(lambda: len(session_store.load_session(file).forwards) == 2)
    async with asyncio.timeout(60):
        while True:
            found = (await b.snapshot()).other_engines
            if [(one.pid, one.kubeconfig, one.forwards) for one in found] == [
                (a.engine_pid, files[0], 2)
            ]:
                break
            await asyncio.sleep(0.02)
    assert (await a.snapshot()).other_engines == ()

    # A port of the other engine stays with it, and its owner is named.
    await b.start(msgspec.structs.replace(spec("web-1"), local_port=first))
    async with asyncio.timeout(60):
        while True:
            (blocked,) = (await b.snapshot()).forwards
            if blocked.state is ForwardState.BLOCKED:
                break
            await asyncio.sleep(0.02)
    assert "taken by another tui-forward engine" in blocked.reason
    assert set(ports(await a.snapshot()).values()) == {first, second}
    await b.stop(blocked.id)

    text = f"2 forwards run with KUBECONFIG={files[0]}. List: KUBECONFIG={files[0]} tui-forward ls"
    for command in ("ls", "status", "stop f9"):
        for kubeconfig in files:
            monkeypatch.setenv("KUBECONFIG", kubeconfig)
            await asyncio.to_thread(main, command.split())
            is_other = kubeconfig == files[1]
            assert (text in "".join(capsys.readouterr())) == is_other, command
    await a.close()
    await b.close()
