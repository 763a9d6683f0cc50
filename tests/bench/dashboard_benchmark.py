"""`make bench-ui`: how soon the dashboard is there, tells a fact, answers a key; what it costs.

The dashboard runs in a pseudo-terminal, over an engine process that carries load meanwhile,
on a cluster with thousands of pods that change all the time. The same load is measured
without a dashboard before and after, so that the cost of the dashboard is known.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from tests.bench.measurements import MIB, SOURCE, Spread
from tests.bench.result_table import say
from tests.bench.terminal import Terminal
from tests.bench.toolbox import NAMESPACE, Toolbox
from tests.support import fleet
from tests.support.cluster_process import REPOSITORY, ClusterProcess, running_cluster
from tests.support.fleet_app import fleet_app
from tests.support.forward_states import STEPS, StateScenario
from tests.support.painted_cells import PaintedCells
from tui_forward.daemon import connect
from tui_forward.minicluster.control_socket import ControlClient
from tui_forward.model import (
    Event,
    EventKind,
    Forward,
    ForwardSpec,
    ForwardState,
    Target,
    TargetKind,
)
from tui_forward.session import Session

DASHBOARD = (sys.executable, "-m", "tui_forward", "-A")
STARTS = 7
ATTACHED = 50  # forwards of an engine that runs already
FACTS = 5  # times that each state is brought about
CLUSTER_NICENESS = 10
WINDOW_S = 8.0  # of load alone, before and after
# A row of the list with the line beneath the panes: there is something to choose, and keys.
USABLE = r"ports of"
# Dialogs: their key, and a text of theirs.
OPENED = (
    ("open help", "?", "enter Run the key"),
    ("open form", "f", "enter Start"),
    ("open jump", ":", "a name, a port"),
    ("open palette", "\x10", "↑↓ Move"),
    ("open profiles", "P", "bench-profile"),
)
PROFILE = """\
version: 1
context: minicluster
namespace: shop
forwards:
  echo: {target: deploy/echo, port: echo}
"""
MAX_MOVES = 12
PARTS = ("start", "facts", "checks", "load")
# A move of the cursor: another title of the ports, or another position in the title of the list.
MOVED = r"ports of|/\d+ ━"
# Follows the letter that was typed in a frame of its own.
NARROWED = "search: list narrowed"


@dataclass(frozen=True)
class Figure:
    """One line of the report.

    Attributes:
        limit: What it must not exceed, if anything.
    """

    name: str
    value: float
    unit: str
    limit: float | None = None
    digits: int = 0

    def __str__(self) -> str:
        text = f"{self.name:<52}{self.value:>10,.{self.digits}f} {self.unit}"
        if self.limit is None:
            return text
        verdict = "ok" if self.value <= self.limit else "MISS"
        return f"{text:<70}≤ {self.limit:,g}  {verdict}"


def environment(home: str, kubeconfig: Path) -> dict[str, str]:
    """Return environment variables with another home folder."""
    # Also settings that would compile the program at each start, unlike an installed one.
    others = ("XDG_", "KUBE", "NO_COLOR", "PYTHONDONTWRITEBYTECODE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    return {
        **kept,
        "HOME": home,
        "KUBECONFIG": str(kubeconfig),
        "TERM": "xterm-256color",
        "LC_ALL": "C.UTF-8",
        "COLORTERM": "truecolor",
    }


@contextlib.contextmanager
def dashboard(env: dict[str, str]) -> Iterator[Terminal]:
    """Run a dashboard; stop it at the end."""
    terminal = Terminal(DASHBOARD, env=env, cwd=REPOSITORY)
    try:
        yield terminal
    finally:
        terminal.close()


def starts(env: dict[str, str]) -> float:
    """Return the median time from the start of the process to the first usable screen, in seconds.

    No engine runs before, so each start starts one.
    """
    times = []
    for _ in range(STARTS):
        with dashboard(env) as terminal:
            times.append(terminal.shows(USABLE) - terminal.begun)
        while engines(env["KUBECONFIG"]):
            time.sleep(0.05)
    return statistics.median(times)


async def attaching(env: dict[str, str]) -> float:
    """Return the median time from the start of the process to a screen with all that is on.

    An engine with `ATTACHED` forwards runs already.
    """
    session = await connect(environ=env)
    try:
        await session.set_keep_running(True)
        await _ready_forwards(session, ATTACHED)
        times = []
        for _ in range(STARTS):
            with dashboard(env) as terminal:
                shown = await asyncio.to_thread(
                    terminal.shows, rf"{ATTACHED} forwards[\s\S]*● +ready"
                )
                times.append(shown - terminal.begun)
    finally:
        await let_go(session)
    return statistics.median(times)


def engines(kubeconfig: str) -> list[psutil.Process]:
    """Return the engine processes of a kubeconfig."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if (
                "tui_forward.daemon" in process.cmdline()
                and process.environ().get("KUBECONFIG") == kubeconfig
            ):
                found.append(process)
    return found


