"""Run the benchmark and print its table."""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import measurements
from tests.bench.cluster_cpu import cpu_by_component
from tests.bench.forwarders import (
    KUBECTL_SPDY,
    KUBECTL_WEBSOCKET,
    OURS,
    Forwarder,
    Running,
    forwarders,
)
from tests.bench.list_benchmark import listings
from tests.bench.result_table import Row, say, table
from tests.bench.toolbox import DEPLOYMENT, NAMESPACE, Toolbox
from tests.support.cluster_process import ClusterProcess, running_cluster

Figures = dict[str, dict[str, float | None]]  # row -> forwarder -> figure

# Row, unit, whether more is better.
ROWS = (
    Row("download", "MiB/s", more_is_better=True, target=1.2),
    Row("upload", "MiB/s", more_is_better=True, target=1.2),
    Row("client CPU, download", "s/GiB", target=0.7, digits=2),
    Row("client CPU, upload", "s/GiB", target=0.7, digits=2),
    Row("client busy, download", "% of a core"),
    Row("client busy, upload", "% of a core"),
    Row("connect + first byte p50", "ms", target=0.65, digits=2),
    Row("connect + first byte p99", "ms", digits=2),
    Row("round trip p50", "ms", target=1.0, digits=3),
    Row("round trip p99", "ms", digits=3),
    Row("1,000 at once, failed", "", target=1.0),
    Row("1,000 at once, first byte p50", "ms"),
    Row("2,000 at once, failed", "", target=1.0),
    Row("2,000 at once, first byte p50", "ms"),
    Row("peak memory after all that", "MiB", target=0.5),
    Row("beside 10 stopped readers p50", "ms", digits=2),
    Row("beside 10 stopped servers p50", "ms", digits=2),
    Row("works after they have ended", "yes/no"),
    Row("pod replaced: first byte after Ready", "ms"),
)


class Bench:
    """Benchmark of all forwarders on one cluster, in turns."""

    def __init__(
        self, cluster: ClusterProcess, chosen: list[Forwarder], size: int, rounds: int
    ) -> None:
        self.cluster = cluster
        self.chosen = chosen
        self.size = size
        self.rounds = rounds
        self.toolbox = Toolbox(cluster.kubeconfig)
        self.pod = self.toolbox.create()
        self.samples: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.figures: Figures = defaultdict(dict)

    def start(self, forwarder: Forwarder, target: str = "") -> Running:
        """Start a forwarder on the pod."""
        return forwarder.start(
            self.cluster.kubeconfig, NAMESPACE, target or f"pod/{self.pod}", measurements.PORTS
        )

    @contextlib.contextmanager
    def all_running(self) -> Iterator[list[Running]]:
        """Start all forwarders at the same time."""
        with contextlib.ExitStack() as stack:
            running = []
            for forwarder in self.chosen:
                running.append(self.start(forwarder))
                stack.callback(running[-1].stop)
            yield running

    def add(self, row: str, running: Running, figure: float) -> None:
        """Record one sample of a figure."""
        self.samples[row][running.forwarder.name].append(figure)

    def speed(self) -> None:
        """Measure throughput, CPU and latency: medians of alternating rounds."""
        with self.all_running() as everyone:
            for running in everyone:
                measurements.connects(running, 20)  # warm
            for turn in range(self.rounds):
                say(f"speed, round {turn + 1} of {self.rounds}")
                for running in everyone:
                    self.attempt(running, self._speed_of)
        for row, by_name in self.samples.items():
            for name, figures in by_name.items():
                self.figures[row][name] = statistics.median(figures)

    def _speed_of(self, running: Running) -> None:
        down = measurements.download(running, self.size)
        self.add("download", running, down.mib_s)
        self.add("client CPU, download", running, down.cpu_s_per_gib)
        self.add("client busy, download", running, down.busy_percent)
        up = measurements.upload(running, self.size)
        self.add("upload", running, up.mib_s)
        self.add("client CPU, upload", running, up.cpu_s_per_gib)
        self.add("client busy, upload", running, up.busy_percent)
        connects = measurements.connects(running, 100)
        self.add("connect + first byte p50", running, connects.p50_ms)
        self.add("connect + first byte p99", running, connects.p99_ms)
        trips = measurements.round_trips(running, 500)
        self.add("round trip p50", running, trips.p50_ms)
        self.add("round trip p99", running, trips.p99_ms)

    def attempt(self, running: Running, what: Callable[[Running], None]) -> None:
        """Leave the cell empty when a forwarder fails."""
        try:
            what(running)
        except (OSError, RuntimeError) as error:
            say(f"{running.forwarder.name}: {error}")

    def each_alone(self, title: str, what: Callable[[Running], None]) -> None:
        """Start a new process for each forwarder, one after another."""
        for forwarder in self.chosen:
            say(f"{title}: {forwarder.name}")
            running = self.start(forwarder)
            try:
                self.attempt(running, what)
            finally:
                running.stop()

    def crowds(self, running: Running) -> None:
        """Measure many concurrent connections."""
        name = running.forwarder.name
        for count in (1000, 2000):
            # The slow rival is spared the second helping.
            crowd = measurements.crowd(running, count, timeout_s=30 if count == 1000 else 60)
            self.figures[f"{count:,} at once, failed"][name] = crowd.failed
            self.figures[f"{count:,} at once, first byte p50"][name] = crowd.first_byte.p50_ms
        self.figures["peak memory after all that"][name] = running.peak_bytes() / measurements.MIB

    def stalled(self, running: Running) -> None:
        """Measure connections next to stalled ones."""
        name = running.forwarder.name
        for row, port in (
            ("beside 10 stopped readers p50", measurements.SOURCE),
            ("beside 10 stopped servers p50", measurements.NEVER_READS),
        ):
            spread = measurements.beside_stalled(running, port, 10, 30) if running.alive else None
            self.figures[row][name] = spread.p50_ms if spread else None
        works = measurements.recovers(running)
        self.figures["works after they have ended"][name] = 1.0 if works else 0.0

    def replacement(self) -> None:
        """Measure from readiness of the replacement to the first byte of a queued connection."""
        for forwarder in self.chosen:
            if not forwarder.name.startswith(OURS):
                continue  # the others end, or go on to the pod that is gone
            running = self.start(forwarder, DEPLOYMENT)
            try:
                times = []
                for turn in range(self.rounds):
                    say(f"pod replaced, {turn + 1} of {self.rounds}: {forwarder.name}")
                    old, _ = self.toolbox.ready()
                    self.toolbox.delete(old)
                    while True:
                        try:
                            self.pod, ready = self.toolbox.ready(other_than=old)
                            with measurements.connected(running, measurements.ECHO) as sock:
                                sock.sendall(b"x")
                                if sock.recv(1) == b"x":
                                    times.append(time.perf_counter() - ready)
                                    break
                        except OSError:
                            continue
                self.figures["pod replaced: first byte after Ready"][forwarder.name] = (
                    statistics.median(times) * 1e3
                )
            finally:
                running.stop()


