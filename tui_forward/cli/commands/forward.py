"""`tui-forward forward`: port-forwards in the foreground, with kubectl's syntax and output.

Importing this module must stay cheap, because each TAB after `forward` imports it.
"""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager
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
from tui_forward.cli.log_options import chosen_log_level, log_options
from tui_forward.cli.options import Duration, cluster_options
from tui_forward.cli.protection import allow_protected_option, require_permission
from tui_forward.common.arguments import (
    MAX_GO_DURATION_S,
    parse_addresses,
    parse_ports,
    parse_preconnect_age,
    parse_target,
    validate_selector,
)
from tui_forward.common.printable import one_line
from tui_forward.errors import UsageError
from tui_forward.model import (
    MAX_PRECONNECT,
    PRECONNECT_AGE_S,
    AccessOptions,
    Balance,
    ForwardSpec,
    Target,
    TargetKind,
    TransportChoice,
)

if TYPE_CHECKING:
    from tui_forward.cli.foreground import Foreground

EPILOG = """\
\b
* unless set in settings.toml (tui-forward config)

\b
TARGET is a pod, or KIND/NAME; KIND is svc, deploy, sts, ds, rs, rc or job.
A port is REMOTE, LOCAL:REMOTE, or :REMOTE for any free local port.
REMOTE is a number or the name of a port.

\b
Examples:
  tui-forward forward web-6d8c 8080            pod web-6d8c and its replacements
  tui-forward forward svc/web 8080:http 9090   two ports of a service
  tui-forward forward --spread -l app=web :80  all ready pods with this label
"""


@click.command(
    cls=KubectlCommand,
    epilog=EPILOG,
    short_help="Forward local ports to a pod, a service or a workload.",
)
@click.argument(
    "target", metavar="TARGET", required=False, shell_complete=completers.complete_targets
)
@click.argument(
    "ports", metavar="[LOCAL:]REMOTE...", nargs=-1, shell_complete=completers.complete_ports
)
@click.option("-l", "--selector", metavar="LABELS", help="Pods with these labels, as TARGET.")
@click.option(
    "--address",
    metavar="ADDRESS",
    multiple=True,
    help="Local addresses to listen on, comma-separated. [default: localhost *]",
)
@cluster_options
@click.option(
    "--transport",
    type=click.Choice([choice.value for choice in TransportChoice]),
    help="Protocol to the API server. [default: auto]",
)
@click.option("--pin", is_flag=True, help="Stay on this pod; follow no replacement.")
@click.option(
    "--balance",
    type=click.Choice([choice.value for choice in Balance]),
    hidden=True,  # `--spread` is shorter
)
@click.option("--spread", is_flag=True, help="Spread connections over all ready pods.")
@click.option(
    "--queue-timeout",
    type=Duration(),
    metavar="TIME",
    help="How long a connection waits for a ready pod. [default: 30s *]",
)
@click.option(
    "--half-close-timeout",
    type=Duration(),
    metavar="TIME",
    help="How long the pod may keep sending after the client closes its side. [default: 5s *]",
)
@click.option(
    "--preconnect",
    type=click.IntRange(0, MAX_PRECONNECT),
    default=0,
    metavar="N",
    help="Open N connections ahead of clients. Not for servers with few workers.",
)
@click.option(
    "--preconnect-age",
    type=Duration(),
    metavar="TIME",
    help="How old these may get. [default: 5s]",
)
@click.option(
    "--pod-running-timeout",
    type=Duration(MAX_GO_DURATION_S),
    metavar="TIME",
    help="Fail if a forward is not ready by then. [default: wait]",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print events on stdout, one object per line."
)
@access_options
@ignored_options("profile")
@allow_protected_option
@log_options
@click.option("-q", "--quiet", is_flag=True, help="Print only local addresses and errors.")
def forward(
    target: str | None, ports: tuple[str, ...], selector: str | None, address: tuple[str, ...],
    kubeconfig: str | None, context: str | None, namespace: str | None,
    transport: str | None, pin: bool, balance: str | None, spread: bool,
    queue_timeout: float | None, half_close_timeout: float | None,
    preconnect: int, preconnect_age: float | None, pod_running_timeout: float | None,
    as_json: bool, quiet: bool, allow_protected: bool,
) -> None:  # fmt: skip
    """Forward local ports to a pod, a service or a workload, until Ctrl-C.

    The forward follows pods that are replaced; connections wait until a pod is ready.
    """
    from tui_forward.cli.foreground import OutputChoice, foreground
    from tui_forward.common import event_loop, paths
    from tui_forward.common.access_options import with_environment
    from tui_forward.settings.parser import load_settings

    if pod_running_timeout is not None and pod_running_timeout <= 0:
        raise UsageError(
            "--pod-running-timeout must be higher than zero", hint="leave it out to wait forever"
        )
    settings = load_settings(paths.settings_file())
    defaults = with_environment(settings.forwards, os.environ)
    specs = _specs(
        target,
        ports,
        selector,
        context=context or "",
        namespace=namespace or "",
        pin=pin,
        balance=_balance(balance, spread=spread),
        addresses=parse_addresses(address) if address else defaults.addresses,
        options=requested_access_options(),
        transport=TransportChoice(transport) if transport else defaults.transport,
        queue_timeout_s=defaults.queue_timeout_s if queue_timeout is None else queue_timeout,
        half_close_timeout_s=defaults.half_close_timeout_s
        if half_close_timeout is None
        else half_close_timeout,
        preconnect=preconnect,
        preconnect_age_s=PRECONNECT_AGE_S
        if preconnect_age is None
        else parse_preconnect_age(preconnect_age),
    )
    notes = [one_line(str(problem)) for problem in settings.problems] + ignored_option_notes()
    choice = OutputChoice(
        as_json=as_json,
        quiet=quiet,
        named=len(specs) > 1,
        log_level=chosen_log_level(settings),
    )

    opened = foreground(kubeconfig, context, choice, notes)
    event_loop.run(_forward(specs, opened, pod_running_timeout, allow_protected=allow_protected))


