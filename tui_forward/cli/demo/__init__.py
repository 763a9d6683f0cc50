"""`tui-forward demo`: the dashboard on the embedded cluster, or a report without a terminal."""

from __future__ import annotations

import asyncio
import sys

import click

from tui_forward.cli import output as output
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.log_options import log_options
from tui_forward.cli.terminal_watchdog import TerminalWatchdog


@click.command(short_help="Try the dashboard on the embedded cluster, or print a report.")
@click.option("--report", is_flag=True, help="Print the report, even on a terminal.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the report, one JSON object per check."
)
@log_options
@click.pass_context
def demo(ctx: click.Context, report: bool, as_json: bool) -> None:
    """Start the embedded cluster and show what the program can do.

    On a terminal, this is the dashboard. Without one, it is a report of checks with real traffic;
    the exit code is 0 only if all checks passed.
    """
    from tui_forward.cli.signals import run_until_signal

    if output.has_terminal() and not report and not as_json:
        watchdog = TerminalWatchdog()
        with watchdog.watch():
            asyncio.run(watchdog.run(_show_dashboard(watchdog)))
        return
    from tui_forward.cli.demo.report import JsonRenderer, Renderer, TextRenderer
    from tui_forward.cli.demo.runner import run_demo

    renderer: Renderer
    if as_json:
        renderer = JsonRenderer(click.echo)
    else:
        renderer = TextRenderer(
            click.echo,
            color=output.use_color(sys.stdout),
            unicode=output.supports_unicode(sys.stdout),
        )
    passed = asyncio.run(run_until_signal(run_demo(renderer)))
    if passed is False:  # None: stopped by a signal, which is not a failure
        ctx.exit(ExitCode.FAILED)


async def _show_dashboard(watchdog: TerminalWatchdog) -> None:
    from tui_forward.api.embedded_cluster import embedded_cluster
    from tui_forward.cli.commands.dashboard import show_dashboard

    click.echo("Starting the embedded cluster ...", err=True)
    async with embedded_cluster() as cluster:
        await show_dashboard(
            watchdog, cluster.kubeconfig, context=None, namespace="shop", temporary=True
        )
