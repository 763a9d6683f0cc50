"""`python -m tests.endurance`: all endurance checks at full length, with figures.

Starts the embedded cluster and engines as processes, injects faults and kills, and prints a table.
Exits with 1 if a check failed.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.endurance import toolbox
from tests.endurance.clients import echo
from tests.endurance.engine_kills import run_engine_kills
from tests.endurance.engine_process import (
    EngineProcess,
    open_session,
    running_engine,
    running_forward,
    wait_until,
)
from tests.endurance.isolation import (
    KINDS,
    STOPPED_READERS,
    UNREAD_ECHOES,
    measure_neighbors,
)
from tests.endurance.leaks import run_soak
from tests.endurance.outages import (
    Fault,
    crash_container,
    delete_pod,
    delete_pod_after_compaction,
    expire_token,
    open_outage_scene,
    repeat_outage,
    restart_component,
    stall,
    stall_until_detected,
)
from tests.endurance.profile_editors import run_edits
from tests.endurance.random_kills import run_kills
from tests.endurance.terminal_losses import MAX_END_S, run_losses
from tests.support.cluster_process import ClusterProcess, running_cluster

# A forward that was ready for this long is retried without backoff.
_REST_S = 2.5
_QUEUE_TIMEOUT_S = 60.0
_MAX_FIRST_BYTE_S = 0.15
_MAX_LATENCY_RATIO = 2.0
# Allowance for a median of microseconds on a machine with other work.
_LATENCY_NOISE_S = 0.002
_MAX_IDLE_SOCKETS = 40
# How many connections share tunnels beside the stalled ones.
SHARERS = (50, 500, 2000)


class Report:
    """Printed table that collects failed checks."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def print_row(self, text: str, *failures: str) -> None:
        """Print a line, and below it the checks that failed."""
        _print(("! " if failures else "  ") + text)
        for failure in failures:
            _print(f"      {failure}")
        self.failures += failures

    def print_heading(self, text: str) -> None:
        _print(f"\n{text}")


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Outage(NamedTuple):
    """One kind of outage.

    Attributes:
        share: Part of the `--times` that it is repeated.
        context: Context of the kubeconfig.
        has_bound: Whether the time of the first byte is bounded.
    """

    name: str
    fault: Fault
    share: float = 1.0
    context: str = "minicluster"
    has_bound: bool = True


OUTAGES = (
    Outage("pod deleted (grace 1 s)", delete_pod(1)),
    Outage("pod deleted (no grace)", delete_pod(0)),
    Outage("container crashed", crash_container),
    Outage("API server restarted", restart_component("apiserver")),
    Outage("API server killed, 1 s down", restart_component("apiserver", kill=True, down_s=1.0),
           share=0.5),
    Outage("kubelet restarted", restart_component("kubelet")),
    Outage("runtime restarted", restart_component("runtime"), has_bound=False),
    Outage("network silent, no reset", stall_until_detected("apiserver"), share=0.25,
           has_bound=False),
    Outage("token expired, later rotated", expire_token, share=0.5, context="admin-tokenfile",
           has_bound=False),
    Outage("history compacted, pod deleted", delete_pod_after_compaction, share=0.5,
           has_bound=False),
)  # fmt: skip


