"""`tui-forward proxy`: every service and pod of a cluster through one local port.

Importing this module must stay cheap, because each TAB after `proxy` imports it.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
from msgspec.structs import replace

from tui_forward.cli.access_options import (
    KubectlCommand,
    access_options,
    ignored_option_notes,
    ignored_options,
    requested_access_options,
)
from tui_forward.cli.log_options import chosen_log_level, log_options
from tui_forward.cli.options import Duration, cluster_options
from tui_forward.cli.protection import allow_protected_option, require_proxy_permission
from tui_forward.common.printable import one_line
from tui_forward.errors import UsageError
from tui_forward.model import PROXY_PORT, ProxySpec

EPILOG = f"""\
\b
Examples, for a service web in namespace shop:
  tui-forward proxy
  curl --proxy socks5h://127.0.0.1:{PROXY_PORT} http://web.shop/
  open http://web.shop.localhost:{PROXY_PORT}/ in a browser
  eval "$(tui-forward proxy --env)"     HTTP_PROXY and others for this shell

\b
Names: SERVICE, SERVICE.NAMESPACE, SERVICE.NAMESPACE.svc[.cluster.local],
POD.SERVICE.NAMESPACE.svc, POD.NAMESPACE.pod; addresses of services and pods.
"""


@click.command(
    cls=KubectlCommand,
    epilog=EPILOG,
    short_help="Reach every service of a cluster through one local port.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PROXY_PORT,
    show_default=True,
    metavar="PORT",
    help="Local port; 0 is any free one.",
)
@cluster_options
@click.option("--direct", is_flag=True, help="Pass on connections to names outside the cluster.")
@click.option(
    "--spread/--no-spread",
    default=True,
    help="Spread connections over the ready pods of a service. [default: spread]",
)
@click.option(
    "--auth-file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Clients need the NAME:PASSWORD of this file.",
)
@click.option("--domain", metavar="NAME", help="Of the cluster's names. [default: cluster.local]")
@click.option(
    "--strip-suffix/--keep-suffix",
    default=None,
    help="Send services the Host of *.localhost without .localhost. [default: keep]",
)
@click.option(
    "--idle-timeout",
    type=Duration(),
    metavar="TIME",
    help="How long a target without connections keeps its tunnels. [default: 5m]",
)
@click.option(
    "--background",
    is_flag=True,
    help="Return when it listens; it runs until tui-forward stop.",
)
@click.option(
    "--env", "print_env", is_flag=True, help="Print the variables of a running proxy, and exit."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print events on stdout, one object per line."
)
@access_options
@ignored_options("profile")
@allow_protected_option
@log_options
@click.option("-q", "--quiet", is_flag=True, help="Print only local addresses and errors.")
def proxy(
    port: int, kubeconfig: str | None, context: str | None, namespace: str | None, direct: bool,
    spread: bool, auth_file: str | None, domain: str | None, strip_suffix: bool | None,
    idle_timeout: float | None, background: bool, print_env: bool, as_json: bool, quiet: bool,
    allow_protected: bool,
) -> None:  # fmt: skip
    """Reach every service and pod of a cluster by its name through one local port, until Ctrl-C.

    The port speaks SOCKS5 and HTTP. Nothing is opened before it is used.
    """
    from tui_forward.common import event_loop, paths
    from tui_forward.settings.parser import load_settings

    if print_env:
        from tui_forward.cli.proxy_env import find_running_proxy, format_proxy_env

        click.echo(format_proxy_env(find_running_proxy(port, os.environ)))
        return
    settings = load_settings(paths.settings_file())
    usual = settings.proxy_spec(os.environ)
    spec = replace(
        usual,
        context=context or "",
        namespace=namespace or "",
        options=requested_access_options(),
        port=port,
        direct=direct,
        spread=spread,
        auth_file=str(Path(auth_file).absolute()) if auth_file else "",
        domain=_parse_domain(domain) if domain is not None else usual.domain,
        strip_suffix=strip_suffix if strip_suffix is not None else usual.strip_suffix,
        idle_timeout_s=idle_timeout if idle_timeout is not None else usual.idle_timeout_s,
    )
    if background:
        import asyncio

        asyncio.run(
            _start_in_background(spec, kubeconfig, as_json=as_json, allow_protected=allow_protected)
        )
        return
    from tui_forward.cli.foreground import OutputChoice, foreground
    from tui_forward.cli.proxy_runner import ProxyRunner

    notes = [one_line(str(problem)) for problem in settings.problems] + ignored_option_notes()
    choice = OutputChoice(
        as_json=as_json, quiet=quiet, named=True, log_level=chosen_log_level(settings)
    )

    async def run() -> None:
        async with foreground(kubeconfig, context, choice, notes) as running:
            await require_proxy_permission(running.session, spec, allowed=allow_protected)
            write_line = (lambda _: None) if as_json else running.output.out
            await ProxyRunner(running.session, running.printer, write_line).run(spec, running.stop)

    event_loop.run(run())


def _parse_domain(text: str) -> str:
    from tui_forward.common.arguments import parse_domain_value

    try:
        return parse_domain_value(text)
    except UsageError as error:
        raise UsageError(f"--domain: {error.message}", hint=error.hint) from error


async def _start_in_background(
    spec: ProxySpec, kubeconfig: str | None, *, as_json: bool, allow_protected: bool
) -> None:
    from tui_forward.cli.forward_output import json_line
    from tui_forward.cli.proxy_output import proxy_to_dict
    from tui_forward.cli.proxy_runner import address_lines, example_text
    from tui_forward.cli.sessions import remote_session

    async with remote_session(kubeconfig) as session:
        await require_proxy_permission(session, spec, allowed=allow_protected)
        await session.set_keep_running(True)
        proxy_id = await session.start_proxy(spec)
        snapshot = await session.snapshot()
    proxy = next(one for one in snapshot.proxies if one.id == proxy_id)
    if as_json:
        click.echo(json_line(proxy_to_dict(proxy, snapshot.forwards)))
        return
    for line in address_lines(proxy):
        click.echo(line)
    click.echo(f"note:  {example_text(proxy)}", err=True)
    click.echo(f"note:  stop it with tui-forward stop {proxy_id}", err=True)
