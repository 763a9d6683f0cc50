"""`tui-forward restart`: another engine, with all that is on; after an update, for example."""

from __future__ import annotations

import asyncio
import sys

import click

from tui_forward.cli import forward_output as forward_output
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.options import kubeconfig_option
from tui_forward.cli.output import use_color
from tui_forward.cli.sessions import run_async
from tui_forward.errors import UsageError
from tui_forward.model import Forward, ForwardState
from tui_forward.session import Session

_SETTLES_S = 5.0
_LOOK_S = 0.03
_ON_THEIR_WAY = frozenset({ForwardState.STARTING, ForwardState.CONNECTING})


@click.command(short_help="Begin the engine anew, with all that is on.")
@kubeconfig_option
def restart(kubeconfig: str | None) -> int:
    """Put another engine process in the place of the one that runs, with all forwards.

    No port is closed: who connects meanwhile waits a moment, and connections that are open go on
    in the old process until they end, for ten minutes at most. Needed after an update of
    tui-forward.
    """
    return run_async(_restart(kubeconfig))


async def _restart(kubeconfig: str | None) -> int:
    from tui_forward.daemon import connect, connect_if_running
    from tui_forward.daemon.launcher import replace_engine
    from tui_forward.daemon.remote_session import VersionMismatchError

    try:
        before = await connect_if_running(kubeconfig)
        if before is None:
            raise UsageError("no engine runs", hint="there is nothing to begin anew")
        await before.close()
    except VersionMismatchError as error:
        if not error.older:
            raise
    staying = (await replace_engine(kubeconfig)).staying
    session = await connect(kubeconfig)
    try:
        forwards = await _settled(session)
    finally:
        await session.close()
    for line in (
        forward_output.format_table(forwards, color=use_color(sys.stdout)) if forwards else ()
    ):
        click.echo(line)
    if not forwards:
        click.echo("nothing was on", err=True)
    if staying:
        what = "1 connection stays" if staying == 1 else f"{staying} connections stay"
        click.echo(f"{what} in the engine before to the end, for 10 minutes at most", err=True)
    return ExitCode.DONE


async def _settled(session: Session) -> tuple[Forward, ...]:
    """What is on, as soon as all of it works again, or after a while."""
    deadline = asyncio.get_running_loop().time() + _SETTLES_S
    while True:
        forwards = (await session.snapshot()).forwards
        beginning = any(one.state in _ON_THEIR_WAY for one in forwards)
        if not beginning or asyncio.get_running_loop().time() > deadline:
            return forwards
        await asyncio.sleep(_LOOK_S)
