"""`tui-forward cluster`: the embedded cluster by itself, its faults and users."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click

from tui_forward.cli.output import style, use_color
from tui_forward.errors import TuiForwardError, UsageError

if TYPE_CHECKING:
    from tui_forward.api.embedded_cluster import EmbeddedCluster

# Changes per second of each generated pod.
_CHURN_PER_POD = 0.002

_FAULTS_HELP = """\
\b
Some faults:
  status
  delete-pod         namespace=shop pod=web-1
  crash-pod          namespace=shop pod=web-1
  restart-component  component=apiserver (or kubelet, runtime)
  cut                component=apiserver
  stall              component=kubelet for_s=10
  refuse             status=403
  compact
  clear
"""


@click.group(
    invoke_without_command=True,
    short_help="Run the embedded cluster by itself.",
    subcommand_metavar="[fault|user ...]",
)
@click.option(
    "--runtime",
    type=click.Choice(["embedded", "relay", "containerd"]),
    default="embedded",
    help="Pods as Python servers, as such behind a relay, or as real containers.",
    show_default=True,
)
@click.option(
    "--pods",
    type=click.IntRange(0, 100_000),
    default=0,
    metavar="N",
    help="Add N pods, with churn.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="Port of the API server; any free one by default.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the addresses as one JSON object.")
@click.pass_context
def cluster(ctx: click.Context, runtime: str, pods: int, port: int, as_json: bool) -> None:
    """Run a small Kubernetes on loopback, until Ctrl-C.

    It has the components of a real cluster: API server, kubelets, container runtime and pods. Use
    it with kubectl, or with `tui-forward` in another terminal.
    """
    if ctx.invoked_subcommand is not None:
        return
    churn = pods * _CHURN_PER_POD
    arguments = ["--runtime", runtime, "--pods", str(pods), "--port", str(port)]
    arguments += ["--churn", f"{churn:.3f}"]
    import asyncio

    from tui_forward.cli.signals import run_until_signal

    asyncio.run(run_until_signal(_serve(arguments, as_json=as_json)))


async def _serve(arguments: list[str], *, as_json: bool) -> None:
    """Run the cluster until this task is canceled; raise if the cluster ends by itself."""
    from tui_forward.api.embedded_cluster import embedded_cluster

    async with embedded_cluster(arguments) as running:
        _announce(running, as_json=as_json)
        code = await running.process.wait()
    raise TuiForwardError(f"the embedded cluster ended by itself with code {code}")


def _announce(running: EmbeddedCluster, *, as_json: bool) -> None:
    """Print the addresses on stdout and instructions on stderr."""
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
        "stop it with Ctrl-C",
        err=True,
    )


_control_option = click.option(
    "--control",
    metavar="SOCKET",
    envvar="TUI_FORWARD_CONTROL",
    help="Control socket of the cluster, as it printed it. [default: beside $KUBECONFIG]",
)


@cluster.command(epilog=_FAULTS_HELP, short_help="Inject a fault into a running embedded cluster.")
@click.argument("name")
@click.argument("fields", nargs=-1, metavar="[KEY=VALUE]...")
@_control_option
def fault(name: str, fields: tuple[str, ...], control: str | None) -> None:
    """Inject a fault into a running embedded cluster and print its response."""
    import json

    from tui_forward.minicluster.control_socket import ControlClient, parse_fields

    response = ControlClient(control or _control_beside_kubeconfig()).send(
        name, **parse_fields(list(fields))
    )
    click.echo(json.dumps(response))


@cluster.command(short_help="Add a user to a running embedded cluster.")
@click.argument("name")
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="A group of the user.")
@click.option("-n", "--namespace", default="", help="Namespace of the user's context.")
@_control_option
def user(name: str, groups: tuple[str, ...], namespace: str, control: str | None) -> None:
    """Add a user to a running embedded cluster, and a context of the same name to its kubeconfig.

    The user may do nothing until a Role and a RoleBinding allow it. A service account is the user
    system:serviceaccount:NAMESPACE:NAME.
    """
    from tui_forward.minicluster.control_socket import ControlClient

    response = ControlClient(control or _control_beside_kubeconfig()).send(
        "add-user", user=name, groups=groups, namespace=namespace
    )
    click.echo(response["context"])


def _control_beside_kubeconfig() -> str:
    """Return the control socket in the folder of an embedded cluster's $KUBECONFIG."""
    import os
    from pathlib import Path

    for path in os.environ.get("KUBECONFIG", "").split(os.pathsep):
        socket = Path(path).parent / "control.sock"
        if path and socket.is_socket():
            return str(socket)
    raise UsageError(
        "no control socket given, and none found beside $KUBECONFIG",
        hint="pass --control SOCKET as printed by `tui-forward cluster`",
    )
