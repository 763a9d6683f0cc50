"""Kills of the engine under traffic, while a dashboard is attached in a real terminal.

Clients connect continuously. No connect may be refused, and only connections that were open at a
kill may fail: the others wait for the next engine. The dashboard lives through all of it. After
each kill it shows a forward that was started in the new engine, so what it shows is not stale.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.terminal import Terminal
from tests.endurance import toolbox
from tests.endurance.clients import Attempt, Load
from tests.endurance.engine_process import isolated_home, wait_until
from tests.endurance.pod_watch import PodWatch
from tests.endurance.random_kills import UserHome
from tests.support.cluster_process import ClusterProcess
from tui_forward.common import paths
from tui_forward.daemon import connect_if_running
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.model import ForwardSpec, Target, TargetKind

# Remote port of the forward that is started after a kill; each kill has another one.
_FIRST_MARKER = 20000
# Shown by the terminal when the dashboard has ended.
_ENDED = "ended with"


@dataclass
class EngineKillResults:
    """Figures of all kills.

    Attributes:
        first_byte_s: Seconds from a kill until a client that connected after it got a byte.
        shown_s: Seconds until the dashboard shows the forwards of the new engine.
        connects: Number of connects.
        refused: Number of refused ones.
        cut: Number of connections that were open at a kill and failed.
        violations: What must not happen.
    """

    first_byte_s: list[float] = field(default_factory=list)
    shown_s: list[float] = field(default_factory=list)
    connects: int = 0
    refused: int = 0
    cut: int = 0
    violations: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[str]:
        """Yield lines of the report."""
        yield _row("first byte after a kill", self.first_byte_s)
        yield _row("shown in the dashboard", self.shown_s)
        yield f"{self.connects} connects, {self.refused} refused; {self.cut} cut by a kill"


def _row(name: str, seconds: list[float]) -> str:
    ordered = sorted(seconds) or [0.0]
    p50_ms, max_ms = ordered[len(ordered) // 2] * 1e3, ordered[-1] * 1e3
    return f"{name:26} {len(seconds):3}×   {p50_ms:5.0f} ms (p50), {max_ms:5.0f} ms (max)"


class AttachedDashboard:
    """A dashboard in a terminal, and a session of the same engine."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    async def screen(self) -> str:
        return await asyncio.to_thread(self._terminal.screen)

    async def wait_for(self, *texts: str, gone: str = "") -> None:
        """Wait until the screen has all texts, and not the one that is to be gone."""
        deadline = time.monotonic() + 60
        while True:
            screen = await self.screen()
            assert _ENDED not in screen, f"the dashboard has ended:\n{screen}"
            if all(text in screen for text in texts) and not (gone and gone in screen):
                return
            assert time.monotonic() < deadline, f"{texts} are not on the screen:\n{screen}"
            await asyncio.sleep(0.1)  # each look is a process

    async def show_marker(self, session: RemoteSession, port: int) -> None:
        """Start a forward; wait until it is shown; stop it; wait until it is gone."""
        target = Target(
            context="minicluster", namespace=toolbox.NAMESPACE, kind=TargetKind.DEPLOYMENT,
            name=toolbox.NAME, port=str(port),
        )  # fmt: skip
        marker = f":{port}"
        forward_id = await session.start(
            ForwardSpec(target=target, local_port=0, addresses=("127.0.0.1",))
        )
        await self.wait_for(marker, "4 forwards")
        await session.stop(forward_id)
        await self.wait_for("3 forwards", gone=marker)


@contextlib.asynccontextmanager
async def running_dashboard(folder: Path, kubeconfig: Path) -> AsyncIterator[AttachedDashboard]:
    """Start a dashboard in a terminal, and wait until it shows three forwards."""
    with Terminal(folder, 120, 40) as terminal:
        command = (sys.executable, "-m", "tui_forward", "--kubeconfig", str(kubeconfig))
        await asyncio.to_thread(terminal.start, *command, "-n", toolbox.NAMESPACE)
        dashboard = AttachedDashboard(terminal)
        await dashboard.wait_for("3 forwards: ●3")
        yield dashboard


