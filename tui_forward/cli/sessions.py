"""How the command line opens a session; imports the engine only when one is opened."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tui_forward.errors import ConfigError
from tui_forward.model import Context
from tui_forward.session import Session

if TYPE_CHECKING:
    from tui_forward.daemon import RemoteSession

T = TypeVar("T")


@contextlib.asynccontextmanager
async def local_session(
    kubeconfig: str | None, *, context: str | None = None
) -> AsyncIterator[Session]:
    """A session in this process, closed at the end.

    Raises:
        ConfigError: The kubeconfig cannot be used.
    """
    from tui_forward.session.local import LocalSession

    session = LocalSession(kubeconfig, context=context or "")
    try:
        yield session
    finally:
        await session.close()


@contextlib.asynccontextmanager
async def remote_session(
    kubeconfig: str | None, *, arguments: Sequence[str] = ()
) -> AsyncIterator[Session]:
    """A session in an engine process; if that one is killed, in another one.

    The process ends when nobody is connected to it any more, unless it is told to go on.

    Args:
        kubeconfig: As for kubectl.
        arguments: More arguments for an engine that is begun here.

    Raises:
        TuiForwardError: The engine cannot be started.
    """
    from tui_forward.daemon import RemoteSession, connect
    from tui_forward.daemon.reconnecting_session import ReconnectingSession

    session = await _of_this_version(kubeconfig, partial(connect, kubeconfig, arguments=arguments))
    if isinstance(session, RemoteSession):

        async def reopen() -> RemoteSession:
            again = await connect(kubeconfig, arguments=[*arguments, "--resume"])
            assert isinstance(again, RemoteSession)
            return again

        session = ReconnectingSession(session, reopen)
    try:
        yield session
    finally:
        await session.close()


@contextlib.asynccontextmanager
async def attached_session(
    kubeconfig: str | None, *, asks: bool = True
) -> AsyncIterator[RemoteSession | None]:
    """A session in the engine process that runs; None if none does.

    Args:
        kubeconfig: As for kubectl.
        asks: Whether a person can be asked about an engine of an older version.

    Raises:
        TuiForwardError: It does not answer, or is of another version.
    """
    from tui_forward.daemon import connect_if_running

    opened = partial(connect_if_running, kubeconfig)
    session = await (_of_this_version(kubeconfig, opened) if asks else opened())
    try:
        yield session
    finally:
        if session is not None:
            await session.close()


async def _of_this_version(kubeconfig: str | None, opened: Callable[[], Awaitable[T]]) -> T:
    """A session, for which an engine of an older version is replaced if the person says so."""
    from tui_forward.daemon.remote_session import VersionMismatchError

    try:
        return await opened()
    except VersionMismatchError as error:
        if not (error.older and sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        click.echo(f"{error.message[0].upper()}{error.message[1:]}.", err=True)
        question = "Put a new one in its place? What is on goes on, on its ports"
        if not click.confirm(question, default=True, err=True):
            raise
    from tui_forward.daemon.launcher import replace_engine

    await replace_engine(kubeconfig)
    return await opened()


async def resolve_context(session: Session, name: str | None) -> Context:
    """The context of a name, or the current one.

    Raises:
        ConfigError: There is none.
    """
    contexts = await session.contexts()
    for context in contexts:
        if context.name == name or (name is None and context.current):
            return context
    names = ", ".join(sorted(context.name for context in contexts)) or "none"
    if name is None:
        raise ConfigError(
            "the kubeconfig has no current context",
            hint=f"choose one with --context; there are: {names}",
        )
    raise ConfigError(f'the kubeconfig has no context "{name}"', hint=f"there are: {names}")


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, with an event loop that can do everything the program needs."""
    # The default loop of Windows (Proactor) knows no add_reader.
    factory = asyncio.SelectorEventLoop if sys.platform == "win32" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


@contextlib.contextmanager
def call_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` in the running loop on Ctrl-C, SIGTERM or SIGHUP; the second one kills.

    Not `loop.add_signal_handler`, which Windows does not have: a handler of Python's own
    runs as soon as the selector was interrupted, and wakes the loop itself.
    """
    loop = asyncio.get_running_loop()
    before = {
        number: signal.getsignal(number)
        for number in (getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP"))
        if number is not None
    }

    def on_signal(*_: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        loop.call_soon_threadsafe(stop)

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def run_until_signal(work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`, or None if a signal ended it first; it cleans up before."""
    task = asyncio.ensure_future(work)
    told = False

    def tell() -> None:
        nonlocal told
        told = True
        task.cancel()

    with call_on_signals(tell):
        try:
            return await task
        except asyncio.CancelledError:
            if told:
                return None
            raise
