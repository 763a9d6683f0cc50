"""Run the benchmark and print its table."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench import measurements
from tests.bench.cluster_cpu import cpu_by_component
from tests.bench.forwarders import (
    KUBECTL_SPDY,
    KUBECTL_WEBSOCKET,
    OURS,
    OURS_PRECONNECT,
    OURS_WEBSOCKET,
    Forwarder,
    Running,
    forwarders,
    newest_kubectl,
)
from tests.bench.list_benchmark import Listing, listings
from tests.bench.result_table import Ratio, as_json, say, table
from tests.bench.rounds import Rounds, Section
from tests.bench.sections import FULL, MEASURES, REPLACEMENT, ROWS, SHORT, Scale, section
from tests.bench.toolbox import DEPLOYMENT, NAMESPACE, Toolbox
from tests.support.cluster_process import running_cluster

RATIOS = (
    Ratio(OURS, KUBECTL_SPDY, is_judged=True),
    Ratio(OURS, KUBECTL_WEBSOCKET),
    Ratio(OURS_WEBSOCKET, KUBECTL_WEBSOCKET),
    Ratio(OURS_PRECONNECT, KUBECTL_SPDY),
)
REPLACED = "replaced"
LISTING = "listing"
PARTS = (*MEASURES, REPLACED, LISTING)
# Within a minute and a half, with the rivals that ratios are about.
SHORT_PARTS = ("speed", "burst", "ping-pong", "crowds", "quiet")
SHORT_FORWARDERS = (OURS, KUBECTL_SPDY)


class Bench:
    """Benchmark of forwarders to one pod of one cluster; without `pod`, it creates one."""

    def __init__(self, kubeconfig: Path, chosen: Sequence[Forwarder], pod: str = "") -> None:
        self._kubeconfig = kubeconfig
        self._chosen = {forwarder.name: forwarder for forwarder in chosen}
        self._toolbox = Toolbox(kubeconfig)
        self._pod = pod or self._toolbox.create()
        self.rounds: Rounds[Running] = Rounds(tuple(self._chosen), self._start)

    def measure(self, parts: Sequence[str], scale: Scale, rounds: int) -> None:
        """Measure the parts; an interrupt ends this, and what was measured stays."""
        try:
            for part in MEASURES:
                if part in parts:
                    self.rounds.run(section(part, scale), rounds)
            if REPLACED in parts:
                self.measure_replacements(rounds)
        except KeyboardInterrupt:
            say("interrupted: the table has what was measured until then")

    def _start(self, name: str) -> Running:
        return self._chosen[name].start(
            self._kubeconfig, NAMESPACE, f"pod/{self._pod}", measurements.PORTS
        )

    def measure_replacements(self, rounds: int) -> None:
        """Measure from readiness of a replacement to the first byte of a queued connection."""
        ours = [name for name in self._chosen if name.startswith(OURS)]  # the others end, or hang
        replaced: Rounds[Running] = Rounds(ours, self._start_on_deployment)
        replaced.run(Section(REPLACED, self._replace), rounds)
        for row, by_name in replaced.samples.items():
            self.rounds.samples[row].update(by_name)
        for name, sentences in replaced.failures.items():
            self.rounds.failures[name] += sentences

    def _start_on_deployment(self, name: str) -> Running:
        return self._chosen[name].start(self._kubeconfig, NAMESPACE, DEPLOYMENT, measurements.PORTS)

    def _replace(self, running: Running) -> dict[str, float]:
        old, _ = self._toolbox.ready()
        self._toolbox.delete(old)
        deadline = time.perf_counter() + measurements.TIMEOUT_S
        while time.perf_counter() < deadline:
            self._pod, ready = self._toolbox.ready(other_than=old)
            with (
                contextlib.suppress(OSError),
                measurements.connected(running, measurements.ECHO) as sock,
            ):
                sock.sendall(b"x")
                if sock.recv(1) == b"x":
                    return {REPLACEMENT: (time.perf_counter() - ready) * 1e3}
        raise TimeoutError("no connection reached the replacement")


def main() -> int:
    """Run all benchmarks."""
    options = _parser().parse_args()
    parts = options.only or (SHORT_PARTS if options.short else PARTS)
    if options.kubeconfig is not None:
        parts = [part for part in parts if part in MEASURES]
    names = options.forwarder or (SHORT_FORWARDERS if options.short else None)
    chosen = [one for one in forwarders() if names is None or one.name in names]
    say(f"{os.cpu_count()} cores; " + ", ".join(forwarder.name for forwarder in chosen))
    kubectl = str(newest_kubectl() or "no kubectl")
    say(kubectl)
    result: dict[str, object] = {"cores": os.cpu_count(), "kubectl": kubectl}
    scale = SHORT if options.short else FULL
    rounds = options.rounds or (2 if options.short else 5)

    if options.kubeconfig is not None:
        bench = Bench(options.kubeconfig, chosen, options.pod)
        bench.measure(parts, scale, rounds)
        result |= _print_rounds(bench.rounds)
    elif set(parts) - {LISTING}:
        with running_cluster("--runtime", options.runtime) as cluster:
            bench = Bench(cluster.kubeconfig, chosen)
            bench.measure(parts, scale, rounds)
            spent = cpu_by_component(cluster.process.pid)
        result |= _print_rounds(bench.rounds)
        hops = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in sorted(spent.items()))
        sys.stdout.write(f"\nCPU of the cluster: {hops}\n")
    if LISTING in parts:
        say(f"listing {options.pods:,} pods")
        with running_cluster("--pods", str(options.pods)) as cluster:
            found = listings(cluster.kubeconfig)
        _print_listings(found)
        result["listings"] = [vars(one) for one in found]
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--short", action="store_true", help="beside kubectl only, in 90 s")
    parser.add_argument("--rounds", type=int, help="rounds of each part (5; short: 2)")
    parser.add_argument("--pods", type=int, default=10_000, help="pods to list (10000)")
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part")
    parser.add_argument("--forwarder", action="append", help="only these (by name)")
    parser.add_argument("--runtime", default="embedded", help="the cluster's runtime")
    parser.add_argument(
        "--kubeconfig", type=Path, help="measure on the current context of this file, with --pod"
    )
    parser.add_argument(
        "--pod",
        help="a pod there, in the namespace default, that runs `python -m "
        "tui_forward.minicluster.runtime.apps toolbox` (else: a Deployment with the image "
        "local/toolbox)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
    return parser


def _print_rounds(rounds: Rounds[Running]) -> dict[str, object]:
    shown = (ROWS, rounds.names, rounds.samples, RATIOS, rounds.failures)
    sys.stdout.write(table(*shown))
    return as_json(*shown)


def _print_listings(found: Sequence[Listing]) -> None:
    sys.stdout.write(
        f"\n{'listing':<30}{'first page s':>14}{'all s':>9}{'peak MiB':>10}{'pods':>9}\n"
    )
    for one in found:
        if one.problem:
            sys.stdout.write(f"{one.name:<30}{one.problem}\n")
            continue
        first = f"{one.first_s:.2f}" if one.first_s is not None else "–"
        peak = f"{one.peak_mib:.0f}" if one.peak_mib else "–"
        sys.stdout.write(f"{one.name:<30}{first:>14}{one.all_s:>9.2f}{peak:>10}{one.count:>9}\n")


if __name__ == "__main__":
    sys.exit(main())