class Runner:
    """Runs the checks against one cluster.

    Args:
        cluster: The cluster.
        options: Options of the command line.
        report: Receives the results.
    """

    def __init__(
        self, cluster: ClusterProcess, options: argparse.Namespace, report: Report
    ) -> None:
        self._cluster = cluster
        self._options = options
        self._report = report

    async def run_outages(self) -> None:
        self._report.print_heading(
            "Outages under load: 4 clients without pause, and 50 new connections per second.\n"
            "Times are medians; `first byte after` counts from the moment when the replacement "
            "is ready, or the process is back."
        )
        for outage in OUTAGES:
            with running_engine(self._cluster.kubeconfig) as engine:
                try:
                    await self._run_outage(engine, outage)
                except AssertionError as error:
                    self._report.print_row(outage.name, str(error)[:2000])
                    continue
                finally:
                    await self._cluster.fault("clear")
                if errors := engine.log_errors():
                    self._report.print_row("engine log", errors)

    async def _run_outage(self, engine: EngineProcess, outage: Outage) -> None:
        async with (
            open_session(engine) as session,
            open_outage_scene(
                self._cluster,
                session,
                context=outage.context,
                queue_timeout_s=_QUEUE_TIMEOUT_S,
                is_heavy=True,
            ) as scene,
        ):
            count = max(1, round(self._options.times * outage.share))
            results = await repeat_outage(scene, outage.name, outage.fault, count, rest_s=_REST_S)
        failures = list(results.violations)
        if outage.has_bound and not results.p50_s <= _MAX_FIRST_BYTE_S:
            failures.append(f"the first byte came after {results.p50_s * 1e3:.0f} ms (p50)")
        self._report.print_row(results.row(), *failures)

    async def run_stall(self) -> None:
        """Check that a network that stalls for two seconds cuts no connection."""
        with running_engine(self._cluster.kubeconfig) as engine:
            async with (
                open_session(engine) as session,
                open_outage_scene(
                    self._cluster, session, queue_timeout_s=_QUEUE_TIMEOUT_S, is_heavy=True
                ) as scene,
            ):
                results = await repeat_outage(
                    scene, "network stalls for 2 s", stall("kubelet", duration_s=2.0)
                )
                cut = [f"cut: {attempt.failure}" for attempt in scene.load.failures]
        self._report.print_row(results.row(), *results.violations, *cut)

    async def run_isolation(self) -> None:
        self._report.print_heading("Latency of neighbors of stalled connections (p50)")
        sharers = [
            (kind, 20, count) for kind in (STOPPED_READERS, UNREAD_ECHOES) for count in SHARERS
        ]
        for kind, count, sharing in [*((kind, 10, 0) for kind in KINDS), *sharers]:
            result = await measure_neighbors(
                self._cluster, kind, count=count, probes=self._options.probes, sharers=sharing
            )
            failures = [
                f"latency of neighbors: {latency}"
                for latency in (result.same, result.other)
                if latency.during > _MAX_LATENCY_RATIO * latency.before + _LATENCY_NOISE_S
            ]
            self._report.print_row(result.row(), *failures)

    async def run_burst(self) -> None:
        count = self._options.burst
        self._report.print_heading(f"{count} connections at once")
        with running_engine(self._cluster.kubeconfig) as engine:
            async with (
                open_session(engine) as session,
                running_forward(session, toolbox.ECHO) as forward,
            ):
                began = time.perf_counter()
                results = await asyncio.gather(
                    *(echo(forward.port) for _ in range(count)), return_exceptions=True
                )
                seconds = time.perf_counter() - began
                errors = [repr(each) for each in results if isinstance(each, BaseException)]
                self._report.print_row(
                    f"{count - len(errors)} served within {seconds:.2f} s; {engine.footprint()}",
                    *errors[:5],
                )
                await forward.wait_until_unused()
                await wait_until(
                    lambda: engine.footprint().sockets < _MAX_IDLE_SOCKETS, "closed sockets"
                )

    async def run_kills(self) -> None:
        count = self._options.kills
        self._report.print_heading(
            f"{count} kills of engine, watchdog and dashboard, during writes and rollouts"
        )
        results = await run_kills(self._cluster, count=count, seed=self._options.seed)
        *rows, summary = results.rows()
        for row in rows:
            self._report.print_row(row)
        self._report.print_row(summary, *results.violations, *results.bound_violations)

    async def run_engine_kills(self) -> None:
        count = self._options.engine_kills
        self._report.print_heading(f"{count} kills of the engine under traffic, with a dashboard")
        results = await run_engine_kills(self._cluster, count=count, seed=self._options.seed)
        *rows, summary = results.rows()
        for row in rows:
            self._report.print_row(row)
        self._report.print_row(summary, *results.violations)

    async def run_losses(self) -> None:
        count = self._options.losses
        self._report.print_heading(
            f"{count} losses of the dashboard's terminal at random moments, {MAX_END_S:g} s each"
        )
        results = await run_losses(count, self._options.seed)
        self._report.print_row(results.row(), *results.violations)

    async def run_edits(self) -> None:
        count = self._options.edits
        self._report.print_heading(f"{count} random edits of ten active profiles")
        try:
            self._report.print_row((await run_edits(count, self._options.seed)).row())
        except AssertionError as error:
            self._report.print_row("edits", str(error)[:4000] or repr(error))

    async def run_soak(self) -> None:
        minutes = self._options.minutes
        self._report.print_heading(f"{minutes:g} minutes of mixed load with random faults")
        try:
            self._report.print_row(
                await run_soak(
                    self._cluster,
                    seed=self._options.seed,
                    load_s=60 * minutes,
                    fault_interval_s=6.0,
                )
            )
        except AssertionError as error:
            self._report.print_row("soak", str(error)[:4000] or repr(error))


PARTS: dict[str, Callable[[Runner], Awaitable[None]]] = {
    "outages": Runner.run_outages,
    "stall": Runner.run_stall,
    "isolation": Runner.run_isolation,
    "burst": Runner.run_burst,
    "kills": Runner.run_kills,
    "engine-kills": Runner.run_engine_kills,
    "losses": Runner.run_losses,
    "edits": Runner.run_edits,
    "soak": Runner.run_soak,
}


async def run(options: argparse.Namespace) -> int:
    """Run the selected parts; return the exit code."""
    report = Report()
    with running_cluster() as cluster:
        runner = Runner(cluster, options, report)
        for name, run_part in PARTS.items():
            if not options.only or name in options.only:
                await run_part(runner)
    failed = len(report.failures)
    report.print_heading(f"{failed} checks failed" if failed else "All checks passed")
    return int(bool(failed))


def main() -> int:
    """Run the command line; return the exit code."""
    # Dashboards inherit an ignored SIGHUP, as that of nohup, and then survive their terminal.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    parser = argparse.ArgumentParser(
        prog="python -m tests.endurance",
        description="Run all endurance checks at full length and print their figures.",
    )
    integers = (
        ("times", 20, "repetitions of each outage"),
        ("seed", 1, "seed of all random choices"),
        ("probes", 60, "exchanges per median"),
        ("burst", 2000, "connections at once"),
        ("kills", 200, "kills of processes"),
        ("engine-kills", 200, "kills of the engine under traffic"),
        ("losses", 200, "losses of the dashboard's terminal"),
        ("edits", 5000, "edits of active profiles"),
    )
    for name, default, text in integers:
        parser.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"{text} ({default})"
        )
    parser.add_argument(
        "--minutes", type=float, default=10.0, metavar="N", help="minutes of the soak (10)"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=list(PARTS),
        help="run only this part; may be repeated (all)",
    )
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
