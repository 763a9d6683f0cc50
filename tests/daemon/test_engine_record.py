"""There is one engine for one user and kubeconfig, wherever its socket is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.daemon.test_daemon_process import alive
from tests.daemon.test_handover import listening, ports, spec
from tests.support.engine_processes import KUBECONFIG, engine_processes
from tests.support.waiting import until
from tui_forward.common import paths
from tui_forward.common.process_identity import ProcessIdentity, identify_process
from tui_forward.daemon import connect, connect_if_running, engine_record, launcher
from tui_forward.daemon.engine_record import (
    EngineRecord,
    RunningEngine,
    find_running_engine,
    record_file,
)
from tui_forward.daemon.launcher import find_engine_socket
from tui_forward.daemon.other_engines import running_socket
from tui_forward.daemon.session_store import load_session, session_file
from tui_forward.daemon.unix_socket import SocketLock, default_socket_path
from tui_forward.errors import TransportError, TuiForwardError

pytestmark = pytest.mark.timeout(120)

HERE, THERE = Path("/run/here/engine.sock"), Path("/run/there/engine.sock")
RECYCLED = ProcessIdentity(os.getpid(), "1")
GONE = ProcessIdentity(2**22 + 1, "1")


def identity(pid: int) -> ProcessIdentity:
    found = identify_process(pid)
    assert found is not None
    return found


def write(content: RunningEngine | bytes, socket: Path = HERE) -> Path:
    file = record_file(socket)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else msgspec.json.encode(content))
    return file


@pytest.mark.parametrize(
    ("processes", "is_running"),
    [
        ((os.getppid(),), True),
        ((GONE, os.getppid()), True),  # killed; its parent is about to start the next one
        ((os.getppid(), GONE), True),  # its parent was killed
        ((GONE,), False),
        ((RECYCLED,), False),
        ((RECYCLED, GONE), False),
    ],
)
def test_engine_is_found_while_it_or_its_parent_runs(
    processes: tuple[ProcessIdentity | int, ...], is_running: bool
) -> None:
    found = tuple(identity(one) if isinstance(one, int) else one for one in processes)
    engine = RunningEngine(str(THERE), found)
    write(engine)
    assert find_running_engine(HERE) == (engine if is_running else None)
    assert running_socket(HERE) == (THERE if is_running else HERE)
    # Another one may record itself only if this one does not run.
    record = EngineRecord(HERE, has_parent=False)
    assert record.claim() == (engine if is_running else None)
    found_now = find_running_engine(HERE)
    assert found_now is not None
    assert found_now.pid == (engine.pid if is_running else os.getpid())
    record.remove()
    assert record_file(HERE).exists() == is_running


def test_engine_that_was_killed_is_followed_by_a_child_of_the_same_parent() -> None:
    write(RunningEngine(str(HERE), (GONE, identity(os.getppid()))))
    assert EngineRecord(HERE, has_parent=False).claim() is not None
    assert EngineRecord(HERE, has_parent=True).claim() is None


def test_engine_that_was_replaced_leaves_the_record_of_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = EngineRecord(HERE, has_parent=False)
    assert old.claim() is None
    monkeypatch.setattr(os, "getpid", os.getppid)
    new = EngineRecord(HERE, has_parent=False)
    assert new.claim() is not None
    new.replace()
    old.remove()
    found = find_running_engine(HERE)
    assert found is not None
    assert found.pid == os.getppid()
    new.remove()
    new.remove()
    assert find_running_engine(HERE) is None


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"\xff", b"[" * 900, b"x" * 5000,
        msgspec.json.encode(RunningEngine("relative.sock", (RECYCLED,))),
        msgspec.json.encode(RunningEngine(str(HERE), ())),
    ],
    ids=["empty", "cut", "list", "bytes", "nested", "long", "relative", "no process"],
)  # fmt: skip
def test_invalid_record_counts_as_none(content: bytes) -> None:
    write(content)
    assert find_running_engine(HERE) is None
    record = EngineRecord(HERE, has_parent=False)
    assert record.claim() is None
    assert (find_running_engine(HERE) is not None) == (len(content) < 1024)
    record.remove()


@pytest.mark.parametrize("trouble", ["folder", "link", "hard link"])
def test_record_that_cannot_be_written_prevents_nothing(trouble: str, tmp_path: Path) -> None:
    """Without it, an engine is found by its socket alone."""
    victim = tmp_path / "victim"
    victim.write_text("content")
    folder = paths.sessions_dir()
    if trouble == "folder":
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.write_text("a file where the folder should be")
    else:
        folder.mkdir(parents=True)
        file = record_file(HERE)
        if trouble == "link":
            file.symlink_to(victim)
        else:
            os.link(victim, file)
    record = EngineRecord(HERE, has_parent=True)
    assert record.claim() is None
    record.replace()
    record.remove()
    assert victim.read_text() == "content"
    assert find_running_engine(HERE) is None


def test_other_place_has_its_own_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """The home folder may be shared by machines and containers; old records are removed."""
    record = EngineRecord(HERE, has_parent=False)
    assert record.claim() is None
    monkeypatch.setattr(engine_record, "_MAX_RECORDS", 3)
    for number in range(5):
        monkeypatch.setattr(engine_record, "place_id", lambda number=number: f"place{number}")
        assert find_running_engine(HERE) is None
        assert EngineRecord(HERE, has_parent=False).claim() is None
    assert len(list(paths.sessions_dir().iterdir())) == 3


CLAIM = """
import sys
from pathlib import Path
from tui_forward.daemon.engine_record import EngineRecord
record = EngineRecord(Path(sys.argv[1]), has_parent=False)
sys.stdin.readline()
print("other" if record.claim() else "own", flush=True)
sys.stdin.readline()
"""


def test_one_of_many_engines_that_start_at_the_same_moment_wins() -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, f"/run/{number}/engine.sock"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ,
        )
        for number in range(4)
    ]  # fmt: skip
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    # All answer before the first one ends: its record counts only as long as it runs.
    answers = sorted(process.stdout.readline().strip() for process in processes if process.stdout)
    for process in processes:
        process.communicate()
    assert answers == ["other", "other", "other", "own"]


async def test_client_waits_for_the_socket_of_the_engine_that_runs(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = own_home / "engine.sock"
    lock = SocketLock(there)
    assert await find_engine_socket(None, os.environ) == default_socket_path(None, os.environ)
    write(RunningEngine(str(there), (identity(os.getppid()),)))
    finding = asyncio.ensure_future(find_engine_socket(None, os.environ))
    await asyncio.sleep(0.1)
    assert not finding.done()
    assert lock.acquire()
    assert await finding == there
    lock.release()
    # Not for ever.
    monkeypatch.setattr(launcher, "_RESTORE_S", 0.1)
    with pytest.raises(TransportError) as caught:
        await find_engine_socket(None, os.environ)
    assert f"process {os.getppid()}" in caught.value.message
    assert str(there) in caught.value.message
    assert f"kill {os.getppid()}" in caught.value.hint
    # Not for one that has ended.
    finding = asyncio.ensure_future(find_engine_socket(None, os.environ))
    write(RunningEngine(str(there), (GONE,)))
    assert await finding == default_socket_path(None, os.environ)


# Real engines -------------------------------------------------------------------------


@pytest.fixture
async def environ(own_home: Path) -> AsyncIterator[dict[str, str]]:
    """Yield an environment for engines, which are killed at the end."""
    kubeconfig = own_home / "config"
    kubeconfig.write_text(KUBECONFIG)
    yield {**os.environ, "KUBECONFIG": str(kubeconfig), "TMPDIR": str(own_home)}

    def none_left() -> bool:
        processes = engine_processes(own_home)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return not processes

    await until(none_left)


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def replace_by_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("cannot be a folder")


def remove_and_kill(folder: Path) -> None:
    shutil.rmtree(folder)
    for process in engine_processes(folder)[-1:]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.mark.parametrize("damage", [remove, remove_and_kill])
async def test_front_end_finds_the_engine_while_its_folder_is_restored(
    damage: Callable[[Path], None], environ: dict[str, str]
) -> None:
    """A logout removes the runtime folder; a front end without it would use another one."""
    first = await connect(environ=environ)
    await first.set_keep_running(True)
    await first.start(spec("web-1"))
    before = ports(await listening(first))
    saved = session_file(default_socket_path(None, environ))
    bound = list(before.values())
    await until(lambda: [one.spec.local_port for one in load_session(saved).forwards] == bound)
    damage(Path(environ["XDG_RUNTIME_DIR"]))
    second = await connect(environ=environ)
    assert ports(await listening(second)) == before
    assert (second.engine_pid == first.engine_pid) == (damage is remove)
    third = await connect_if_running(environ={**environ, "XDG_RUNTIME_DIR": ""})
    assert third is not None
    assert third.engine_pid == second.engine_pid
    for session in (first, second, third):
        await session.close()


async def test_front_end_names_the_engine_whose_folder_cannot_be_restored(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "_RESTORE_S", 0.5)
    first = await connect(environ=environ)
    run = Path(environ["XDG_RUNTIME_DIR"])
    replace_by_file(run)
    for runtime in (str(run), ""):
        for front_end in (connect, connect_if_running):
            with pytest.raises(TuiForwardError) as caught:
                await front_end(environ={**environ, "XDG_RUNTIME_DIR": runtime})
            assert f"process {first.engine_pid}" in caught.value.message
            assert f"kill {first.engine_pid}" in caught.value.hint
    assert first.lost is None
    # As the hint says.
    os.kill(first.engine_pid, signal.SIGTERM)
    await until(lambda: not alive(first.engine_pid))
    await asyncio.to_thread(run.unlink)
    second = await connect(environ=environ)
    assert second.engine_pid != first.engine_pid
    await first.close()
    await second.close()


async def test_front_ends_that_start_at_the_same_moment_share_an_engine(
    environ: dict[str, str], own_home: Path
) -> None:
    """Although their environments name different folders."""
    (own_home / "other").mkdir(mode=0o700)
    other = {**environ, "XDG_RUNTIME_DIR": str(own_home / "other")}
    sessions = await asyncio.gather(*(connect(environ=one) for one in (environ, other, environ)))
    assert len({session.engine_pid for session in sessions}) == 1
    for session in sessions:
        await session.close()
