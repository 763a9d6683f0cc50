"""An engine process: its socket, log and resource usage."""

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

from tests.endurance.pod_watch import NAMESPACE, TOOLBOX
from tests.support.cluster_process import REPOSITORY
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


@dataclass(frozen=True)
class Footprint:
    """Resources that a process uses."""

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

    @contextlib.contextmanager
    def measure_peak_rss(self) -> Iterator[Callable[[], int]]:
        """Yield a function that returns the peak RSS since (exact on Linux)."""
        clear = Path(f"/proc/{self.pid}/clear_refs")
        if clear.exists():
            clear.write_text("5")
        highest = self.footprint().rss

        def read() -> int:
            status = Path(f"/proc/{self.pid}/status")
            if status.exists():
                for line in status.read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        return max(highest, int(line.split()[1]) * 1024)
            return max(highest, self.footprint().rss)

        yield read

    def log_errors(self) -> str:
        """Return the lines of the log that report an error."""
        lines = self.log.read_text(errors="replace").splitlines()
        bad = (
            "Traceback",
            "failed and restarts",
            '"level":"error"',
            "never retrieved",
            "exception in",
        )
        return "\n".join(line for line in lines if any(word in line for word in bad))


@contextlib.contextmanager
def isolated_home(folder: Path) -> Iterator[None]:
    """Use `folder` as home folder, in this process and those it starts."""
    places = {
        "HOME": "", "XDG_CONFIG_HOME": ".config", "XDG_STATE_HOME": ".local/state",
        "XDG_CACHE_HOME": ".cache", "XDG_DATA_HOME": ".local/share", "XDG_RUNTIME_DIR": "run",
    }  # fmt: skip
    before = {name: os.environ.get(name) for name in places}
    for name, place in places.items():
        (folder / place).mkdir(parents=True, exist_ok=True, mode=0o700)
        os.environ[name] = str(folder / place)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def running_engine(kubeconfig: Path, **environment: str) -> Iterator[EngineProcess]:
    """Start an engine for a kubeconfig; stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="tfe-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o700)
        socket, log = folder / "engine.sock", folder / "log"
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tui_forward.daemon", "--kubeconfig", str(kubeconfig)),
                # Longer than the pauses between tests; ends soon after a killed test run.
                *("--socket", str(socket), "--idle-timeout", "60", "--log", str(log)),
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
                _, errors = process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise
        assert "Traceback" not in errors, errors


@contextlib.asynccontextmanager
async def open_session(running: EngineProcess) -> AsyncIterator[RemoteSession]:
    """Connect to an engine; disconnect at the end."""
    session = await RemoteSession.open(running.socket)
    try:
        yield session
    finally:
        await session.close()


# --------------------------------------------------------------------------------------
# Forwards
# --------------------------------------------------------------------------------------


class ForwardHandle:
    """One forward of a session.

    Attributes:
        id: Id of the forward.
        port: Local port; 0 until it is ready.
    """

    def __init__(self, session: Session, forward_id: str) -> None:
        self.id = forward_id
        self.port = 0
        self._session = session

    async def forward(self) -> Forward:
        """Return its current state."""
        for forward in (await self._session.snapshot()).forwards:
            if forward.id == self.id:
                return forward
        raise AssertionError(f"no forward {self.id}")

    async def wait_until(
        self, condition: Callable[[Forward], object], what: str, within_s: float = 30.0
    ) -> Forward:
        """Wait until a condition holds."""
        deadline = time.monotonic() + within_s
        while not condition(forward := await self.forward()):
            assert time.monotonic() < deadline, f"timed out waiting for {what}: {forward}"
            await asyncio.sleep(0.02)
        return forward

    async def wait_until_ready(self, within_s: float = 30.0) -> Forward:
        """Wait until it is ready; set `port`."""
        forward = await self.wait_until(
            lambda forward: forward.state is ForwardState.READY, "ready", within_s
        )
        self.port = forward.listening[0].port
        return forward

    async def timeline(self) -> str:
        """Return the timeline, one entry per line."""
        return "\n".join(entry.text for entry in await self._session.timeline(self.id))


@contextlib.asynccontextmanager
async def running_forward(
    session: Session,
    port: int,
    *,
    kind: TargetKind = TargetKind.DEPLOYMENT,
    name: str = TOOLBOX,
    namespace: str = NAMESPACE,
    context: str = "minicluster",
    transport: TransportChoice = TransportChoice.AUTO,
    ready: bool = True,
    queue_timeout_s: float = 30.0,
) -> AsyncIterator[ForwardHandle]:
    """Start a forward; stop it at the end."""
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
    line = ForwardHandle(session, forward_id)
    try:
        if ready:
            await line.wait_until_ready()
        yield line
    finally:
        await session.stop(forward_id)


async def wait_until(condition: Callable[[], object], what: str, within_s: float = 30.0) -> None:
    """Wait until a condition of another process holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        await asyncio.sleep(0.02)
