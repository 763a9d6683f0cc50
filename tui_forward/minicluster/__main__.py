"""`python -m tui_forward.minicluster`: run an embedded cluster, or inject a fault into one."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shlex
import signal
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec

from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.minicluster.cluster_components import RUNTIMES, ClusterOptions
from tui_forward.minicluster.control_socket import ControlClient, parse_fields
from tui_forward.minicluster.process_lifecycle import (
    loop_factory,
    process_exists,
    signal_on_parent_death,
)
from tui_forward.minicluster.supervisor import ClusterSupervisor

OWNER_POLL_S = 0.5


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="minicluster", description="Run a small Kubernetes on loopback for port-forwards."
    )
    # The destinations are the fields of `ClusterOptions`.
    add, on, off = top.add_argument, "store_true", "store_false"
    add(
        "--dir",
        type=Path,
        dest="folder",
        metavar="DIR",
        help="folder for all files (default: temporary)",
    )
    add("--port", type=int, default=0, help="port of the API server (default: any)")
    add("--runtime", choices=RUNTIMES, default="embedded")
    add("--containerd-socket", default=ClusterOptions.containerd_socket)
    add(
        "--nodes",
        type=lambda text: tuple(filter(None, text.split(","))),
        default=ClusterOptions.nodes,
        help="names of the nodes, separated by commas",
    )
    add("--pods", type=int, default=0, help="number of synthetic pods")
    add("--churn", type=float, default=0.0, help="changes of synthetic pods per second")
    add("--seed", type=int, help="seed of names and UIDs")
    add("--plain-http", action=on, help="serve without TLS; every user is the administrator")
    add("--no-workloads", action=off, dest="workloads", help="do not create the sample workloads")
    add("--no-settle", action=off, dest="settle", help="do not wait until the pods are ready")
    add(
        "--replace-delay",
        type=float,
        default=0.0,
        dest="replace_delay_s",
        metavar="REPLACE_DELAY",
        help="seconds before a pod is replaced",
    )
    add(
        "--max-container-restart-period",
        type=float,
        default=ClusterOptions.max_restart_period_s,
        dest="max_restart_period_s",
        metavar="SECONDS",
        help="longest delay before a container that ended is started again, as in a kubelet's "
        "crashLoopBackOff (default: %(default)g)",
    )
    add("--json", action=on, help="print the ready line as JSON")
    add("--parent-pid", type=int, help="stop when this process ends")
    commands = top.add_subparsers(dest="command")
    fault = commands.add_parser("fault", help="inject a fault into a running cluster")
    fault.add_argument("--control", required=True, help="control socket of the cluster")
    fault.add_argument("fault", help="name of the fault, see minicluster.control_socket")
    fault.add_argument("fields", nargs="*", metavar="key=value")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = create_parser().parse_args(arguments)
    try:
        if options.command == "fault":
            return _inject_fault(options)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_serve(options))
    except TuiForwardError as error:
        hint = f" ({error.hint})" if error.hint else ""
        sys.stderr.write(f"minicluster: {error}{hint}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _inject_fault(options: argparse.Namespace) -> int:
    fields: dict[str, Any] = parse_fields(options.fields)
    reply = ControlClient(options.control, timeout_s=60.0).send(options.fault, **fields)
    sys.stdout.write(msgspec.json.encode(reply).decode() + "\n")
    return 0


async def _serve(options: argparse.Namespace) -> int:
    stop_requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(signum, stop_requested.set)
    if options.parent_pid is not None and options.parent_pid == os.getppid():
        signal_on_parent_death()
    values = {each.name: getattr(options, each.name) for each in fields(ClusterOptions)}
    cluster = ClusterSupervisor(ClusterOptions(**values))
    owner_watcher = asyncio.ensure_future(_watch_owner(options.parent_pid, stop_requested))
    starting = asyncio.ensure_future(cluster.start())
    stopping = asyncio.ensure_future(stop_requested.wait())
    lost = asyncio.ensure_future(cluster.wait_until_lost())
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            _print_ready(cluster, as_json=options.json)
            await asyncio.wait((stopping, lost), return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                raise TransportError("the fork server of the components has ended")
        return 0
    finally:
        tasks = (owner_watcher, starting, stopping, lost)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await cluster.close()


def _print_ready(cluster: ClusterSupervisor, *, as_json: bool) -> None:
    if as_json:
        ready = {
            "ready": True,
            "kubeconfig": str(cluster.kubeconfig),
            "server": cluster.server,
            "control": str(cluster.control),
            "dir": str(cluster.folder),
            "pid": os.getpid(),
        }
        sys.stdout.write(msgspec.json.encode(ready).decode() + "\n")
    else:
        sys.stdout.write(f"export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}\n")
        sys.stderr.write(f"API server: {cluster.server}\nControl socket: {cluster.control}\n")
    with contextlib.suppress(OSError):
        sys.stdout.flush()


async def _watch_owner(pid: int | None, ended: asyncio.Event) -> None:
    """Set `ended` when a process has exited."""
    if pid is None:
        return
    while process_exists(pid):  # noqa: ASYNC110 - another process
        await asyncio.sleep(OWNER_POLL_S)
    ended.set()


if __name__ == "__main__":
    sys.exit(main())
