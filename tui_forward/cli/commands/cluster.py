"""`tui-forward cluster`: the embedded cluster by itself, its faults and users."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from tui_forward.cli.output import style, use_color
from tui_forward.errors import TuiForwardError, UsageError

if TYPE_CHECKING:
    from tui_forward.api.embedded_cluster import EmbeddedCluster

# A pod of a fault may take seconds to get into its state.
_FAULT_TIMEOUT_S = 60.0
# Changes per second of each generated pod.
_CHURN_PER_POD = 0.002

_FAULTS_HELP = """\
\b
Events and requests to single components have fields, such as:
  status
  delete-pod         namespace=shop pod=web-1
  crash-pod          namespace=shop pod=web-1
  restart-component  component=apiserver (or kubelet, runtime)
  cut                component=apiserver
  stall              component=kubelet for_s=10
  refuse             status=403
  compact
  clear              (ends all faults)
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
    help="Control socket of the cluster. [default: of the cluster of $KUBECONFIG, or that runs]",
)


def _complete_fault(
    ctx: click.Context,  # noqa: ARG001 - as Click calls it
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[str]:
    from tui_forward.minicluster.named_faults import BY_NAME

    return [name for name in ("list", *BY_NAME) if name.startswith(incomplete)]


@cluster.command(epilog=_FAULTS_HELP, short_help="Inject a fault into a running embedded cluster.")
@click.argument("name", shell_complete=_complete_fault)
@click.argument("fields", nargs=-1, metavar="[on|off] [KEY=VALUE]...")
@_control_option
@click.option("--json", "as_json", is_flag=True, help="Print the list as one JSON object a line.")
def fault(name: str, fields: tuple[str, ...], control: str | None, as_json: bool) -> None:
    """Turn a fault of a running embedded cluster on or off.

    `list` shows all of them. Faults of pods, services and ports are objects in the namespace
    faults, named after the fault; the others concern the whole cluster.
    """
    import json

    from tui_forward.minicluster.control_socket import ControlClient, parse_fields
    from tui_forward.minicluster.named_faults import BY_NAME

    # Requests to components have no state; a name that is unknown is refused by the cluster.
    named = fields in (("on",), ("off",)) or (name in BY_NAME and not fields)
    values = {} if named else parse_fields(list(fields))
    client = ControlClient(control or _find_control(), timeout_s=_FAULT_TIMEOUT_S)
    if name == "list" and not fields:
        _print_faults(client.send("list")["faults"], as_json=as_json)
    elif named:
        _announce_fault(client.send("set", name=name, on=fields != ("off",)))
    else:
        click.echo(json.dumps(client.send(name, **values)))


def _print_faults(faults: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print each fault on one line; those that are on are marked."""
    import json

    if as_json:
        for each in faults:
            click.echo(json.dumps(each))
        return
    width = max(len(each["name"]) for each in faults)
    for each in faults:
        mark = "on " if each["on"] else "   "
        click.echo(f"{mark}{each['name']:<{width}}  {each['summary']}")


def _announce_fault(fault: dict[str, Any]) -> None:
    """Print whether a fault is on, and how to see it."""
    click.echo(f"{fault['name']} is {'on' if fault['on'] else 'off'}", err=True)
    if fault["on"] and fault["target"]:
        target = f"-n {fault['namespace']} {fault['target']}"
        port = 80 if fault["target"].startswith("svc/") else 7000
        click.echo(f"try: tui-forward forward {target} {port}", err=True)


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

    response = ControlClient(control or _find_control()).send(
        "add-user", user=name, groups=groups, namespace=namespace
    )
    click.echo(response["context"])


def _find_control() -> str:
    """Return the control socket of the cluster of $KUBECONFIG, else of the only one that runs."""
    import os
    from pathlib import Path

    from tui_forward.minicluster.cluster_folder import running_control_sockets

    for path in os.environ.get("KUBECONFIG", "").split(os.pathsep):
        socket = Path(path).parent / "control.sock"
        if path and socket.is_socket():
            return str(socket)
    running = running_control_sockets()
    if len(running) == 1:
        return str(running[0])
    if running:
        raise UsageError(
            "several embedded clusters run, and $KUBECONFIG is of none of them",
            hint=f"pass --control {' or '.join(shlex.quote(str(one)) for one in running)}",
        )
    raise UsageError(
        "no control socket given, and no embedded cluster runs",
        hint="start one with `tui-forward cluster` or `tui-forward demo`",
    )
