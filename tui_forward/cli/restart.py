"""`tui-forward restart`: another engine, with all that is on; after an update, for example."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import click

from tui_forward.cli import records
from tui_forward.cli.doors import run
from tui_forward.cli.exits import ExitCode
from tui_forward.cli.options import kubeconfig_option
from tui_forward.cli.output import wants_color
from tui_forward.errors import TransportError, UsageError

_ENDS_S = 15.0
_LOOK_S = 0.02


@click.command(short_help="Begin the engine anew, with all that is on.")
@kubeconfig_option
def restart(kubeconfig: str | None) -> int:
    """End the engine process and begin another one, with all forwards on the ports they have.

    Connections that are open end. Needed after an update of tui-forward.
    """
    if sys.platform == "win32":
        raise UsageError("there is no engine process on Windows")
    return run(_restart(kubeconfig))


async def _restart(kubeconfig: str | None) -> int:
    from tui_forward.agent import connect, place

    path = place.default_socket(kubeconfig, os.environ)
    lock = place.Lock(path)
    holder = lock.holder
    if not path.exists() or holder is None:
        raise UsageError("no engine runs", hint="there is nothing to begin anew")
    try:
        os.kill(holder, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it is gone already
    except PermissionError as error:
        raise TransportError(f"the engine, process {holder}, is not yours to end") from error
    try:
        async with asyncio.timeout(_ENDS_S):
            while path.exists():  # noqa: ASYNC110 - in another process
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise TransportError(
            f"the engine, process {holder}, does not end", hint=f"end it: kill -9 {holder}"
        ) from None
    session = await connect(kubeconfig, arguments=["--resume"])
    try:
        await session.keep(True)
        forwards = (await session.snapshot()).forwards
    finally:
        await session.close()
    if forwards:
        for line in records.table(forwards, color=wants_color(sys.stdout)):
            click.echo(line)
    else:
        click.echo("nothing was on", err=True)
    return ExitCode.DONE
