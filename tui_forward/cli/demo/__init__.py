"""`tui-forward demo`: the dashboard on the embedded cluster, or without a terminal a report."""

from __future__ import annotations

import sys

import click

from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.output import supports_unicode, use_color


@click.command(short_help="Try it all on the embedded cluster: dashboard, or a report.")
@click.option("--report", is_flag=True, help="The report, even on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="The report as one JSON object per claim.")
@click.pass_context
def demo(ctx: click.Context, report: bool, as_json: bool) -> None:
    """Start the embedded cluster and show what the program can do.

    On a terminal: the dashboard. Without one: a report of real traffic through the whole
    chain, with figures; the exit code is 0 only if every claim held.
    """
    from tui_forward.cli.commands.dashboard import has_terminal
    from tui_forward.cli.sessions import run_async, run_until_signal

    if has_terminal() and not report and not as_json:
        run_async(run_until_signal(_dashboard()))
        return
    from tui_forward.cli.demo.report import JsonRenderer, Renderer, TextRenderer
    from tui_forward.cli.demo.runner import run_demo

    renderer: Renderer
    if as_json:
        renderer = JsonRenderer(click.echo)
    else:
        renderer = TextRenderer(
            click.echo, color=use_color(sys.stdout), unicode=supports_unicode(sys.stdout)
        )
    held = run_async(run_until_signal(run_demo(renderer)))
    if held is False:  # None: stopped by the person, which is no failure
        ctx.exit(ExitCode.FAILED)


async def _dashboard() -> None:
    from tui_forward.cli.commands.dashboard import show_dashboard
    from tui_forward.cli.embedded_cluster import embedded_cluster

    click.echo("Starting the embedded cluster ...", err=True)
    async with embedded_cluster() as cluster:
        await show_dashboard(cluster.kubeconfig, context=None, namespace="shop", passing=True)
