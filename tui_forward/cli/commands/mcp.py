"""`tui-forward mcp`: a server of the Model Context Protocol on stdin and stdout."""

from __future__ import annotations

from importlib.util import find_spec

import click

from tui_forward.cli.options import kubeconfig_option
from tui_forward.errors import UsageError


@click.command(short_help="Serve tools for agents (Model Context Protocol) on stdin and stdout.")
@kubeconfig_option
@click.option(
    "--allow-protected",
    is_flag=True,
    help="Let the agent start forwards in protected contexts without asking the user.",
)
def mcp(kubeconfig: str | None, allow_protected: bool) -> None:
    """Serve tools for agents on stdin and stdout, until stdin ends.

    An agent lists, starts and stops forwards, and sees their states and connections. They run in
    the engine that the dashboard shows. Kubeconfig, addresses and credentials are not the agent's
    to choose. In protected contexts the client asks the user before a forward starts.
    """
    if find_spec("mcp") is None:
        raise UsageError("the server is not installed", hint='pip install "tui-forward[mcp]"')
    import asyncio

    from tui_forward.cli.signals import run_until_signal

    asyncio.run(run_until_signal(_serve(kubeconfig, allow_protected=allow_protected)))


async def _serve(kubeconfig: str | None, *, allow_protected: bool) -> None:
    from tui_forward.cli.mcp.server import build_server
    from tui_forward.cli.sessions import remote_session

    async with remote_session(kubeconfig) as session:
        await build_server(session, allow_protected=allow_protected).run_stdio_async()
