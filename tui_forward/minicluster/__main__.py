"""`python -m tui_forward.minicluster`: the embedded cluster in the foreground; faults by hand."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from tui_forward.errors import TuiForwardError
from tui_forward.minicluster.control_socket import ControlClient, parse_fields
from tui_forward.minicluster.process_lifecycle import loop_factory, signal_on_parent_death
from tui_forward.minicluster.supervisor import RUNTIMES, ClusterOptions, ClusterSupervisor

OWNER_POLL_S = 0.5


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="minicluster", description="A small Kubernetes on loopback, for port-forwards."
    )
    top.add_argument("--dir", type=Path, help="folder for everything (a temporary one)")
    top.add_argument("--port", type=int, default=0, help="port of the API server (any)")
    top.add_argument("--runtime", choices=RUNTIMES, default="embedded")
    top.add_argument("--containerd-socket", default=ClusterOptions.containerd_socket)
    top.add_argument("--nodes", default=",".join(ClusterOptions.nodes), help="names of the nodes")
    top.add_argument("--pods", type=int, default=0, help="generate so many pods besides")
    top.add_argument("--churn", type=float, default=0.0, help="changes per second among them")
    top.add_argument("--seed", type=int, help="the same names on every start")
    top.add_argument("--plain-http", action="store_true", help="no TLS, everybody is admin")
    top.add_argument("--no-workloads", action="store_true", help="start with empty namespaces")
    top.add_argument("--no-settle", action="store_true", help="do not wait for the pods")
    top.add_argument("--replace-delay", type=float, default=0.0, help="before a pod is replaced")
    top.add_argument("--json", action="store_true", help="print the ready line as JSON")
    top.add_argument("--parent-pid", type=int, help="end when this process ends")
    commands = top.add_subparsers(dest="command")
    fault = commands.add_parser("fault", help="ask a running cluster for a fault")
    fault.add_argument("--control", required=True, help="its control socket")
    fault.add_argument("fault", help="see minicluster.control")
    fault.add_argument("fields", nargs="*", metavar="key=value")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run; gives the exit code."""
    options = parser().parse_args(arguments)
    try:
        if options.command == "fault":
            return _fault(options)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_serve(options))
    except TuiForwardError as error:
        hint = f" ({error.hint})" if error.hint else ""
        sys.stderr.write(f"minicluster: {error}{hint}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _fault(options: argparse.Namespace) -> int:
    fields: dict[str, Any] = parse_fields(options.fields)
    answer = ControlClient(options.control, timeout_s=60.0).send(options.fault, **fields)
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    return 0


async def _serve(options: argparse.Namespace) -> int:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(signum, ending.set)
    if options.parent_pid is not None and options.parent_pid == os.getppid():
        signal_on_parent_death()
    cluster = ClusterSupervisor(
        ClusterOptions(
            folder=options.dir,
            port=options.port,
            runtime=options.runtime,
            nodes=tuple(filter(None, options.nodes.split(","))),
            pods=options.pods,
            churn=options.churn,
            seed=options.seed,
            plain_http=options.plain_http,
            workloads=not options.no_workloads,
            settle=not options.no_settle,
            containerd_socket=options.containerd_socket,
            replace_delay_s=options.replace_delay,
        )
    )
    watching = asyncio.ensure_future(_watch_owner(options.parent_pid, ending))
    starting = asyncio.ensure_future(cluster.start())
    stopping = asyncio.ensure_future(ending.wait())
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            _announce(cluster, as_json=options.json)
            await stopping
        return 0
    finally:
        for task in (watching, starting, stopping):
            task.cancel()
        await asyncio.gather(watching, starting, stopping, return_exceptions=True)
        await cluster.close()


def _announce(cluster: ClusterSupervisor, *, as_json: bool) -> None:
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
        sys.stderr.write(f"serving at {cluster.server}; faults at {cluster.control}\n")
    with contextlib.suppress(OSError):
        sys.stdout.flush()


async def _watch_owner(pid: int | None, ending: asyncio.Event) -> None:
    """Set `ending` once a process is gone."""
    if pid is None:
        return
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            ending.set()
            return
        except PermissionError:
            pass  # it lives, and is somebody else's
        await asyncio.sleep(OWNER_POLL_S)


if __name__ == "__main__":
    sys.exit(main())
