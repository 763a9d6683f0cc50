"""The dashboard: an engine process, and the screen over it in this one."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tui_forward.cli.doors import remote_session, run, told_by_signals
from tui_forward.errors import ConfigError, TuiForwardError, UsageError
from tui_forward.model import CatalogScope, Context
from tui_forward.session import Session

if TYPE_CHECKING:
    from tui_forward.tui.files import Files


def has_terminal() -> bool:
    """Whether there is a screen to draw on and a keyboard to listen to."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def dashboard(kubeconfig: str | None, *, context: str | None, namespace: str | None) -> None:
    """Show the dashboard until the person leaves it.

    Args:
        kubeconfig: File to use instead of the usual ones.
        context: None for the current one.
        namespace: None for the context's own, "" for all.

    Raises:
        UsageError: There is no terminal.
        TuiForwardError: The engine cannot be started or the kubeconfig cannot be used.
    """
    if not has_terminal():
        raise UsageError(
            "the dashboard needs a terminal",
            hint="without one, use tui-forward forward TARGET PORT",
        )
    run(show_dashboard(kubeconfig, context=context, namespace=namespace))


async def show_dashboard(
    kubeconfig: str | None, *, context: str | None, namespace: str | None
) -> None:
    """As `dashboard`, in a running event loop."""
    # Importing Textual takes as long as starting the engine process.
    importing = asyncio.create_task(asyncio.to_thread(_import_app))
    async with remote_session(kubeconfig) as session:
        chosen = await _context(session, context)
        shown = chosen.namespace if namespace is None else namespace
        # The engine lists while the screen is made.
        await session.catalog(CatalogScope(chosen.name, shown))
        await importing
        from tui_forward.tui.app import TuiForwardApp

        _spare_the_collector()
        app = TuiForwardApp(
            session,
            context=chosen.name,
            namespace=shown,
            files=_files(kubeconfig),
        )
        # The terminal must be put in order, whoever ends the program.
        with told_by_signals(app.exit):
            await app.run_async()
    if app.crash is not None:
        raise TuiForwardError(
            "the dashboard had to close because of a bug",
            hint=f"please report it with {_keep(app.crash)}",
        )


def _spare_the_collector() -> None:
    """No key is to wait for the garbage collector.

    What was imported stays, and is not looked at again; all the rest is looked at about once
    an hour, for it takes as long as drawing a frame. Nearly nothing of it is in cycles.
    """
    gc.freeze()
    gc.set_threshold(2_000, 20, 500)


def _import_app() -> None:
    # What is drawn is drawn a few times a second: a key that comes right after need not wait
    # for Textual's sixtieth of a second.
    os.environ.setdefault("TEXTUAL_FPS", "240")
    import tui_forward.tui.app  # noqa: F401 - for its side effect: it is loaded


async def _context(session: Session, name: str | None) -> Context:
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


def _files(kubeconfig: str | None) -> Files:
    from platformdirs import user_config_path

    from tui_forward.agent import log, place
    from tui_forward.tui.files import Files

    return Files(
        memory=_state_folder() / "browse.json",
        settings=user_config_path("tui-forward") / "settings.toml",
        log=log.path_of(place.default_socket(kubeconfig, os.environ)),
    )


def _state_folder() -> Path:
    from platformdirs import user_state_path

    return user_state_path("tui-forward")


def _keep(crash: str) -> Path:
    """Write the traceback where a person can find it, since the screen must not show it."""
    path = _state_folder() / "crash.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(crash)
    return path
