"""`python -m tests.bench.idle_benchmark`: what a quiet dashboard and its engine cost."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time

import psutil

from tests.bench.dashboard_benchmark import Figure, dashboard, engines, environment, let_go
from tests.bench.measurements import PORTS
from tests.bench.result_table import say
from tests.bench.toolbox import DEPLOYMENT, NAMESPACE, Toolbox
from tests.bench.wakeups import activity
from tests.support.cluster_process import running_cluster
from tui_forward.daemon import connect
from tui_forward.model import ForwardSpec, Target, TargetKind
from tui_forward.session import Session

FORWARDS = 15
# Ages are in minutes from then on.
SETTLED_S = 75.0


async def start_forwards(session: Session) -> None:
    """Start all forwards, to one deployment."""
    context = next(one.name for one in await session.contexts() if one.current)
    name = DEPLOYMENT.partition("/")[2]
    for number in range(FORWARDS):
        port = str(PORTS[number % len(PORTS)])
        target = Target(
            context=context, namespace=NAMESPACE, kind=TargetKind.DEPLOYMENT, name=name, port=port
        )
        await session.start(ForwardSpec(target=target))


def measure(env: dict[str, str], settled_s: float, seconds: float) -> list[Figure]:
    """Measure both processes after a while."""
    with asyncio.Runner() as runner:
        session = runner.run(connect(environ=env))
        try:
            runner.run(start_forwards(session))
            with dashboard(env) as terminal:
                terminal.shows(rf"{FORWARDS} forwards[\s\S]*● {FORWARDS} ready")
                say(f"waiting {settled_s:.0f} s, then measuring for {seconds:.0f} s")
                time.sleep(settled_s)
                found = [
                    *engines(env["KUBECONFIG"]), psutil.Process(terminal.process.pid)
                ]  # fmt: skip
                done = activity((one.pid for one in found), seconds)
        finally:
            runner.run(let_go(session))
    return [
        Figure(f"{FORWARDS} quiet forwards, wakeups", done.wakeups_per_s, "/s", 5, digits=1),
        Figure(f"{FORWARDS} quiet forwards, busy", done.busy_percent, "% core", 0.3, digits=2),
    ]


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.idle_benchmark")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the measurement (30)")
    parser.add_argument("--settled", type=float, default=SETTLED_S, help="seconds before it (75)")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="tui-forward-bench-") as home,
        # Without the sample workloads, some of which crash all the time.
        running_cluster("--no-workloads") as cluster,
    ):
        Toolbox(cluster.kubeconfig).create()
        env = environment(home, cluster.kubeconfig)
        figures = measure(env, options.settled, options.seconds)
    sys.stdout.write("".join(f"{figure}\n" for figure in figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
