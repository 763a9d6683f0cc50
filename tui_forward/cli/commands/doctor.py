"""`tui-forward doctor`: tests each hop of a port-forward and says what is broken.

Importing this module must stay cheap, because each TAB after `doctor` imports it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui_forward.cli import completers
from tui_forward.cli.access_options import (
    KubectlCommand,
    access_options,
    ignored_option_notes,
    ignored_options,
    requested_access_options,
)
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.log_options import log_options, logging_to, requested_log_level
from tui_forward.cli.options import cluster_options
from tui_forward.common.arguments import parse_port, parse_target, validate_selector
from tui_forward.errors import UsageError
from tui_forward.model import AccessOptions, DoctorQuery, Target, TargetKind, TransportChoice

if TYPE_CHECKING:
    from tui_forward.session.doctor.trace import Trace

EPILOG = """\
\b
The hops: kubeconfig, credentials, DNS, proxy, TCP, TLS, API server, identity, permissions;
with a TARGET also target, upgrade of each transport, kubelet, runtime, port.
Exit code 0: no hop is broken.

\b
Examples:
  tui-forward doctor                       as far as permissions
  tui-forward doctor svc/web http          the whole way to port http of a service
  tui-forward doctor web-1 --trace t.json  with a file for a bug report
"""


@click.command(
    cls=KubectlCommand,
    epilog=EPILOG,
    short_help="Test each hop of a port-forward and name what is broken.",
)
@click.argument(
    "target", metavar="[TARGET", required=False, shell_complete=completers.complete_targets
)
@click.argument("port", metavar="[PORT]]", required=False, shell_complete=completers.complete_ports)
@click.option("-l", "--selector", metavar="LABELS", help="Pods with these labels, as TARGET.")
@cluster_options
@click.option(
    "--transport",
    type=click.Choice([choice.value for choice in TransportChoice]),
    default=TransportChoice.AUTO.value,
    help="Protocol to the API server; auto tests each.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print results on stdout, one object per line."
)
@click.option(
    "--trace",
    "trace_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write requests, answers and times to FILE, without secrets and addresses.",
)
@access_options
@ignored_options("profile")
@log_options
def doctor(
    target: str | None, port: str | None, selector: str | None, kubeconfig: str | None,
    context: str | None, namespace: str | None, transport: str, as_json: bool,
    trace_file: Path | None,
) -> int:  # fmt: skip
    """Test each hop between this machine and a port of a pod, and say what is broken.

    Without TARGET it stops at permissions; without PORT it takes the first that TARGET declares.
    It changes nothing, and starts no login.
    """
    from tui_forward.common import event_loop

    options = requested_access_options()
    tested = _target(target, port, selector)
    query = DoctorQuery(
        context=context or "",
        namespace=namespace or "",
        options=options,
        target=tested,
        transport=TransportChoice(transport),
    )
    for text in ignored_option_notes():
        click.echo(f"note: {text}", err=True)
    return event_loop.run(_run(query, kubeconfig, as_json=as_json, trace_file=trace_file))


def _target(target: str | None, port: str | None, selector: str | None) -> Target | None:
    """Return the target; its port is empty if none is given."""
    if selector is not None:
        if port is not None:
            raise UsageError(
                f'target "{target}" and selector "{selector}" cannot be combined',
                hint="use one of them",
            )
        kind, name, port = TargetKind.SELECTOR, validate_selector(selector), target
    elif target is None:
        return None
    else:
        kind, name = parse_target(target)
    remote = parse_port(port).remote if port is not None else ""
    return Target(context="", namespace="", kind=kind, name=name, port=remote)


async def _run(
    query: DoctorQuery, kubeconfig: str | None, *, as_json: bool, trace_file: Path | None
) -> int:
    from contextlib import aclosing

    from tui_forward.cli.doctor_output import make_printer, print_results
    from tui_forward.cli.output import Output
    from tui_forward.cli.signals import run_until_signal
    from tui_forward.common.doctor_text import is_healthy
    from tui_forward.kube.access.cluster_access import ClusterAccess
    from tui_forward.kube.kubeconfig.source import KubeconfigSource
    from tui_forward.session.doctor.doctor import Doctor
    from tui_forward.session.doctor.trace import Trace

    trace = Trace()
    source = KubeconfigSource(kubeconfig, context=query.context)
    accesses: list[ClusterAccess] = []

    def access_of(context: str, options: AccessOptions) -> ClusterAccess:
        accesses.append(ClusterAccess(source, context, options))
        return accesses[-1]

    output = Output()
    try:
        with logging_to(output, requested_log_level(), default="error"):
            tests = Doctor(source, access_of, os.environ, trace=trace)
            async with aclosing(tests.run(query)) as results:
                printer = make_printer(as_json=as_json)
                final = await run_until_signal(print_results(results, printer))
    finally:
        for access in accesses:
            await access.close()
        output.close()
        if trace_file is not None:
            _write_trace(trace, trace_file)
    if final is None:
        return ExitCode.FAILED  # stopped before its end
    return ExitCode.DONE if is_healthy(final) else ExitCode.FAILED


def _write_trace(trace: Trace, path: Path) -> None:
    """Write a trace, readable by this user only."""
    import json
    import platform
    import ssl
    from importlib.metadata import version

    from tui_forward.common.atomic_file import write_atomically

    facts = {
        "tui_forward": version("tui-forward"),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "system": f"{platform.system()} {platform.machine()}",
    }
    content = json.dumps(trace.export(facts), indent=1, ensure_ascii=False).encode()
    try:
        if path.exists():
            path.chmod(0o600)  # kept when the file is replaced
        write_atomically(path, content + b"\n")
    except OSError as error:
        raise UsageError(
            f"cannot write the trace to {path}: {error.strerror or error}",
            hint="choose another file with --trace",
        ) from error
