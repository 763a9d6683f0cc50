"""Random kills of engine, watchdog, dashboard, and a process that writes a profile.

After each kill bytes flow again on the same local ports, every forward is active, and every file
of the user is complete: the old version or the new one. Another process writes the profile
continuously and the engine applies each version, so that kills happen during all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from tests.e2e.pseudo_terminal import PseudoTerminal
from tests.endurance import toolbox
from tests.endurance.clients import echo
from tests.endurance.engine_process import isolated_home, wait_until
from tests.endurance.pod_watch import PodWatch
from tests.support.cluster_process import REPOSITORY, ClusterProcess
from tests.support.engine_processes import engine_processes
from tests.support.forked_program import run
from tests.support.free_ports import find_free_ports
from tui_forward.common import paths
from tui_forward.daemon import connect_if_running
from tui_forward.daemon.session_store import SavedSession
from tui_forward.model import Forward
from tui_forward.profiles.parser import parse_profile

_PROGRAM = (sys.executable, "-m", "tui_forward")
_RECOVERY_TIMEOUT_S = 30.0
MAX_P99_S = 2.0
_PROFILE = """\
namespace: {namespace}
forwards:
  any: {{target: deploy/{app}, port: echo, local: any}}
  fixed: {{target: svc/{app}, port: echo, local: {ports[0]}, needs: any}}
  edited: {{target: deploy/{app}, port: echo, local: {ports[1]}, label: e0}}
"""
# Writes versions of the profile until it is killed.
_WRITER = """\
import itertools, sys, time
from pathlib import Path
from tui_forward.profiles.store import ProfileStore
path = Path(sys.argv[1])
text, store = path.read_text(), ProfileStore(path.parent, path.parent)
head, _, tail = text.partition("label: e")
for number in itertools.count(int(tail.partition("}")[0]) + 1):
    store.write(path, f"{head}label: e{number}}}\\n")
    print(number, flush=True)
    time.sleep(0.25)
