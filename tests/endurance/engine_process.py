"""An engine in a process of its own, with its sessions, forwards and resource usage."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.endurance import toolbox
from tests.support.cluster_process import REPOSITORY
from tests.support.forked_program import ForkedProcess
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.model import (
    Forward,
    ForwardSpec,
    ForwardState,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.session import Session

MIB = 1 << 20
_LOGGED_ERRORS = (
    "Traceback", '"level":"error"', "failed and restarts", "never retrieved", "exception in",
)  # fmt: skip
# Base directories of the user's files, below a home folder.
_HOME_FOLDERS = {
    "HOME": "", "XDG_CONFIG_HOME": ".config", "XDG_STATE_HOME": ".local/state",
    "XDG_CACHE_HOME": ".cache", "XDG_DATA_HOME": ".local/share", "XDG_RUNTIME_DIR": "run",
}  # fmt: skip


@dataclass(frozen=True)
class Footprint:
    """Resource usage of a process; memory in bytes."""

    rss: int
    files: int
    sockets: int
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.rss / MIB:.1f} MiB, {self.files} descriptors, {self.sockets} sockets, "
            f"{self.threads} threads"
        )


@dataclass(frozen=True)
class EngineProcess:
    """A running engine."""

    pid: int
    socket: Path
    log: Path

    def footprint(self) -> Footprint:
        process = psutil.Process(self.pid)
        with process.oneshot():
            return Footprint(
                process.memory_info().rss,
                process.num_fds(),
                len(process.net_connections("inet")),
                process.num_threads(),
            )

    def track_memory_growth(self) -> Callable[[], int]:
        """Return a function for the peak growth of the RSS from now on, in bytes.

        Exact on Linux only; elsewhere the RSS at the time of the call counts.
        """
        before = self.footprint().rss
        clear_refs = Path(f"/proc/{self.pid}/clear_refs")
        if clear_refs.exists():
            clear_refs.write_text("5")  # resets VmHWM, see proc(5)
        return lambda: max(0, self._peak_rss() - before)

    def _peak_rss(self) -> int:
        status = Path(f"/proc/{self.pid}/status")
        if status.exists():
            for line in status.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return self.footprint().rss

    def log_errors(self) -> str:
        """Return the lines of the log that report errors."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if any(text in line for text in _LOGGED_ERRORS))


@contextlib.contextmanager
def isolated_home(folder: Path) -> Iterator[None]:
    """Keep the user's files in a folder, for this process and those it starts."""
    before = {name: os.environ.get(name) for name in _HOME_FOLDERS}
    for name, subfolder in _HOME_FOLDERS.items():
        (folder / subfolder).mkdir(parents=True, exist_ok=True, mode=0o700)
        os.environ[name] = str(folder / subfolder)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def running_engine(
    kubeconfig: Path, *, idle_timeout_s: float = 60.0, **environment: str
) -> Iterator[EngineProcess]:
    """Start an engine for a kubeconfig; stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="tfe-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o700)
        socket, log = folder / "engine.sock", folder / "log"
        process = ForkedProcess(
            [
                *(sys.executable, "-m", "tui_forward.daemon", "--kubeconfig", str(kubeconfig)),
                # Survives the pauses between tests, but not for long a test run that was killed.
                *("--socket", str(socket), "--idle-timeout", f"{idle_timeout_s:g}"),
                *("--log", str(log)),
            ],
            cwd=REPOSITORY,
            env={**os.environ, "HOME": name, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = process.stdout.readline()
            assert '"ready":true' in line, line + process.stderr.read()
            yield EngineProcess(process.pid, socket, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                _, errors = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise
        assert "Traceback" not in errors, errors


@contextlib.asynccontextmanager
async def open_session(engine: EngineProcess) -> AsyncIterator[RemoteSession]:
    """Connect to an engine; disconnect at the end."""
    session = await RemoteSession.open(engine.socket)
    try:
        yield session
    finally:
        await session.close()


class ForwardHandle:
    """One forward, observed through a session.

    Attributes:
        id: ID of the forward.
        port: Local port; 0 before it is ready.
    """

    def __init__(self, session: Session, forward_id: str) -> None:
        self.id = forward_id
        self.port = 0
        self._session = session

    async def status(self) -> Forward:
        """Return the current status."""
        for forward in (await self._session.snapshot()).forwards:
            if forward.id == self.id:
                return forward
        raise AssertionError(f"there is no forward {self.id}")

    async def failures(self) -> tuple[str, ...]:
        """Return the reasons of its failed connections; those of old ones are not known."""
        counted = (await self.status()).counters.connections_failed
        known = [one for one in await self._session.connections(self.id) if one.failed]
        texts = [f"{one.client}: {one.close_reason}" for one in known]
        return (*texts, *("unknown" for _ in range(counted - len(texts))))

    async def wait_until(
        self, condition: Callable[[Forward], object], description: str, timeout_s: float = 60.0
    ) -> Forward:
        """Wait until the status meets a condition; return it."""
        deadline = time.monotonic() + timeout_s
        while not condition(forward := await self.status()):
            assert time.monotonic() < deadline, f"timed out waiting for {description}: {forward}"
            await asyncio.sleep(0.05)
        return forward

    async def wait_until_ready(self, timeout_s: float = 60.0) -> Forward:
        """Wait until the forward is ready, and set `port`."""
        forward = await self.wait_until(
            lambda forward: forward.state is ForwardState.READY, "ready", timeout_s
        )
        self.port = forward.listening[0].port
        return forward

    async def wait_for_tunnels(self, count: int) -> None:
        """Wait until so many tunnels are up."""
        await self.wait_until(lambda forward: forward.tunnels >= count, f"{count} tunnels")

    async def wait_until_unused(self) -> None:
        """Wait until no connection is open."""
        await self.wait_until(
            lambda forward: not forward.counters.connections_open, "the end of all connections"
        )

    async def timeline(self) -> str:
        """Return the texts of the timeline, one per line."""
        return "\n".join(entry.text for entry in await self._session.timeline(self.id))


@contextlib.asynccontextmanager
async def running_forward(
    session: Session,
    port: int,
    *,
    kind: TargetKind = TargetKind.DEPLOYMENT,
    name: str = toolbox.NAME,
    namespace: str = toolbox.NAMESPACE,
    context: str = "minicluster",
    transport: TransportChoice = TransportChoice.AUTO,
    ready: bool = True,
    queue_timeout_s: float = 60.0,
) -> AsyncIterator[ForwardHandle]:
    """Start a forward, by default to the toolbox; stop it at the end.

    Args:
        ready: Wait until it is ready.
    """
    target = Target(context=context, namespace=namespace, kind=kind, name=name, port=str(port))
    forward_id = await session.start(
        ForwardSpec(
            target=target,
            local_port=0,
            addresses=("127.0.0.1",),
            transport=transport,
            queue_timeout_s=queue_timeout_s,
        )
    )
    handle = ForwardHandle(session, forward_id)
    try:
        if ready:
            await handle.wait_until_ready()
        yield handle
    finally:
        await session.stop(forward_id)


async def wait_until(
    condition: Callable[[], object], description: str, timeout_s: float = 60.0
) -> None:
    """Wait for a condition, for example on the state of another process."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting for {description}"
        await asyncio.sleep(0.02)
