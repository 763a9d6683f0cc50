"""Random kills of the engine, its watchdog, a dashboard, or a process that writes a profile.

After each kill bytes flow again on the same local ports, all forwards are active, and every file
of the user is complete: the old or the new version. Another process rewrites the profile, which
the engine follows, so that kills interrupt writes and their application.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

from tests.endurance.clients import echo
from tests.endurance.engine_process import isolated_home, wait_until
from tests.endurance.pod_watch import NAMESPACE, TOOLBOX, PodWatch
from tests.endurance.profile_editors import free_ports
from tests.support.cluster_process import REPOSITORY, ClusterProcess
from tests.support.engine_processes import engine_processes
from tui_forward.common import paths as paths
from tui_forward.daemon import connect_if_running
from tui_forward.daemon.session_store import SavedSession
from tui_forward.model import Forward
from tui_forward.profiles.parser import parse_profile

_PROGRAM = (sys.executable, "-m", "tui_forward")
_BACK_S = 30.0
MAX_P99_S = 2.0
_PROFILE = """\
namespace: {namespace}
forwards:
  any: {{target: deploy/{app}, port: echo, local: any}}
  fixed: {{target: svc/{app}, port: echo, local: {one}, needs: any}}
  edited: {{target: deploy/{app}, port: echo, local: {two}, label: e{number}}}
"""
# Rewrites the profile until it is killed.
_WRITER = """\
import itertools, sys, time
from pathlib import Path
from tui_forward.profiles.store import ProfileStore
path = Path(sys.argv[1])
text, store = path.read_text(), ProfileStore(path.parent, path.parent)
first, _, rest = text.partition("label: e")
begin = int(rest.partition("}")[0])
for number in itertools.count(begin + 1):
    store.write(path, f"{first}label: e{number}}}\\n")
    print(number, flush=True)
    time.sleep(0.25)
