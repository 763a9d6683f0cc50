"""All endurance tests at full length: `python -m tests.endurance`.

Starts the embedded cluster and an engine, injects faults, and prints a table of figures. The exit
code is 1 if a requirement was not met.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.endurance import outages
from tests.endurance.clients import Load, echo
from tests.endurance.engine_process import (
    EngineProcess,
    open_session,
    running_engine,
    running_forward,
    wait_until,
)
from tests.endurance.isolation import ECHO, KINDS, measure_neighbors
from tests.endurance.leaks import run_soak
from tests.endurance.outages import (
    Fault,
    OutageResults,
    OutageScene,
    crash_container,
    delete_pod,
    repeat_outage,
    restart_component,
    stall_until_detected,
)
from tests.endurance.pod_watch import PodWatch
from tests.endurance.profile_editors import run_edits
from tests.endurance.random_kills import run_kills
from tests.support.cluster_process import ClusterProcess, running_cluster
from tui_forward.model import ForwardState

# After this time ready, a forward's backoff is reset.
_REST_S = 2.5
_MAX_FIRST_BYTE_S = 0.15
_MAX_LATENCY_RATIO = 2.0
# Noise of a median of microseconds on a busy machine.
_NOISE_S = 0.002


class Report:
    """Printed report that collects violations."""

    def __init__(self) -> None:
        self.bad: list[str] = []

    def row(self, text: str, *wrong: str) -> None:
        """Print a row and its violations."""
        sys.stdout.write(("  " if not wrong else "! ") + text + "\n")
        for each in wrong:
            sys.stdout.write(f"      {each}\n")
        sys.stdout.flush()
        self.bad += wrong

    def heading(self, text: str) -> None:
        """Print a heading."""
        sys.stdout.write(f"\n{text}\n")
        sys.stdout.flush()


@contextlib.asynccontextmanager
async def scene(
    cluster: ClusterProcess, running: EngineProcess, context: str
) -> AsyncIterator[OutageScene]:
    """Start a forward to the echo with clients."""
    async with (
        PodWatch.open(cluster) as pods,
        open_session(running) as session,
        running_forward(session, ECHO, context=context, queue_timeout_s=60) as line,
        Load(line.port).running() as load,
    ):
        yield OutageScene(cluster, pods, line, load)


async def token_expired(scene: OutageScene) -> outages.OutageTimes:
    """Expire all tokens; write a new one to the file later."""
    began = time.monotonic()
    await scene.cluster.fault("expire-token")
    await scene.cluster.fault("cut", component="apiserver", what="all")
    died = time.monotonic()
    await scene.line.wait_until(
        lambda forward: forward.state is ForwardState.BLOCKED, "blocked by its credentials"
    )
    await scene.cluster.fault("rotate-token")
    return outages.OutageTimes(began, died, time.monotonic())


async def compacted_and_deleted(scene: OutageScene) -> outages.OutageTimes:
    """Compact the watch history, then replace the pod."""
    await scene.cluster.fault("gone", times=2)
    await scene.cluster.fault("compact")
    await scene.cluster.fault("cut", component="apiserver", what="watches")
    return await delete_pod(0)(scene)


# Name, fault, share of `--times`, context, and whether the first byte has a limit.
OUTAGES: tuple[tuple[str, Fault, float, str, bool], ...] = (
    ("pod deleted (grace 1 s)", delete_pod(1), 1.0, "minicluster", True),
    ("pod deleted (no grace)", delete_pod(0), 1.0, "minicluster", True),
    ("container crashed", crash_container, 1.0, "minicluster", True),
    ("API server restarted", restart_component("apiserver"), 1.0, "minicluster", True),
    ("API server killed, 1 s down", restart_component("apiserver", kill=True, down_s=1.0), 0.5,
     "minicluster", True),
    ("kubelet restarted", restart_component("kubelet"), 1.0, "minicluster", True),
    ("runtime restarted", restart_component("runtime"), 1.0, "minicluster", False),
    ("network silent, no reset", stall_until_detected("apiserver"), 0.25, "minicluster", False),
    ("token expired, new one later", token_expired, 0.5, "admin-tokenfile", False),
    ("history compacted, pod deleted", compacted_and_deleted, 0.5, "minicluster", False),
)  # fmt: skip


async def all_outages(cluster: ClusterProcess, report: Report, times: int) -> None:
    """Measure all outages."""
    report.heading(
        "Outages under load (4 clients without a pause, 50 new ones per second). Times are "
        "medians;\n`first byte after`: from the moment the replacement is Ready, or the process "
        "is back."
    )
    for what, trouble, part, context, bound in OUTAGES:
        with running_engine(cluster.kubeconfig) as running:
            async with scene(cluster, running, context) as stage:
                count = max(1, round(times * part))
                try:
                    seen = await repeat_outage(stage, what, trouble, count, rest_s=_REST_S)
                except AssertionError as error:
                    report.row(what, str(error)[:2000])
                    continue
                finally:
                    await cluster.fault("clear")
                wrong = list(seen.wrong)
                if bound and not seen.p50_s <= _MAX_FIRST_BYTE_S:
                    wrong.append(f"the first byte came after {seen.p50_s * 1e3:.0f} ms (p50)")
                report.row(seen.row(), *wrong)
            if complaints := running.log_errors():
                report.row("the engine's log", complaints)


async def short_stall(cluster: ClusterProcess, report: Report) -> None:
    """Stall the network for two seconds; no connection may be cut."""
    with running_engine(cluster.kubeconfig) as running:
        async with scene(cluster, running, "minicluster") as stage:
            seen = OutageResults("network hangs for 2 s")
            seen.each.append(
                await outages.measure_outage(stage, outages.stall("kubelet", for_s=2.0))
            )
            cut = [f"cut: {each.failure}" for each in stage.load.failures]
            report.row(seen.row(), *seen.wrong, *cut)


async def all_isolation(cluster: ClusterProcess, report: Report, probes: int) -> None:
    """Measure neighbors of ten stalled connections of each kind."""
    report.heading("Ten stalled connections, latency of their neighbors (p50)")
    for kind in KINDS:
        with running_engine(cluster.kubeconfig) as running:
            async with (
                open_session(running) as session,
                running_forward(session, kind.port) as line,
                running_forward(session, ECHO) as other,
            ):
                seen = await measure_neighbors(running, line, other, kind, count=10, probes=probes)
                wrong = [
                    f"latency of neighbors ×{during / before:.2f}"
                    for before, during in (seen.same_s, seen.other_s)
                    if during > _MAX_LATENCY_RATIO * before + _NOISE_S
                ]
                report.row(seen.row(), *wrong)


async def burst(cluster: ClusterProcess, report: Report, count: int) -> None:
    """Make `count` connections at once."""
    report.heading(f"{count} connections at once")
    with running_engine(cluster.kubeconfig) as running:
        async with open_session(running) as session, running_forward(session, ECHO) as line:
            began = time.perf_counter()
            done = await asyncio.gather(
                *(echo(line.port) for _ in range(count)), return_exceptions=True
            )
            seconds = time.perf_counter() - began
            wrong = [repr(one) for one in done if isinstance(one, BaseException)]
            report.row(
                f"{count - len(wrong)} served within {seconds:.2f} s; {running.footprint()}",
                *wrong[:5],
            )
            await line.wait_until(
                lambda forward: not forward.counters.connections_open, "their end"
            )
            await wait_until(lambda: running.footprint().sockets < 40, "the sockets to be closed")


async def all_edits(report: Report, count: int, seed: int) -> None:
    """Make random edits of profiles."""
    report.heading(f"{count} random edits of ten active profiles")
    try:
        report.row((await run_edits(count, seed)).row())
    except AssertionError as error:
        report.row("edits", str(error)[:4000] or repr(error))


async def all_kills(cluster: ClusterProcess, report: Report, times: int, seed: int) -> None:
    """Kill processes at random."""
    report.heading(
        f"{times} kills of engine, watchdog and dashboard, also during writes and rollouts"
    )
    kills = await run_kills(cluster, times=times, seed=seed)
    *rows, together = kills.rows()
    for row in rows:
        report.row(row)
    report.row(together, *kills.wrong, *kills.late)


async def run(options: argparse.Namespace) -> int:
    """Run the selected parts; return the exit code."""
    report = Report()
    parts: dict[str, Callable[[ClusterProcess], Awaitable[None]]] = {
        "outages": lambda cluster: all_outages(cluster, report, options.times),
        "stall": lambda cluster: short_stall(cluster, report),
        "isolation": lambda cluster: all_isolation(cluster, report, options.probes),
        "burst": lambda cluster: burst(cluster, report, options.burst),
        "kills": lambda cluster: all_kills(cluster, report, options.kills, options.seed),
        "edits": lambda _: all_edits(report, options.edits, options.seed),
    }
    selected = options.only or [*parts, "soak"]
    with running_cluster() as cluster:
        for name, part in parts.items():
            if name in selected:
                await part(cluster)
        if "soak" in selected:
            report.heading(f"{options.minutes:g} minutes of mixed load with random faults")
            load_s = 60 * options.minutes
            try:
                report.row(await run_soak(cluster, seed=options.seed, load_s=load_s, faults_s=6.0))
            except AssertionError as error:
                report.row("soak", str(error)[:4000] or repr(error))
    report.heading(
        "all requirements met" if not report.bad else f"{len(report.bad)} requirements not met"
    )
    return int(bool(report.bad))


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="repetitions of each outage (20)")
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes of the soak (10)")
    parser.add_argument("--seed", type=int, default=1, help="random seed (1)")
    parser.add_argument("--probes", type=int, default=60, help="neighbors per median (60)")
    parser.add_argument("--burst", type=int, default=2000, help="concurrent connections (2000)")
    parser.add_argument("--kills", type=int, default=200, help="number of kills (200)")
    parser.add_argument("--edits", type=int, default=5000, help="number of profile edits (5000)")
    parser.add_argument(
        "--only",
        action="append",
        choices=["outages", "stall", "isolation", "burst", "kills", "edits", "soak"],
        help="run only this part (repeatable)",
    )
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