def main() -> int:
    """Run all benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--size", type=int, default=256, help="MiB per transfer (256)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of the speed test (5)")
    parser.add_argument("--pods", type=int, default=10_000, help="pods to list (10000)")
    parser.add_argument(
        "--only", choices=("speed", "crowds", "stalled", "replaced", "listing"), action="append"
    )
    parser.add_argument("--forwarder", action="append", help="only these (by name)")
    parser.add_argument("--runtime", default="embedded", help="the cluster's runtime")
    options = parser.parse_args()
    wanted = set(options.only or ("speed", "crowds", "stalled", "replaced", "listing"))
    chosen = [f for f in forwarders() if not options.forwarder or f.name in options.forwarder]
    say(f"{os.cpu_count()} cores; " + ", ".join(forwarder.name for forwarder in chosen))

    if wanted - {"listing"}:
        with running_cluster("--runtime", options.runtime) as cluster:
            bench = Bench(cluster, chosen, options.size * measurements.MIB, options.rounds)
            if "speed" in wanted:
                bench.speed()
            if "crowds" in wanted:
                bench.each_alone("many at once", bench.crowds)
            if "stalled" in wanted:
                bench.each_alone("stalled neighbours", bench.stalled)
            if "replaced" in wanted:
                bench.replacement()
            spent = cpu_by_component(cluster.process.pid)
        names = [forwarder.name for forwarder in chosen]
        sys.stdout.write(table(ROWS, names, bench.figures, (KUBECTL_WEBSOCKET, KUBECTL_SPDY)))
        hops = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in sorted(spent.items()))
        sys.stdout.write(f"\nCPU of the cluster: {hops}\n")
    if "listing" in wanted:
        say(f"listing {options.pods:,} pods")
        with running_cluster("--pods", str(options.pods)) as cluster:
            _print_listings(cluster.kubeconfig)
    return 0


def _print_listings(kubeconfig: Path) -> None:
    sys.stdout.write(
        f"\n{'listing':<30}{'first page s':>14}{'all s':>9}{'peak MiB':>10}{'pods':>9}\n"
    )
    for found in listings(kubeconfig):
        first = f"{found.first_s:.2f}" if found.first_s is not None else "–"
        peak = f"{found.peak_mib:.0f}" if found.peak_mib else "–"
        sys.stdout.write(
            f"{found.name:<30}{first:>14}{found.all_s:>9.2f}{peak:>10}{found.count:>9}\n"
        )


if __name__ == "__main__":
    sys.exit(main())
