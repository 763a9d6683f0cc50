"""How commands open a session; the engine is imported only when one is opened."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import click

from tui_forward.cli.log_options import requested_log_level
from tui_forward.cli.questions import ask, can_ask
from tui_forward.common import paths
from tui_forward.common.bounded_file import may_exist
from tui_forward.common.printable import one_line
from tui_forward.errors import ConfigError, TuiForwardError
from tui_forward.model import Context
from tui_forward.session import Session

if TYPE_CHECKING:
    from tui_forward.daemon import RemoteSession

T = TypeVar("T")


@contextlib.asynccontextmanager
async def local_session(
    kubeconfig: str | None, *, context: str | None = None, has_terminal: bool = False
) -> AsyncIterator[Session]:
    """Open a session in this process and close it at the end.

    With `has_terminal`, credential plugins may ask the user on the terminal.
    """
    from tui_forward.session.local import LocalSession
    from tui_forward.settings.parser import load_settings

    disk_buffer = load_settings(paths.settings_file()).disk_buffer
    session = LocalSession(
        kubeconfig, context=context or "", disk_buffer=disk_buffer, has_terminal=has_terminal
    )
    try:
        yield session
    finally:
        await session.close()


@contextlib.asynccontextmanager
async def remote_session(
    kubeconfig: str | None, *, arguments: Sequence[str] = ()
) -> AsyncIterator[Session]:
    """Open a session in the engine process, which is started if none is running.

    If the engine is killed, the session continues in a new one. The engine ends with its last
    client, unless it is set to keep running. `arguments` are those of an engine that is started
    here.
    """
    from tui_forward.daemon.reconnecting_session import open_reconnecting_session

    arguments = [*engine_log_arguments(), *arguments]
    _note_level_of_running_engine(kubeconfig)
    session = await _replace_if_older(
        kubeconfig, partial(open_reconnecting_session, kubeconfig, arguments=arguments)
    )
    try:
        yield session
    finally:
        await session.close()


@contextlib.asynccontextmanager
async def attached_session(kubeconfig: str | None) -> AsyncIterator[RemoteSession | None]:
    """Open a session in the engine process; None if none is running or should be.

    Offer to replace an engine of an older version. TuiForwardError if the engine does not respond,
    or its version differs.
    """
    from tui_forward.daemon import connect_if_running

    session = await _replace_if_older(kubeconfig, partial(connect_if_running, kubeconfig))
    try:
        yield session
    finally:
        if session is not None:
            await session.close()


@contextlib.asynccontextmanager
async def running_session(kubeconfig: str | None) -> AsyncIterator[RemoteSession | None]:
    """Open a session in the running engine process; None if none is running. Starts nothing.

    TuiForwardError if the engine does not respond, or its version differs.
    """
    from tui_forward.daemon.launcher import connect_to_running, find_engine_socket

    session = await connect_to_running(await find_engine_socket(kubeconfig, os.environ))
    try:
        yield session
    finally:
        if session is not None:
            await session.close()


def engine_log_arguments() -> list[str]:
    """Return the arguments that pass `--log-level` and `-v` on to an engine process."""
    level = requested_log_level()
    return [f"--log-level={level}"] if level else []


def _note_level_of_running_engine(kubeconfig: str | None) -> None:
    """Print a note if a log level is given that the running engine does not get."""
    from tui_forward.daemon import unix_socket

    level = requested_log_level()
    if level and may_exist(unix_socket.default_socket_path(kubeconfig, os.environ)):
        option = "-vv" if level == "trace" else f"--log-level {level}"
        click.echo(
            "note: the running engine keeps its log level; "
            f"change it with tui-forward restart {option}",
            err=True,
        )


async def _replace_if_older(kubeconfig: str | None, connect: Callable[[], Awaitable[T]]) -> T:
    """Connect; offer to replace the engine if its version is older."""
    from tui_forward.daemon.rpc_client import VersionMismatchError

    try:
        return await connect()
    except VersionMismatchError as error:
        if not (error.older and can_ask()):
            raise
        message = one_line(error.message)
        click.echo(f"{message[:1].upper()}{message[1:]}.", err=True)
        question = "Restart the engine? Active forwards keep their ports"
        if not ask(question, default=True):
            raise
    from tui_forward.daemon.launcher import replace_engine

    await replace_engine(kubeconfig, arguments=engine_log_arguments())
    return await connect()


async def find_save_problem(session: Session) -> str:
    """Return `Snapshot.save_problem`; empty if the engine is gone."""
    try:
        return (await session.snapshot()).save_problem
    except TuiForwardError:
        return ""


async def resolve_context(session: Session, name: str | None) -> Context:
    """Return the context of a name, the current one for None; ConfigError if there is none."""
    contexts = await session.contexts()
    for context in contexts:
        if context.name == name or (name is None and context.current):
            return context
    names = ", ".join(sorted(context.name for context in contexts)) or "none"
    if name is None:
        raise ConfigError(
            "the kubeconfig has no current context",
            hint=f"choose one with --context; available: {names}",
        )
    raise ConfigError(f'the kubeconfig has no context "{name}"', hint=f"available: {names}")