async def run_engine_kills(cluster: ClusterProcess, *, count: int, seed: int) -> EngineKillResults:
    """Kill the engine so many times; stop at the first violation."""
    rng, results = random.Random(seed), EngineKillResults()
    with tempfile.TemporaryDirectory(prefix="tfk-", dir="/tmp") as name, isolated_home(Path(name)):
        async with PodWatch.open(cluster) as pods:
            home = UserHome(Path(name), cluster, pods, rng)
            try:
                await home.start_profile()
                async with running_dashboard(Path(name), cluster.kubeconfig) as dashboard:
                    await _kill_engines(cluster, home, dashboard, results, count, rng)
                results.violations += home.find_damage()
                if paths.crash_report_file().exists():
                    results.violations.append(paths.crash_report_file().read_text()[-2000:])
                await home.stop_profile()
            except AssertionError as error:
                results.violations.append(str(error)[:4000] or repr(error))
            finally:
                for process in home.engines():
                    process.send_signal(signal.SIGKILL)
                await wait_until(lambda: not home.engines(), "the end of all engines")
    return results


async def _kill_engines(
    cluster: ClusterProcess, home: UserHome, dashboard: AttachedDashboard,
    results: EngineKillResults, count: int, rng: random.Random,
) -> None:  # fmt: skip
    loads = [Load(port, workers=0, interval_s=0.1) for port in home.ports.values()]
    kills: list[float] = []
    async with contextlib.AsyncExitStack() as stack:
        for load in loads:
            await stack.enter_async_context(load.running())
        for number in range(count):
            await asyncio.sleep(rng.random() * 0.3)  # any moment
            async with _session(cluster) as session:
                killed = time.monotonic()
                os.kill(session.engine_pid, signal.SIGKILL)
            kills.append(killed)
            for load in loads:
                first_byte_s = await _first_byte_s(load, killed, f"kill {number + 1}")
                results.first_byte_s.append(first_byte_s)
            async with _session(cluster) as session:
                await dashboard.show_marker(session, _FIRST_MARKER + number)
            results.shown_s.append(time.monotonic() - killed)
            results.violations += _find_violations(loads, kills)
            if results.violations:
                break
    attempts = [attempt for load in loads for attempt in load.attempts]
    results.connects = len(attempts)
    results.refused = sum(attempt.refused for attempt in attempts)
    results.cut = sum(len(load.failures) for load in loads)


@contextlib.asynccontextmanager
async def _session(cluster: ClusterProcess) -> AsyncIterator[RemoteSession]:
    session = await connect_if_running(str(cluster.kubeconfig))
    assert session is not None, "no engine is running"
    try:
        yield session
    finally:
        await session.close()


async def _first_byte_s(load: Load, killed: float, description: str) -> float:
    """Wait until a client that connected after a kill gets a byte; return the seconds."""
    found: list[float] = []

    def is_served() -> bool:
        found[:] = [
            attempt.first_byte
            for attempt in reversed(load.attempts)
            if attempt.began > killed and attempt.first_byte
        ]
        return bool(found)

    await wait_until(is_served, f"bytes on port {load.port} after {description}")
    return min(found) - killed


def _find_violations(loads: list[Load], kills: list[float]) -> list[str]:
    """Describe connections that failed although they were not open at a kill."""

    def is_cut(attempt: Attempt) -> bool:
        return any(attempt.began < killed < attempt.ended for killed in kills)

    failures = [attempt for load in loads for attempt in load.failures]
    return [
        f"a connection of {attempt.ended - attempt.began:.3f} s failed, kill {len(kills)}, "
        f"{attempt.began - kills[-1]:.3f} s after it: {attempt.failure}"
        for attempt in failures
        if attempt.refused or not is_cut(attempt)
    ]
