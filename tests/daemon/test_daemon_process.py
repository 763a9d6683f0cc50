"""Real engine processes: start, sharing, end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from tests.support.engine_processes import KUBECONFIG
from tests.support.waiting import until
from tui_forward.daemon import connect, rpc, rpc_client, unix_socket
from tui_forward.daemon.launcher import _start
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.daemon.rpc_client import VersionMismatchError
from tui_forward.daemon.session_store import load_session, session_file
from tui_forward.errors import ConfigError, TransportError
from tui_forward.model import ForwardSpec, ForwardState, Target, TargetKind

Opener = Callable[..., "asyncio.Future[RemoteSession]"]


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class EngineProcesses:
    """Clients of engine processes that end with the test."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o700)
        self.path = folder / "e.sock"
        self.kubeconfig = folder / "config"
        self.kubeconfig.write_text(KUBECONFIG)
        self.log = folder / "engine.log"
        self.sessions: list[RemoteSession] = []
        self.pids: set[int] = set()

    async def open(self, *arguments: str, idle_timeout_s: float = 0.0) -> RemoteSession:
        session = await connect(
            str(self.kubeconfig),
            socket_path=self.path,
            idle_timeout_s=idle_timeout_s,
            arguments=["--log", str(self.log), *arguments],
        )
        self.sessions.append(session)
        self.pids.add(session.engine_pid)
        return session

    @property
    def has_socket(self) -> bool:
        return self.path.exists()

    async def close(self) -> None:
        for session in self.sessions:
            await session.close()
        for pid in self.pids:
            if alive(pid):
                os.kill(pid, signal.SIGTERM)
            await until(lambda pid=pid: not alive(pid))  # type: ignore[misc]


@pytest.fixture
async def engines(tmp_path: Path) -> AsyncIterator[EngineProcesses]:
    engines = EngineProcesses(tmp_path)
    yield engines
    await engines.close()


async def test_engine_starts_and_ends_with_the_last_client(engines: EngineProcesses) -> None:
    session = await engines.open()
    assert alive(session.engine_pid)
    assert [context.name for context in await session.contexts()] == ["here"]
    other = await engines.open()
    assert other.engine_pid == session.engine_pid
    await session.close()
    assert await other.contexts()
    await other.close()
    await until(lambda: not alive(session.engine_pid))
    assert not engines.has_socket
    assert "the last client disconnected" in engines.log.read_text()


async def test_unreachable_forward_reports_its_reason(engines: EngineProcesses) -> None:
    session = await engines.open()
    target = Target(context="", namespace="", kind=TargetKind.POD, name="web", port="80")
    await session.start(ForwardSpec(target=target, local_port=0))
    async with asyncio.timeout(60):
        while True:
            (forward,) = (await session.snapshot()).forwards
            if forward.state is ForwardState.WAITING and "127.0.0.1:1" in forward.reason:
                break
            await asyncio.sleep(0.01)
    assert forward.spec.target.namespace == "shop"
    assert "secret-token" not in engines.log.read_text()


async def test_engine_runs_without_clients_for_its_idle_timeout(engines: EngineProcesses) -> None:
    session = await engines.open(idle_timeout_s=60)
    await session.close()
    again = await engines.open()
    assert again.engine_pid == session.engine_pid


async def test_stale_socket_is_replaced(engines: EngineProcesses) -> None:
    unix_socket.bind_socket(engines.path).close()
    session = await engines.open()
    assert await session.contexts()


async def test_killed_engine_is_a_transport_error_and_another_starts(
    engines: EngineProcesses,
) -> None:
    session = await engines.open()
    os.kill(session.engine_pid, signal.SIGKILL)
    await until(lambda: not alive(session.engine_pid))
    with pytest.raises(TransportError):
        await session.contexts()
    assert engines.has_socket
    again = await engines.open()
    assert again.engine_pid != session.engine_pid
    assert await again.contexts()


@pytest.mark.parametrize(
    ("arguments", "setting", "logged"),
    [
        ([], "", "info"),
        ([], 'log_level = "warning"', ""),
        (["--log-level", "trace"], 'log_level = "warning"', "info trace"),
    ],
)
async def test_log_level_is_that_of_the_option_or_the_settings(
    engines: EngineProcesses, own_home: Path, arguments: list[str], setting: str, logged: str
) -> None:
    settings = own_home / ".config/tui-forward/settings.toml"
    settings.parent.mkdir()
    settings.write_text(setting)
    session = await engines.open(*arguments)
    await session.contexts()
    await session.close()
    await until(lambda: not alive(session.engine_pid))
    levels = {json.loads(line)["level"] for line in engines.log.read_text().splitlines()}
    assert levels & {"info", "trace"} == set(logged.split())