"""

# Which process is killed, what else happens, and the weight.
KINDS = (
    ("engine", "", 20), ("parent", "", 5), ("both", "", 20), ("dashboard", "", 5),
    ("both", "a dashboard beside", 8), ("engine", "a dashboard beside", 7),
    ("engine", "a write", 10), ("both", "a write", 10),
    ("engine", "a rollout", 8), ("both", "a rollout", 7),
)  # fmt: skip


@dataclass
class KillResults:
    """Recovery times by kind of kill.

    Attributes:
        back_s: Seconds until bytes flowed again, by kind.
        wrong: Descriptions of violations.
    """

    back_s: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[str]:
        """Yield a row for each kind and one for all."""
        for what, seconds in sorted(self.back_s.items()):
            yield _line(what, seconds)
        yield _line("all but rollouts", self.alone_s)

    @property
    def alone_s(self) -> list[float]:
        """Return the times without rollouts, which depend on their pods."""
        return [s for what, each in self.back_s.items() if "rollout" not in what for s in each]

    @property
    def late(self) -> list[str]:
        """Return violations of the promised recovery time."""
        p99 = _part(self.alone_s, 0.99)
        return [f"bytes flowed after {p99:.2f} s (p99)"] if p99 > MAX_P99_S else []


def _part(seconds: list[float], part: float) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(part * len(seconds)))]


def _line(what: str, seconds: list[float]) -> str:
    p50, p99 = _part(seconds, 0.5), _part(seconds, 0.99)
    return (
        f"{what:30} {len(seconds):3}×   bytes again after: {p50 * 1e3:5.0f} ms (p50), "
        f"{p99 * 1e3:5.0f} ms (p99), at most {max(seconds) * 1e3:5.0f} ms"
    )


class UserHome:
    """Files and processes of a user.

    Args:
        home: Home folder.
        cluster: Cluster of the forwards.
        pods: Pods of the forwards.
        dice: Source of all random choices.
    """

    def __init__(
        self, home: Path, cluster: ClusterProcess, pods: PodWatch, dice: random.Random
    ) -> None:
        self._home = home
        self._cluster = cluster
        self._pods = pods
        self._dice = dice
        self._kubeconfig = str(cluster.kubeconfig)
        self.profile = paths.profiles_dir() / "shop.yaml"
        self.profile.parent.mkdir(parents=True)
        one, two = free_ports(2, dice)
        text = _PROFILE.format(namespace=NAMESPACE, app=TOOLBOX, one=one, two=two, number=0)
        self.profile.write_text(text)
        self.ports: dict[str, int] = {}

    async def begin(self) -> None:
        """Start the profile."""
        await self._program("up", "shop")
        self.ports = {one.spec.name: one.listening[0].port for one in await self.forwards()}
        assert len(self.ports) == 3, self.ports

    async def end(self) -> None:
        """Stop the profile."""
        await self._program("down", "shop")
        await wait_until(lambda: not self.engines(), "the engine to end with its last forward")

    async def _program(self, *words: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *_PROGRAM, *words, "--kubeconfig", self._kubeconfig, cwd=REPOSITORY,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        _, errors = await process.communicate()
        assert process.returncode == 0, f"{words}: {errors.decode()}"

    async def forwards(self) -> tuple[Forward, ...]:
        """Return the active forwards."""
        session = await connect_if_running(self._kubeconfig)
        assert session is not None, "no engine is running"
        try:
            return (await session.snapshot()).forwards
        finally:
            await session.close()

    def engines(self) -> list[psutil.Process]:
        """Return the watchdog and the engine, in this order."""
        return engine_processes(self._home)

    # Kills --------------------------------------------------------------------------------

    async def kill(self, who: str, during: str) -> float:
        """Kill a process; return the seconds until bytes flow again on all ports."""
        dashboard = who == "dashboard" or "dashboard" in during
        async with contextlib.AsyncExitStack() as undo:
            seen = await undo.enter_async_context(self._dashboard()) if dashboard else None
            writer = await undo.enter_async_context(self._writer()) if "write" in during else None
            if during == "a rollout":
                pod = await self._pods.wait_for_ready_pod()
                await self._cluster.fault(
                    "delete-pod", namespace=NAMESPACE, pod=pod.name, grace=self._dice.choice([0, 1])
                )
            await asyncio.sleep(self._dice.random() * 0.5)  # at a random moment
            engines = self.engines()
            doomed = {
                "engine": engines[-1:], "parent": engines[:1], "both": engines, "dashboard": [],
            }[who]  # fmt: skip
            for process in (*doomed, *((seen,) if who == "dashboard" and seen else ())):
                process.kill()
            if writer is not None:
                writer.kill()
            killed = time.monotonic()
            if not dashboard and len(doomed) == len(engines):
                await self._program("ls")  # starts a new engine: no watchdog is left
            await asyncio.gather(*(self._back(port) for port in self.ports.values()))
            took = time.monotonic() - killed
            if writer is not None:
                await writer.wait()
        await self._as_before()
        return took

    async def _back(self, port: int) -> None:
        deadline = time.monotonic() + _BACK_S
        while True:
            try:
                await echo(port)
            except (OSError, EOFError) as error:
                if time.monotonic() > deadline:
                    raise AssertionError(f"port {port} is not back: {error!r}") from error
                await asyncio.sleep(0.005)
            else:
                return

    async def _as_before(self) -> None:
        """Assert that all forwards are active on their ports and match the file."""
        profile = parse_profile(self.profile.read_text(), self.profile)
        labels = {one.name: one.spec.label for one in profile.forwards}
        deadline = time.monotonic() + _BACK_S
        while True:
            forwards = await self.forwards()
            if {one.spec.name: one.spec.label for one in forwards} == labels and all(
                one.listening for one in forwards
            ):
                break
            assert time.monotonic() < deadline, f"{forwards} does not match the file: {labels}"
            await asyncio.sleep(0.01)
        ports = {one.spec.name: one.listening[0].port for one in forwards}
        assert ports == self.ports, f"the ports were {self.ports} and are {ports}"
        assert len(forwards) == len(self.ports)

    @contextlib.asynccontextmanager
    async def _writer(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a process that rewrites the profile."""
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
    async def _dashboard(self) -> AsyncIterator[psutil.Popen]:
        """Run a dashboard on a pseudoterminal."""
        ours, theirs = pty.openpty()
        shown = bytearray()
        process = psutil.Popen(
            [*_PROGRAM, "--kubeconfig", self._kubeconfig, "-n", NAMESPACE], cwd=REPOSITORY,
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "36"},
        )  # fmt: skip
        os.close(theirs)

        def read() -> None:
            with contextlib.suppress(OSError):
                while data := os.read(ours, 65536):
                    shown.extend(data)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            await wait_until(
                lambda: TOOLBOX.encode() in shown, "the dashboard to show the forwards"
            )
            yield process
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
            await asyncio.to_thread(process.wait, 10)
            await asyncio.to_thread(reader.join, 10)
            os.close(ours)

    # Files --------------------------------------------------------------------------------

    def faults(self) -> list[str]:
        """Return descriptions of incomplete files and of logged tracebacks."""
        state = paths.sessions_dir().parent
        wrong = [f"{path.name} could not be read" for path in state.rglob("*.bad*")]
        for path in paths.sessions_dir().glob("[!.]*.json"):
            try:
                msgspec.json.decode(path.read_bytes(), type=SavedSession)
            except msgspec.DecodeError as error:
                wrong.append(f"{path.name}: {error}")
        logs = {path.name: path.read_text(errors="replace") for path in state.rglob("*.log*")}
        return wrong + [
            f"{name}: {text[text.index('Traceback') :][:2000]}"
            for name, text in logs.items()
            if "Traceback" in text
        ]


async def run_kills(cluster: ClusterProcess, *, times: int, seed: int) -> KillResults:
    """Kill processes `times` times; return the results."""
    dice, kills = random.Random(seed), KillResults()
    # Each kind once, then by weight.
    kinds = dice.sample(KINDS, len(KINDS))
    kinds += dice.choices(KINDS, [weight for *_, weight in KINDS], k=max(0, times - len(kinds)))
    with tempfile.TemporaryDirectory(prefix="tfk-", dir="/tmp") as name, isolated_home(Path(name)):
        async with PodWatch.open(cluster) as pods:
            user = UserHome(Path(name), cluster, pods, dice)
            try:
                await user.begin()
                for number, (who, during, _) in enumerate(kinds[:times], 1):
                    what = f"{who}, {during}" if during else who
                    try:
                        took = await user.kill(who, during)
                    except AssertionError as error:
                        kills.wrong.append(f"kill {number}, {what}: {error}"[:2000])
                        took = _BACK_S
                    kills.back_s.setdefault(what, []).append(took)
                    kills.wrong += [f"kill {number}, {what}: {each}" for each in user.faults()]
                    if kills.wrong:
                        break
                else:
                    await user.end()
            finally:
                for process in user.engines():
                    process.send_signal(signal.SIGKILL)
                await wait_until(lambda: not user.engines(), "the end of all engines")
    return kills