"""


class KillKind(NamedTuple):
    """Which process is killed, and what happens at the same time.

    Attributes:
        weight: How often of a hundred.
    """

    victim: str
    weight: int
    dashboard: bool = False
    write: bool = False
    rollout: bool = False

    @property
    def name(self) -> str:
        conditions = (
            ("dashboard open", self.dashboard and self.victim != "dashboard"),
            ("during writes", self.write),
            ("during a rollout", self.rollout),
        )
        return ", ".join([self.victim, *(text for text, applies in conditions if applies)])


KINDS = (
    KillKind("engine", 20),
    KillKind("watchdog", 5),
    KillKind("both", 20),
    KillKind("dashboard", 5, dashboard=True),
    KillKind("both", 8, dashboard=True),
    KillKind("engine", 7, dashboard=True),
    KillKind("engine", 10, write=True),
    KillKind("both", 10, write=True),
    KillKind("engine", 8, rollout=True),
    KillKind("both", 7, rollout=True),
)


@dataclass
class KillResults:
    """Seconds until bytes flowed again.

    Attributes:
        recovery_s: By kind of kill.
        violations: Descriptions of what was lost or damaged.
    """

    recovery_s: dict[KillKind, list[float]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[str]:
        """Yield a line of the printed table for each kind, and one for all but rollouts."""
        for kind, seconds in sorted(self.recovery_s.items()):
            yield _row(kind.name, seconds)
        yield _row("all but rollouts", self._without_rollouts_s)

    @property
    def _without_rollouts_s(self) -> list[float]:
        """Return the seconds of all kinds but rollouts, which take as long as their pods."""
        return [s for kind, each in self.recovery_s.items() if not kind.rollout for s in each]

    @property
    def bound_violations(self) -> list[str]:
        """Return whether recovery took longer than its bound."""
        p99 = _quantile(self._without_rollouts_s, 0.99)
        return [f"bytes flowed after {p99:.2f} s (p99)"] if p99 > MAX_P99_S else []


def _quantile(seconds: list[float], fraction: float) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(fraction * len(seconds)))]


def _row(name: str, seconds: list[float]) -> str:
    p50, p99 = _quantile(seconds, 0.5), _quantile(seconds, 0.99)
    return (
        f"{name:30} {len(seconds):3}×   recovery: {p50 * 1e3:5.0f} ms (p50), "
        f"{p99 * 1e3:5.0f} ms (p99), {max(seconds) * 1e3:5.0f} ms (max)"
    )


class UserHome:
    """The files and processes of a user.

    Args:
        folder: Home folder.
        cluster: The cluster that the forwards lead to.
        pods: Watch of the pods that the forwards lead to.
        rng: Source of all random choices.

    Attributes:
        profile: Path of the profile whose forwards are active.
        ports: Local ports by name of the forward.
    """

    def __init__(
        self, folder: Path, cluster: ClusterProcess, pods: PodWatch, rng: random.Random
    ) -> None:
        self._folder = folder
        self._cluster = cluster
        self._pods = pods
        self._rng = rng
        self._kubeconfig = str(cluster.kubeconfig)
        self.profile = paths.profiles_dir() / "shop.yaml"
        self.profile.parent.mkdir(parents=True)
        self.profile.write_text(
            _PROFILE.format(namespace=toolbox.NAMESPACE, app=toolbox.NAME, ports=find_free_ports(2))
        )
        self.ports: dict[str, int] = {}

    async def start_profile(self) -> None:
        await self._run_program("up", "shop")
        self.ports = {each.spec.name: each.listening[0].port for each in await self.forwards()}
        assert len(self.ports) == 3, self.ports

    async def stop_profile(self) -> None:
        await self._run_program("down", "shop")
        await wait_until(lambda: not self.engines(), "the end of the engine without forwards")

    async def _run_program(self, *arguments: str) -> None:
        done = await asyncio.to_thread(
            run, [*_PROGRAM, *arguments, "--kubeconfig", self._kubeconfig], cwd=REPOSITORY,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stderr.decode()}"

    async def forwards(self) -> tuple[Forward, ...]:
        """Return the active forwards."""
        session = await connect_if_running(self._kubeconfig)
        assert session is not None, "no engine is running"
        try:
            return (await session.snapshot()).forwards
        finally:
            await session.close()

    def engines(self) -> list[psutil.Process]:
        """Return the watchdog and its engine, in this order."""
        return engine_processes(self._folder)

    # Kills --------------------------------------------------------------------------------

    async def kill(self, kind: KillKind) -> float:
        """Kill something; return the seconds until bytes flow again on all ports.

        Raises:
            AssertionError: They do not, or not everything is as before.
        """
        async with contextlib.AsyncExitStack() as stack:
            dashboard = writer = None
            if kind.dashboard:
                dashboard = await stack.enter_async_context(self._running_dashboard())
            if kind.write:
                writer = await stack.enter_async_context(self._running_writer())
            if kind.rollout:
                pod = await self._pods.wait_for_ready_pod()
                await self._cluster.fault(
                    "delete-pod", namespace=toolbox.NAMESPACE, pod=pod.name,
                    grace=self._rng.choice([0, 1]),
                )  # fmt: skip
            await asyncio.sleep(self._rng.random() * 0.5)  # any moment
            engines = self.engines()
            choices: dict[str, list[psutil.Process]] = {
                "engine": engines[-1:], "watchdog": engines[:1], "both": engines,
                "dashboard": [dashboard] if dashboard else [],
            }  # fmt: skip
            victims = choices[kind.victim]
            for process in victims:
                process.kill()
            if writer is not None:
                writer.kill()
            killed = time.monotonic()
            if dashboard is None and len(victims) == len(engines):
                await self._run_program("ls")  # only another command starts a new engine
            await asyncio.gather(*(_wait_for_echo(port) for port in self.ports.values()))
            recovery_s = time.monotonic() - killed
            if writer is not None:
                await writer.wait()
        await self._check_forwards()
        return recovery_s

    async def _check_forwards(self) -> None:
        """Check that all forwards are active, on the same ports and as in the profile."""
        profile = parse_profile(self.profile.read_text(), self.profile)
        labels = {forward.name: forward.spec.label for forward in profile.forwards}
        deadline = time.monotonic() + _RECOVERY_TIMEOUT_S
        while True:
            forwards = await self.forwards()
            if {each.spec.name: each.spec.label for each in forwards} == labels and all(
                each.listening for each in forwards
            ):
                break
            assert time.monotonic() < deadline, f"the profile has {labels}, active are {forwards}"
            await asyncio.sleep(0.05)  # each look is a connection to the engine
        ports = {each.spec.name: each.listening[0].port for each in forwards}
        assert ports == self.ports, f"ports have changed from {self.ports} to {ports}"
        assert len(forwards) == len(self.ports)

    @contextlib.asynccontextmanager
    async def _running_writer(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Start a process that writes the profile continuously."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _WRITER, str(self.profile), cwd=REPOSITORY,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            await process.stdout.readline()
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    @contextlib.asynccontextmanager
    async def _running_dashboard(self) -> AsyncIterator[psutil.Process]:
        """Start a dashboard in a terminal, and wait until it shows the forwards."""
        arguments = ("--kubeconfig", self._kubeconfig, "-n", toolbox.NAMESPACE)
        env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        with PseudoTerminal(
            *_PROGRAM, *arguments, env=env, size=(120, 36), cwd=REPOSITORY
        ) as terminal:
            await wait_until(
                lambda: toolbox.NAME in terminal.text(), "the forwards in the dashboard"
            )
            yield psutil.Process(terminal.process.pid)

    # Files --------------------------------------------------------------------------------

    def find_damage(self) -> list[str]:
        """Describe the files that are incomplete, and the crashes in logs."""
        state = paths.sessions_dir().parent
        damage = [f"{path.name}: an invalid file was moved away" for path in state.rglob("*.bad*")]
        for path in paths.sessions_dir().glob("[!.]*.json"):
            try:
                msgspec.json.decode(path.read_bytes(), type=SavedSession)
            except msgspec.DecodeError as error:
                damage.append(f"{path.name}: {error}")
        for path in state.rglob("*.log*"):
            _, traceback, text = path.read_text(errors="replace").partition("Traceback")
            if traceback:
                damage.append(f"{path.name}: {traceback}{text[:2000]}")
        return damage


async def _wait_for_echo(port: int) -> None:
    deadline = time.monotonic() + _RECOVERY_TIMEOUT_S
    while True:
        try:
            await echo(port)
        except (OSError, EOFError) as error:
            if time.monotonic() > deadline:
                raise AssertionError(f"port {port} does not recover: {error!r}") from error
            await asyncio.sleep(0.02)
        else:
            return


async def run_kills(cluster: ClusterProcess, *, count: int, seed: int) -> KillResults:
    """Run kills of random kinds until one loses or damages something."""
    rng, results = random.Random(seed), KillResults()
    # Each kind once, then by weight.
    kinds = rng.sample(KINDS, len(KINDS))
    kinds += rng.choices(KINDS, [kind.weight for kind in KINDS], k=max(0, count - len(kinds)))
    with tempfile.TemporaryDirectory(prefix="tfk-", dir="/tmp") as name, isolated_home(Path(name)):
        async with PodWatch.open(cluster) as pods:
            home = UserHome(Path(name), cluster, pods, rng)
            try:
                await home.start_profile()
                for number, kind in enumerate(kinds[:count], 1):
                    description = f"kill {number} ({kind.name})"
                    try:
                        recovery_s = await home.kill(kind)
                    except AssertionError as error:
                        results.violations.append(f"{description}: {error}"[:2000])
                        recovery_s = _RECOVERY_TIMEOUT_S
                    results.recovery_s.setdefault(kind, []).append(recovery_s)
                    results.violations += [f"{description}: {text}" for text in home.find_damage()]
                    if results.violations:
                        break
                else:
                    await home.stop_profile()
            finally:
                for process in home.engines():
                    process.send_signal(signal.SIGKILL)
                await wait_until(lambda: not home.engines(), "the end of all engines")
    return results
