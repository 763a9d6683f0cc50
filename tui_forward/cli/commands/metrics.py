"""`tui-forward metrics`: metrics of the engine process, for Prometheus."""

from __future__ import annotations

import asyncio
from functools import partial

import click

from tui_forward.cli import openmetrics
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.metrics_server import MetricsServer
from tui_forward.cli.options import kubeconfig_option
from tui_forward.cli.sessions import running_session
from tui_forward.cli.signals import call_on_signals
from tui_forward.common.arguments import is_loopback, parse_address, parse_port
from tui_forward.errors import UsageError
from tui_forward.model import Snapshot


@click.command(short_help="Print metrics in the OpenMetrics format, or serve them.")
@kubeconfig_option
@click.option(
    "--listen", metavar="HOST:PORT", help="Serve them at /metrics until Ctrl-C; loopback only."
)
def metrics(kubeconfig: str | None, listen: str | None) -> int:
    """Print the engine's metrics once, in the OpenMetrics text format, or serve them."""
    if listen is None:
        return asyncio.run(_print(kubeconfig))
    host, _, port = listen.rpartition(":")
    address = parse_address(host.removeprefix("[").removesuffix("]") or "127.0.0.1")
    if not is_loopback(address):
        raise UsageError(
            f"cannot serve metrics on {host}: other machines can reach it",
            hint="metrics name clusters and pods; listen on 127.0.0.1",
        )
    number = int(parse_port(f"{port}:1").local or 0)
    host = "127.0.0.1" if address == "localhost" else address
    return asyncio.run(_serve(kubeconfig, host, number))


async def _snapshot(kubeconfig: str | None) -> Snapshot | None:
    """Return the snapshot of the running engine; None if none is running."""
    async with running_session(kubeconfig) as session:
        return await session.snapshot() if session is not None else None


async def _print(kubeconfig: str | None) -> int:
    click.echo(openmetrics.format_openmetrics(await _snapshot(kubeconfig)), nl=False)
    return ExitCode.DONE


async def _serve(kubeconfig: str | None, host: str, port: int) -> int:
    stop = asyncio.Event()
    with call_on_signals(stop.set):
        async with MetricsServer(partial(_snapshot, kubeconfig), host, port) as server:
            click.echo(server.url, err=True)
            await stop.wait()
    return ExitCode.DONE