async def test_signal_ends_the_engine(engines: EngineProcesses) -> None:
    session = await engines.open()
    os.kill(session.engine_pid, signal.SIGTERM)
    await until(lambda: not alive(session.engine_pid))
    assert not engines.has_socket
    assert "ends: SIGTERM" in engines.log.read_text()


_HANGS_AT_ITS_END = """
import asyncio, sys
from tui_forward.daemon import __main__, engine_process
from tui_forward.session.local import LocalSession

async def hang(self):
    await asyncio.Event().wait()

LocalSession.close = hang
engine_process._CLOSE_S = 0.5
sys.exit(__main__.main(sys.argv[1:]))
"""


def test_engine_ends_although_something_hangs(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    path, log = tmp_path / "e.sock", tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-c", _HANGS_AT_ITS_END, "--socket", str(path), "--log", str(log)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert b"true" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 1
    lock = unix_socket.SocketLock(path)
    assert lock.acquire()
    lock.release()
    assert "exiting" in log.read_text()


async def test_engine_of_another_version_is_an_error(
    engines: EngineProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engines.open()
    monkeypatch.setattr(rpc, "VERSION", rpc.VERSION + 1)
    with pytest.raises(VersionMismatchError, match="older than this program") as failed:
        await engines.open()
    assert "restart" in failed.value.hint
    monkeypatch.setattr(rpc, "VERSION", rpc.VERSION - 2)
    with pytest.raises(VersionMismatchError, match="newer than this program") as failed:
        await engines.open()
    assert "tui-forward restart" not in failed.value.hint


async def test_error_names_an_engine_that_hangs(
    engines: EngineProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await engines.open()
    monkeypatch.setattr(rpc_client, "_HELLO_S", 0.2)
    os.kill(session.engine_pid, signal.SIGSTOP)
    try:
        with pytest.raises(TransportError, match="not responding") as failed:
            await engines.open()
        assert failed.value.hint == f"end it with kill -9 {session.engine_pid}"
    finally:
        os.kill(session.engine_pid, signal.SIGCONT)


async def test_invalid_kubeconfig_is_reported_to_the_client(engines: EngineProcesses) -> None:
    engines.kubeconfig.write_text("{ not yaml")
    session = await engines.open()
    with pytest.raises(ConfigError) as failed:
        await session.contexts()
    assert failed.value.hint


async def test_error_quotes_the_last_line_of_an_engine_that_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no engine today')"]
    with pytest.raises(TransportError, match="no engine today"):
        await _start(command, os.environ, asyncio.get_running_loop().time() + 30)


async def test_silent_engine_times_out(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(0.5)"]
    with pytest.raises(TransportError, match="did not start"):
        await _start(command, os.environ, asyncio.get_running_loop().time() + 0.1)


async def test_missing_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="cannot start the engine"):
        await _start([str(tmp_path / "nothing")], os.environ, 0)


async def test_unsafe_folder_is_rejected(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o777)  # noqa: PTH101 - pathlib calls are forbidden in coroutines
    with pytest.raises(ConfigError, match="open to other users"):
        await connect(socket_path=tmp_path / "e.sock")


def test_unwritable_log_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tui_forward.daemon",
            "--socket",
            str(tmp_path / "e.sock"),
            "--log",
            str(tmp_path / "file" / "engine.log"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert '"ready":false' in done.stdout
    assert "cannot write the log" in done.stdout


def test_client_imports_neither_engine_nor_kubernetes() -> None:
    code = (
        "import sys, tui_forward.session, tui_forward.daemon, tui_forward.daemon.launcher;"
        "bad = [m for m in sys.modules if m.startswith(('kubernetes', 'aiohttp', 'psutil',"
        " 'tui_forward.engine', 'tui_forward.kube', 'tui_forward.catalog',"
        " 'tui_forward.transport', 'tui_forward.protocol'))];"
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


async def test_stopped_forward_is_not_restored_by_an_engine_that_was_killed_at_once(
    engines: EngineProcesses,
) -> None:
    session = await engines.open()
    target = Target(context="", namespace="", kind=TargetKind.POD, name="web", port="80")
    first, second = [
        await session.start(ForwardSpec(target=target, local_port=0)) for _ in range(2)
    ]
    await session.set_keep_running(True)
    parent = psutil.Process(session.engine_pid).parent()
    assert parent is not None
    await session.stop(first)
    parent.kill()
    os.kill(session.engine_pid, signal.SIGKILL)
    saved = load_session(session_file(engines.path))
    assert [one.id for one in saved.forwards] == [second]
    await session.close()
    await until(lambda: not alive(session.engine_pid))