def _balance(choice: str | None, *, spread: bool) -> Balance:
    if not spread:
        return Balance(choice) if choice else Balance.ONE
    if choice not in (None, Balance.SPREAD):
        raise UsageError(
            f"--spread cannot be combined with --balance {choice}", hint="use one of them"
        )
    return Balance.SPREAD


def _specs(
    target: str | None, ports: tuple[str, ...], selector: str | None, *, context: str,
    namespace: str, pin: bool, balance: Balance, addresses: tuple[str, ...], options: AccessOptions,
    transport: TransportChoice, queue_timeout_s: float, half_close_timeout_s: float,
    preconnect: int, preconnect_age_s: float,
) -> tuple[ForwardSpec, ...]:  # fmt: skip
    """Return one spec per port.

    With a selector there is no TARGET, so the first argument is a port too.
    """
    if selector is not None:
        if target is not None and "/" in target:
            raise UsageError(
                f'target "{target}" and selector "{selector}" cannot be combined',
                hint="use one of them",
            )
        ports = (target, *ports) if target is not None else ports
        kind, name = TargetKind.SELECTOR, validate_selector(selector)
        if pin:
            raise UsageError("--pin needs a pod, not a selector", hint="name the pod as TARGET")
    elif target is None:
        raise UsageError(
            "no target given", hint="name a pod or KIND/NAME and its ports: svc/web 8080:http"
        )
    else:
        kind, name = parse_target(target)
        if pin and kind is not TargetKind.POD:
            raise UsageError(f"--pin needs a pod, not {target}", hint="name the pod as TARGET")
        if balance is Balance.SPREAD and kind is TargetKind.POD:
            raise UsageError(
                f"--spread needs several pods, not {target}",
                hint="name a service or a workload as TARGET, or use --selector",
            )
    return tuple(
        ForwardSpec(
            target=Target(
                context=context, namespace=namespace, kind=kind, name=name, port=pair.remote,
                pin=pin, balance=balance, options=options,
            ),
            local_port=pair.local,
            addresses=addresses,
            transport=transport,
            queue_timeout_s=queue_timeout_s,
            half_close_timeout_s=half_close_timeout_s,
            preconnect=preconnect,
            preconnect_age_s=preconnect_age_s,
        )
        for pair in parse_ports(ports)
    )  # fmt: skip


async def _forward(
    specs: tuple[ForwardSpec, ...], opened: AbstractAsyncContextManager[Foreground],
    first_ready_s: float | None, *, allow_protected: bool,
) -> None:  # fmt: skip
    from tui_forward.cli.headless_runner import HeadlessRunner

    async with opened as running:
        targets = [spec.target for spec in specs]
        await require_permission(running.session, targets, allowed=allow_protected)
        runner = HeadlessRunner(running.session, running.printer, first_ready_s=first_ready_s)
        await runner.run(specs, running.stop)