class Load:
    """Two forwards that carry bytes as fast as asked for, and what flows through them."""

    def __init__(self, ports: Sequence[int], rate_mib_s: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.paced_reader", str(rate_mib_s), *map(str, ports)],
            cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def total(self) -> int:
        """Return the bytes received so far."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def window(self, seconds: float) -> float:
        """Return MiB/s over a while."""
        before, begun = self.total(), time.perf_counter()
        time.sleep(seconds)
        return (self.total() - before) / MIB / (time.perf_counter() - begun)

    def close(self) -> None:
        """Stop the reader."""
        self._process.kill()
        self._process.communicate()


async def let_go(session: Session) -> None:
    """Stop the engine that the stopped dashboards left, and before its forwards.

    The next dashboard would offer to restore them.
    """
    for one in (await session.snapshot()).forwards:
        await session.stop(one.id)
    await session.set_keep_running(False)
    await session.close()


async def two_forwards(session: Session, pod: str) -> list[int]:
    """Forward the source twice; return the local ports once both are ready."""
    context = next(one.name for one in await session.contexts() if one.current)
    target = Target(
        context=context, namespace=NAMESPACE, kind=TargetKind.POD, name=pod, port=str(SOURCE)
    )
    for _ in range(2):
        await session.start(ForwardSpec(target=target))
    while True:
        forwards = (await session.snapshot()).forwards
        if all(forward.state is ForwardState.READY for forward in forwards):
            return [forward.listening[0].port for forward in forwards]
        await asyncio.sleep(0.02)


class Keys:
    """Presses keys and measures the time until the screen shows their effect."""

    def __init__(self, terminal: Terminal, pause_s: float = 0.06) -> None:
        self._terminal = terminal
        self._pause_s = pause_s
        self._pressed = 0.0
        self.times: dict[str, list[float]] = {}

    def press(self, kind: str, keys: str, shows: str) -> None:
        """Press a key; record its time as `kind`."""
        # At any moment of the dashboard's own rhythm.
        time.sleep(self._pause_s * (1 + 0.37 * (len(self.times.get(kind, ())) % 5)))
        self._pressed = self._terminal.press(keys.encode())
        self.times.setdefault(kind, []).append(self._terminal.shows(shows) - self._pressed)

    def length(self) -> int:
        """Go to the last row and back; return the number of rows, which is at least 2."""
        self._terminal.press(b"G")
        _, last = self._terminal.finds(r"(\d+)/\1\D")
        self.quietly("g", rf"\b1/{last[1]}\D")
        return int(last[1])

    def then(self, kind: str, shows: str) -> None:
        """Record the time of a later effect of the last key."""
        self.times.setdefault(kind, []).append(self._terminal.shows(shows) - self._pressed)

    def quietly(self, keys: str, shows: str) -> None:
        """Press a key without timing it, e.g. Escape, which Textual delays."""
        self._terminal.press(keys.encode())
        self._terminal.shows(shows)


def tour(keys: Keys, rounds: int) -> None:
    """Move, page, search and sort in a list, and open dialogs.

    No key is pressed that would change nothing, as at the end of a short list.
    """
    moves = min(MAX_MOVES, keys.length() - 1)
    for _ in range(rounds):
        for _ in range(moves):
            keys.press("move", "j", MOVED)
        for _ in range(min(4, moves - 1)):
            keys.press("move", "k", MOVED)
        for page in ("\x1b[6~", "\x1b[5~") * 2:
            keys.press("page", page, MOVED)
        keys.press("first or last", "G", MOVED)
        keys.press("first or last", "g", MOVED)
        keys.press("filter", "/", "words  ns:")
        typed = ""
        for letter in "app-01":
            typed += letter
            keys.press("search", letter, rf"\n{typed}\s")
            keys.then(NARROWED, rf"/{typed}\s")
        keys.quietly("\r", "workloads")
        keys.quietly("\x1b", r"services · all namespaces [─━]")
        for view in ("pods", "services", "workloads"):
            keys.press("view", "t", rf"\[{view}\]")
        for _ in range(2):
            keys.press("pane", "\t", "─|━")
        for _ in range(2):
            keys.press("pane", "\x1b[Z", "─|━")
        for kind, key, shown in OPENED:
            keys.press(kind, key, shown)
            keys.quietly("\x1b", "q Quit")


def loaded(
    cluster: ClusterProcess, env: dict[str, str], rate_mib_s: float, rounds: int
) -> list[Figure]:
    """Measure a dashboard on a changing cluster while its engine carries bytes."""
    # On a user's machine it is elsewhere.
    for process in (psutil.Process(cluster.process.pid), *cluster.child_processes()):
        process.nice(CLUSTER_NICENESS)
        # Each component leads a session, and where Linux groups processes by session, niceness
        # counts within a group only (sched(7), "The autogroup feature"). The process that starts
        # them is in the session of this program, which would measure late.
        group = Path(f"/proc/{process.pid}/autogroup")
        if group.exists() and os.getsid(process.pid) != os.getsid(0):
            group.write_text(str(CLUSTER_NICENESS))
    pod = Toolbox(cluster.kubeconfig).create()
    profiles = Path(env["HOME"], ".config/tui-forward/profiles")
    profiles.mkdir(parents=True, exist_ok=True)
    (profiles / "bench-profile.yaml").write_text(PROFILE)
    with asyncio.Runner() as runner:
        session = runner.run(connect(environ=env))
        load: Load | None = None
        try:
            ports = runner.run(two_forwards(session, pod))
            load = Load(ports, rate_mib_s)
            time.sleep(2.0)
            say("load without a dashboard")
            without = [load.window(WINDOW_S)]
            with dashboard(env) as terminal:
                terminal.shows(USABLE)
                time.sleep(2.0)  # the list is complete
                process = psutil.Process(terminal.process.pid)
                say("load with a dashboard that is looked at")
                looked_at = _spent(process, load, lambda: time.sleep(WINDOW_S))
                say("load with a dashboard that is used")
                keys = Keys(terminal)
                used = _spent(process, load, lambda: tour(keys, rounds))
                memory = process.memory_info().rss / MIB
            say("load without a dashboard")
            without.append(load.window(WINDOW_S))
        finally:
            if load is not None:
                load.close()
            runner.run(let_go(session))
    everything = [
        one
        for kind, times in keys.times.items()
        if kind != NARROWED and not kind.startswith("open ")
        for one in times
    ]
    loss = 100 * (1 - min(looked_at.rate, used.rate) / statistics.mean(without))
    return [
        Figure("throughput without a dashboard", statistics.mean(without), "MiB/s"),
        Figure("throughput with one", min(looked_at.rate, used.rate), "MiB/s"),
        Figure("throughput lost", max(0.0, loss), "%", 3, digits=1),
        Figure("dashboard's CPU, looked at", looked_at.busy, "% of a core", 30, digits=1),
        Figure("dashboard's CPU, used", used.busy, "% of a core", digits=1),
        Figure("dashboard's memory", memory, "MiB", 57),
        *(
            figure
            for kind, times in keys.times.items()
            for figure in (
                Figure(f"key to screen, {kind} ({len(times)}), p50", Spread.of(times).p50_ms, "ms"),
                Figure(
                    f"key to screen, {kind}, p99",
                    Spread.of(times).p99_ms,
                    "ms",
                    100 if kind.startswith("open ") else None,
                ),
            )
        ),
        Figure(f"key to screen, all ({len(everything)}), p50", Spread.of(everything).p50_ms, "ms"),
        Figure("key to screen, all, p99", Spread.of(everything).p99_ms, "ms", 33),
    ]


async def facts(cluster: ClusterProcess, env: dict[str, str]) -> list[Figure]:
    """How long after a forward has changed its state the screen says so.

    Every state, several times; the engine says when each began.
    """
    lags: dict[str, list[float]] = {}
    from_deed: list[float] = []
    session = await connect(environ=env)
    began: asyncio.Queue[Event] = asyncio.Queue()

    async def listen() -> None:
        async for event in session.events():
            if event.event is EventKind.STATE:
                began.put_nowait(event)

    listening = asyncio.create_task(listen())
    try:
        with dashboard(env) as terminal:
            await asyncio.to_thread(terminal.shows, USABLE)
            stage = StateScenario(session, cluster.control, "minicluster")
            for _ in range(FACTS):
                started = []
                for step in STEPS:
                    await asyncio.sleep(0.3)
                    terminal.forget()
                    deed = time.perf_counter()
                    await step.perform(stage)
                    started.append(stage.forward_id)
                    seen = await asyncio.to_thread(terminal.shows, step.pattern)
                    async with asyncio.timeout(5):
                        while (event := await began.get()).state is not step.state:
                            pass
                    # The engine tells the time of day.
                    fact = event.time - time.time() + time.perf_counter()
                    lags.setdefault(step.mark[2:], []).append(seen - fact)
                    if step.state is ForwardState.RECONNECTING:
                        from_deed.append(seen - deed)
                for forward_id in dict.fromkeys(started[1:]):
                    await session.stop(forward_id)
    finally:
        listening.cancel()
        await let_go(session)
    return [
        *(
            Figure(f"state to screen, {name} ({len(times)}), longest", 1000 * max(times), "ms", 250)
            for name, times in lags.items()
        ),
        Figure("kubelet killed to screen, longest", 1000 * max(from_deed), "ms", 250),
    ]


async def _ready_forwards(session: Session, count: int) -> StateScenario:
    """Start as many forwards, and wait until they are ready."""
    stage = StateScenario(session, ControlClient("nowhere"), "minicluster")
    for _ in range(count):
        await stage.start("echo", "echo", TargetKind.DEPLOYMENT)
    while any(  # noqa: ASYNC110 - in another process
        one.state is not ForwardState.READY for one in (await session.snapshot()).forwards
    ):
        await asyncio.sleep(0.05)
    return stage


async def _moved_from(stage: StateScenario, before: Forward) -> None:
    """Wait until the forward is ready on another pod."""
    while True:
        now = await stage.forward()
        if now.pod != before.pod and now.state is ForwardState.READY:
            return
        await asyncio.sleep(0.05)


async def starting(env: dict[str, str]) -> list[Figure]:
    """How long after the key that starts a 15th forward its row is shown under the cursor.

    Check 6 of the design.
    """
    times = []
    session = await connect(environ=env)
    try:
        await _ready_forwards(session, 14)
        with dashboard(env) as terminal:
            await asyncio.to_thread(terminal.shows, r"14 forwards[\s\S]*● +ready")
            keys = Keys(terminal)
            await asyncio.to_thread(keys.quietly, "/", "words  ns:")
            await asyncio.to_thread(keys.quietly, "gateway", "/gateway")
            await asyncio.to_thread(keys.quietly, "\r", "workloads")
            for _ in range(FACTS):
                known = {one.id for one in (await session.snapshot()).forwards}
                await asyncio.sleep(0.5)
                pressed = terminal.press(b"1")
                # The position of the cursor in the title, above the row.
                row = r"\b\d+/15\b[\s\S]*(starting|connecting|ready)[^\n]*deploy/gateway:"
                times.append(await asyncio.to_thread(terminal.shows, row) - pressed)
                terminal.forget()
                for one in (await session.snapshot()).forwards:
                    if one.id not in known:
                        await session.stop(one.id)
                await asyncio.to_thread(terminal.shows, r"/14\b")
    finally:
        await let_go(session)
    longest_ms = 1000 * max(times)
    return [Figure(f"start to row under the cursor ({len(times)}), longest", longest_ms, "ms", 100)]


async def draining(cluster: ClusterProcess, env: dict[str, str]) -> list[Figure]:
    """How long after a pod begins to terminate its connection is shown as draining.

    Check 20 of the design.
    """
    times = []
    session = await connect(environ=env)
    try:
        stage = await _ready_forwards(session, 1)
        with dashboard(env) as terminal:
            await asyncio.to_thread(terminal.shows, r"1 forward[\s\S]*● +ready")
            for _ in range(FACTS):
                forward = await stage.forward()
                assert forward.pod is not None
                terminal.forget()
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", forward.listening[0].port
                )
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"hello"
                await asyncio.to_thread(terminal.shows, r"\bopen\b")
                terminal.forget()
                pod = forward.pod.name
                begun = time.perf_counter()
                await cluster.control.request("delete-pod", namespace="shop", pod=pod, grace=5)
                times.append(await asyncio.to_thread(terminal.shows, r"\bdraining\b") - begun)
                writer.close()
                await _moved_from(stage, forward)
    finally:
        await let_go(session)
    name = f"pod terminates to connection draining ({len(times)}), longest"
    return [Figure(name, 1000 * max(times), "ms", 1000)]


async def painting(folder: Path) -> list[Figure]:
    """How many cells a sample paints that changes nothing, one row, or all rows that are ready.

    In this process, of the scene of the design.
    """
    width = 120
    session = fleet.fleet()
    app = fleet_app(folder, session)
    async with app.run_test(size=(width, 36)) as pilot:
        app._sampler.set_interval(3600.0)
        painted = PaintedCells(app)

        def speed_up(one: Forward, rate: float) -> None:
            counters = msgspec.structs.replace(one.counters, rate_from_pod=rate)
            session.update(one.id, counters=counters)

        for _ in range(50):  # what the start still paints
            await painted.sample(pilot)
        unchanged = max([await painted.sample(pilot) for _ in range(10)])
        ready = [one for one in session.forwards.values() if one.state is ForwardState.READY]
        speed_up(ready[0], 5e3)
        one_row = await painted.sample(pilot)
        for one in ready:
            speed_up(one, 7e3)
        all_rows = await painted.sample(pilot)
    # Each row, and the totals in the header.
    return [
        Figure("painted by a sample without a change", unchanged, "cells", 0),
        Figure("painted by a sample, 1 row changed", one_row, "cells", 2 * width),
        Figure(
            f"painted by a sample, {len(ready)} rows changed", all_rows, "cells",
            (len(ready) + 1) * width,
        ),
    ]  # fmt: skip


@dataclass(frozen=True)
class _Spent:
    rate: float  # MiB/s
    busy: float  # % of a core


def _spent(process: psutil.Process, load: Load, do: Callable[[], None]) -> _Spent:
    before, cpu, begun = load.total(), sum(process.cpu_times()[:2]), time.perf_counter()
    do()
    seconds = time.perf_counter() - begun
    return _Spent(
        (load.total() - before) / MIB / seconds,
        100 * (sum(process.cpu_times()[:2]) - cpu) / seconds,
    )


def main() -> int:
    """Run all benchmarks."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.dashboard_benchmark", description=__doc__
    )
    parser.add_argument("--pods", type=int, default=10_000, help="pods of the large cluster")
    parser.add_argument("--churn", type=float, default=500.0, help="changes per second (500)")
    parser.add_argument("--rate", type=float, default=300.0, help="MiB/s of load (300)")
    parser.add_argument("--rounds", type=int, default=12, help="turns of the tour of keys (12)")
    parser.add_argument("--only", choices=PARTS, help="only this part")
    options = parser.parse_args()
    say(f"{os.cpu_count()} cores")
    figures: list[Figure] = []
    large = ("--pods", str(options.pods), "--churn")
    with tempfile.TemporaryDirectory(prefix="tui-forward-bench-") as home:
        if options.only in (None, "facts"):
            say("every state of a forward")
            with running_cluster() as cluster:
                figures += asyncio.run(facts(cluster, environment(home, cluster.kubeconfig)))
        if options.only in (None, "checks"):
            say("a 15th forward, a pod that terminates, painted cells")
            with running_cluster() as cluster:
                env = environment(home, cluster.kubeconfig)
                figures += asyncio.run(starting(env))
                figures += asyncio.run(draining(cluster, env))
            figures += asyncio.run(painting(Path(home)))
        if options.only in (None, "start"):
            say("start on a small cluster")
            with running_cluster() as cluster:
                env = environment(home, cluster.kubeconfig)
                took = starts(env)
                figures.append(Figure("start to usable screen", took, "s", 0.7, digits=2))
                say(f"attach to an engine with {ATTACHED} forwards")
                took = asyncio.run(attaching(env))
                name = f"attach to an engine with {ATTACHED} forwards"
                figures.append(Figure(name, took, "s", 0.4, digits=2))
            say(f"start with {options.pods:,} pods")
            with running_cluster(*large, "0") as cluster:
                took = starts(environment(home, cluster.kubeconfig))
                name = f"start to usable screen, {options.pods:,} pods"
                figures.append(Figure(name, took, "s", 1.2, digits=2))
        if options.only in (None, "load"):
            say(f"{options.pods:,} pods, {options.churn:g} changes/s, {options.rate:g} MiB/s")
            with running_cluster(*large, str(options.churn)) as cluster:
                env = environment(home, cluster.kubeconfig)
                figures += loaded(cluster, env, options.rate, options.rounds)
    sys.stdout.write("".join(f"{figure}\n" for figure in figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
