"""Logins in the dashboard: shows what a credential plugin asks for, and runs it in the terminal."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from functools import partial

from textual.app import App, SuspendNotSupported

from tui_forward.errors import AuthError, ConfigError, TuiForwardError
from tui_forward.model import BlockedBy, Login
from tui_forward.session import Session
from tui_forward.tui.controllers.command_queue import CommandQueue
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.controllers.session_timeout import session_timeout
from tui_forward.tui.controllers.terminal_program import TerminalProgram
from tui_forward.tui.viewmodel.cluster_state import ClusterState


class LoginController:
    """Logs in to the context that waits for credentials.

    `login_command` returns the command of the settings, which replaces the credential plugin;
    `selected` returns the context of the selected forward if that is blocked by credentials.
    """

    def __init__(
        self, app: App[None], session: Session, sampler: Sampler, queue: CommandQueue,
        notifier: Notifier, *, login_command: Callable[[], str],
        cluster: Callable[[], ClusterState], selected: Callable[[], str],
    ) -> None:  # fmt: skip
        self.program = TerminalProgram(app)
        self._app = app
        self._session = session
        self._sampler = sampler
        self._queue = queue
        self._notifier = notifier
        self._login_command = login_command
        self._cluster = cluster
        self._selected = selected

    @property
    def context(self) -> str:
        """The context to log in to; empty if none waits for credentials."""
        snapshot = self._sampler.snapshot
        blocked = [
            one.spec.target.context
            for one in snapshot.forwards
            if one.blocked_by is BlockedBy.CREDENTIALS
        ]
        cluster = self._cluster()
        health = cluster.health
        if health is not None and health.blocked_by is BlockedBy.CREDENTIALS:
            blocked.insert(0, cluster.scope.context)
        blocked += [login.context for login in snapshot.logins]
        return self._selected() or next(iter(blocked), "")

    def login_of(self, context: str) -> Login | None:
        """Return the login in progress of a context that has something to say."""
        logins = self._sampler.snapshot.logins
        return next((one for one in logins if one.context == context and one.text), None)

    def show_or_log_in(self) -> None:
        """Show what a login in progress asks for; without one, log in."""
        context = self.context
        if not context:
            self._notifier.info("Nothing waits for credentials")
        elif self.login_of(context) is None:
            self.log_in(context)
        else:
            from tui_forward.tui.screens.login_dialog import LoginDialog

            def close(in_terminal: bool | None) -> None:
                if in_terminal:
                    self.log_in(context)

            self._app.push_screen(LoginDialog(partial(self.login_of, context)), close)

    def log_in(self, context: str) -> None:
        """Run the credential plugin, or the command of the settings, in the terminal."""
        self._queue.enqueue(partial(self._log_in, context), is_batch=True)

    async def _log_in(self, context: str) -> None:
        command = self._login_command()
        if command:
            if self._run(shlex.split(command), context)[0] == 0:
                await self._retry(context)
            else:
                self._notifier.warn(f"{shlex.split(command)[0]} has failed")
            return
        async with session_timeout():
            plugin = await self._session.begin_login(context)
        if plugin is None:
            # Nothing to run here: what else gets credentials is tried once more.
            await self._retry(context)
            self._notifier.info(f"Trying the credentials of {context} again")
            return
        environ = {**os.environ, **plugin.environ}
        try:
            exit_code, output = self._run(plugin.arguments, context, environ=environ, capture=True)
        except TuiForwardError:
            async with session_timeout():
                await self._session.cancel_login(context)
            raise
        async with session_timeout():
            await self._session.finish_login(context, output, exit_code)
        self._notifier.info(f"Logged in to {context}")

    async def _retry(self, context: str) -> None:
        async with session_timeout():
            await self._session.retry_login(context)

    def _run(
        self, command: tuple[str, ...] | list[str], context: str, *,
        environ: dict[str, str] | None = None, capture: bool = False,
    ) -> tuple[int, bytes]:  # fmt: skip
        name = os.path.basename(command[0])  # noqa: PTH119 - no path is used
        try:
            return self.program.run(
                command, environ=environ, capture=capture,
                note=f"tui-forward: {name} logs in to {context!a}; Ctrl-C cancels it",
            )  # fmt: skip
        except SuspendNotSupported:
            raise AuthError(
                f"{name} cannot use this terminal", hint="Run it in another terminal"
            ) from None
        except OSError as error:
            raise ConfigError(f"cannot run {name}: {error.strerror}") from error
