"""`tui-forward restart`: replace the engine process, for example after an update."""

from __future__ import annotations

import asyncio

import click

from tui_forward.cli import forward_output
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.log_options import log_options
from tui_forward.cli.options import kubeconfig_option
from tui_forward.cli.sessions import engine_log_arguments
from tui_forward.common.formatting import pluralize
from tui_forward.errors import UsageError
from tui_forward.model import Forward, ForwardState
from tui_forward.session import Session

_SETTLE_S = 5.0
_POLL_S = 0.03
_TRANSIENT = frozenset({ForwardState.STARTING, ForwardState.CONNECTING})


@click.command(short_help="Restart the engine without closing ports.")
@kubeconfig_option
@log_options
def restart(kubeconfig: str | None) -> int:
    """Restart the engine without closing ports.

    Needed after an update of tui-forward, or to change the engine's log level. New connections
    wait for a moment. Open connections continue in the old process until they end, for at most
    10 minutes.
    """
    return asyncio.run(_restart(kubeconfig))


async def _restart(kubeconfig: str | None) -> int:
    from tui_forward.daemon import connect, connect_if_running
    from tui_forward.daemon.launcher import replace_engine
    from tui_forward.daemon.rpc_client import VersionMismatchError

    try:
        before = await connect_if_running(kubeconfig)
        if before is None:
            raise UsageError("no engine is running", hint="there is nothing to restart")
        await before.close()
    except VersionMismatchError as error:
        if not error.older:
            raise
    draining = (await replace_engine(kubeconfig, arguments=engine_log_arguments())).draining
    session = await connect(kubeconfig)
    try:
        forwards = await _settled_forwards(session)
    finally:
        await session.close()
    forward_output.print_forwards(forwards, as_json=False)
    if draining:
        verb = "continues" if draining == 1 else "continue"
        click.echo(
            f"{pluralize(draining, 'connection')} {verb} in the old engine, for at most 10 minutes",
            err=True,
        )
    return ExitCode.DONE


async def _settled_forwards(session: Session) -> tuple[Forward, ...]:
    """Return the forwards once none is starting or connecting, or after `_SETTLE_S`."""
    deadline = asyncio.get_running_loop().time() + _SETTLE_S
    while True:
        forwards = (await session.snapshot()).forwards
        settled = not any(one.state in _TRANSIENT for one in forwards)
        if settled or asyncio.get_running_loop().time() > deadline:
            return forwards
        await asyncio.sleep(_POLL_S)
