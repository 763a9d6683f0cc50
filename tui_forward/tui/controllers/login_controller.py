"""Logins in the dashboard: shows what a credential plugin asks for, and runs it in the terminal."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from functools import partial

from textual.app import App, SuspendNotSupported

from tui_forward.common.executables import find_executable
from tui_forward.errors import AuthError, ConfigError, TuiForwardError
from tui_forward.model import AccessOptions, BlockedBy, ClusterKey, Forward, Login
from tui_forward.session import Session
from tui_forward.tui.controllers.command_queue import CommandQueue
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.controllers.session_timeout import session_timeout
from tui_forward.tui.controllers.terminal_program import TerminalProgram
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.logins import describe_login, find_login, login_of, read_prompt


class LoginController:
    """Logs in the user of the cluster that waits for credentials.

    `login_command` returns the command of the settings, which replaces the credential plugin;
    `selected` returns the cluster of the selected forward if that is blocked by credentials, with
    its options: they may name another user than the context does. `shown_name` returns the name of
    a context as it is shown.
    """

    def __init__(
        self, app: App[None], session: Session, sampler: Sampler, queue: CommandQueue,
        notifier: Notifier, *, login_command: Callable[[], str],
        shown: Callable[[], ClusterState], selected: Callable[[], ClusterKey | None],
        shown_name: Callable[[str, AccessOptions], str],
    ) -> None:  # fmt: skip
        self.program = TerminalProgram(app)
        self._app = app
        self._session = session
        self._sampler = sampler
        self._queue = queue
        self._notifier = notifier
        self._login_command = login_command
        self._shown = shown
        self._selected = selected
        self._shown_name = shown_name

    @property
    def cluster(self) -> ClusterKey | None:
        """The cluster whose user is to log in; None if none waits for credentials."""
        snapshot, shown = self._sampler.snapshot, self._shown()
        blocked = [
            one.spec.target.cluster_key
            for one in snapshot.forwards
            if one.blocked_by is BlockedBy.CREDENTIALS
        ]
        health = shown.health
        if health is not None and health.blocked_by is BlockedBy.CREDENTIALS:
            blocked.insert(0, (shown.scope.context, shown.scope.options))
        blocked += [login.clusters[0] for login in snapshot.logins]
        return self._selected() or next(iter(blocked), None)

    def login_of(self, cluster: ClusterKey) -> Login | None:
        """Return the login in progress of a cluster that has something to say."""
        return find_login(self._sampler.snapshot.logins, cluster)

    def copy_prompt(self, forwards: Sequence[Forward]) -> bool:
        """Copy the code, or the address, that a login of forwards asks for.

        Without forwards that of any login. Return whether there is one.
        """
        logins = self._sampler.snapshot.logins
        mine = [login_of(one, logins) for one in forwards] if forwards else logins
        texts = [read_prompt(one.text).to_copy for one in mine if one is not None]
        text = next(filter(None, texts), "")
        if text:
            self._app.copy_to_clipboard(text)
            self._notifier.info(f"Copied {text}")
        return bool(text)

    def show_or_log_in(self) -> None:
        """Show what a login in progress asks for; without one, log in."""
        cluster = self.cluster
        if cluster is None:
            self._notifier.info("Nothing waits for credentials")
        elif self.login_of(cluster) is None:
            self.log_in(cluster)
        else:
            from tui_forward.tui.screens.login_dialog import LoginDialog

            def close(in_terminal: bool | None) -> None:
                if in_terminal:
                    self.log_in(cluster)

            dialog = LoginDialog(partial(self.login_of, cluster), self._name(cluster))
            self._app.push_screen(dialog, close)

    def log_in(self, cluster: ClusterKey) -> None:
        """Run the credential plugin, or the command of the settings, in the terminal."""
        self._queue.enqueue(partial(self._log_in, cluster), is_batch=True)

    async def _log_in(self, cluster: ClusterKey) -> None:
        context, options = self._name(cluster), cluster[1]
        command = self._login_command()
        if command:
            words = shlex.split(command)
            program = find_executable(words[0], os.environ.get("PATH"))
            if program is None:
                raise ConfigError(
                    f"cannot run {words[0]}: no absolute folder of PATH has it first",
                    hint="Correct login_command in settings.toml, or PATH",
                )
            where = describe_login(context, options.user)
            if self._run([program, *words[1:]], where)[0] == 0:
                await self._retry(cluster)
            else:
                self._notifier.warn(f"{words[0]} has failed")
            return
        async with session_timeout():
            plugin = await self._session.begin_login(cluster)
        if plugin is None:
            # Nothing to run here: what else gets credentials is tried once more.
            await self._retry(cluster)
            where = describe_login(context, options.user)
            self._notifier.info(f"Trying the credentials of {where} again")
            return
        where = describe_login(context, plugin.user)
        environ = {**os.environ, **plugin.environ}
        try:
            exit_code, output = self._run(plugin.arguments, where, environ=environ, capture=True)
        except TuiForwardError:
            async with session_timeout():
                await self._session.cancel_login(cluster)
            raise
        async with session_timeout():
            await self._session.finish_login(cluster, output, exit_code)
        self._notifier.info(f"Logged in to {where}")

    def _name(self, cluster: ClusterKey) -> str:
        context, options = cluster
        return self._shown_name(context, options) if context else ""

    async def _retry(self, cluster: ClusterKey) -> None:
        async with session_timeout():
            await self._session.retry_login(cluster)

    def _run(
        self, command: tuple[str, ...] | list[str], where: str, *,
        environ: dict[str, str] | None = None, capture: bool = False,
    ) -> tuple[int, bytes]:  # fmt: skip
        name = os.path.basename(command[0])  # noqa: PTH119 - no path is used
        try:
            return self.program.run(
                command, environ=environ, capture=capture,
                note=f"tui-forward: {name} logs in to {where!a}; Ctrl-C cancels it",
            )  # fmt: skip
        except SuspendNotSupported:
            raise AuthError(
                f"{name} cannot use this terminal", hint="Run it in another terminal"
            ) from None
        except OSError as error:
            raise ConfigError(f"cannot run {name}: {error.strerror}") from error
