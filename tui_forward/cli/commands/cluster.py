"""`tui-forward cluster`: the embedded cluster alone, and its faults."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click

from tui_forward.cli.output import style, use_color
from tui_forward.errors import TuiForwardError, UsageError

if TYPE_CHECKING:
    from tui_forward.cli.embedded_cluster import EmbeddedCluster

# Changes per second of each generated pod.
_CHURN_PER_POD = 0.002


@click.group(
    invoke_without_command=True,
    short_help="Run the embedded cluster by itself.",
    subcommand_metavar="[fault ...]",
)
@click.option(
    "--runtime",
    type=click.Choice(["embedded", "relay", "containerd"]),
    default="embedded",
    help="What pods are: servers in Python, behind a relay, or real containers.",
    show_default=True,
)
@click.option(
    "--pods",
    type=click.IntRange(0, 100_000),
    default=0,
    metavar="N",
    help="N more pods, with churn.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="Port of the API server; any free one by default.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what is ready as one JSON object.")
@click.pass_context
def cluster(ctx: click.Context, runtime: str, pods: int, port: int, as_json: bool) -> None:
    """Run a small Kubernetes on loopback, until Ctrl-C.

    It is the whole chain of a real one: API server, kubelets, container runtime, pods. kubectl
    works with it; so does `tui-forward` in another terminal.
    """
    if ctx.invoked_subcommand is not None:
        return
    # Generated pods come and go as those of a busy cluster do.
    churn = pods * _CHURN_PER_POD
    arguments = ["--runtime", runtime, "--pods", str(pods), "--port", str(port)]
    arguments += ["--churn", f"{churn:.3f}"]
    from tui_forward.cli.sessions import run_async, run_until_signal

    run_async(run_until_signal(_serve(arguments, as_json=as_json)))


async def _serve(arguments: list[str], *, as_json: bool) -> None:
    """For ever; that the cluster ends by itself is a failure."""
    from tui_forward.cli.embedded_cluster import embedded_cluster

    async with embedded_cluster(arguments) as running:
        _announce(running, as_json=as_json)
        code = await running.process.wait()
    raise TuiForwardError(f"the embedded cluster ended by itself with code {code}")


def _announce(running: EmbeddedCluster, *, as_json: bool) -> None:
    """The data on stdout; how to go on on stderr."""
    if as_json:
        import json

        fields = ("kubeconfig", "server", "control")
        click.echo(json.dumps({name: getattr(running, name) for name in fields}))
        return
    click.echo(f"export KUBECONFIG={shlex.quote(running.kubeconfig)}")
    color = use_color(sys.stderr)
    click.echo(
        f"{style('ready:', '32', color=color)} API server at {running.server}\n"
        f"faults: tui-forward cluster fault --control {shlex.quote(running.control)} NAME ...\n"
        "Ctrl-C ends it",
        err=True,
    )


@cluster.command(short_help="Disturb a running embedded cluster.")
@click.argument("name")
@click.argument("fields", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--control",
    metavar="SOCKET",
    envvar="TUI_FORWARD_CONTROL",
    help="Control socket of the cluster, as it printed it. [default: beside $KUBECONFIG]",
)
def fault(name: str, fields: tuple[str, ...], control: str | None) -> None:
    r"""Ask a running embedded cluster for a fault, and print its answer.

    \b
    Some faults:
      status
      delete-pod   namespace=shop pod=web-1
      crash-pod    namespace=shop pod=web-1
      restart-hop  hop=apiserver | hop=kubelet | hop=runtime
      cut          hop=apiserver
      stall        hop=kubelet for_s=10
      refuse       status=403
      compact
      clear
    """
    import json

    from tui_forward.minicluster.control_socket import ControlClient, parse_fields

    answer = ControlClient(control or _control_beside_kubeconfig()).send(
        name, **parse_fields(list(fields))
    )
    click.echo(json.dumps(answer))


def _control_beside_kubeconfig() -> str:
    """The control socket of the cluster that $KUBECONFIG is of."""
    import os
    from pathlib import Path

    for path in os.environ.get("KUBECONFIG", "").split(os.pathsep):
        socket = Path(path).parent / "control.sock"
        if path and socket.is_socket():
            return str(socket)
    raise UsageError(
        "no control socket given, and none beside $KUBECONFIG",
        hint="pass the one that `tui-forward cluster` printed as --control SOCKET",
    )
