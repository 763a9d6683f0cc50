"""Credentials of one plugin or identity provider, shared by every forward, list and screen.

The runs of a plugin are logins: they may open a browser, print a code, and take minutes. So there
is one at a time; none is ended because one of its users stops waiting; and after a failure the next
one waits, longer each time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine

from tui_forward.common.clock import steady_time
from tui_forward.errors import AuthError
from tui_forward.kube.auth.credentials import CredentialProvider, Credentials
from tui_forward.kube.auth.login_handover import LoginState
from tui_forward.kube.auth.login_text import LoginText
from tui_forward.model import LoginCommand, Reason, ReasonCode

_log = logging.getLogger(__name__)

# Pause after a failure, doubled by each further one.
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0
# The same after a change of the network or the kubeconfig.
CHANGE_PAUSE_S = 20.0
# Requests that were sent with the previous credentials are refused for a moment after a renewal.
# Doubled while every new credential is refused, too.
FIRST_RENEWAL_PAUSE_S = 1.0
LONGEST_RENEWAL_PAUSE_S = 60.0
# Renewals with more time between them are not in a row.
_RENEWALS_IN_A_ROW_S = 300.0
# How long a run that has no user continues: a health check that gives up asks again.
_UNUSED_S = 60.0
# A front end that is suspended or lost must not keep the others waiting for ever.
_TERMINAL_S = 1800.0
# A run that takes longer is shown: most take less.
_SHOW_AFTER_S = 1.0


class SharedLogin:
    """One provider, whose runs are shared. Belongs to one event loop.

    `on_change` is called when `reason` may have changed, `on_line` with each line that the plugin
    writes for the user, `on_renewed` when there are new credentials; they must not raise.
    A run waits until `may_run` is set.
    """

    def __init__(
        self,
        provider: CredentialProvider,
        *,
        on_change: Callable[[], None] = lambda: None,
        on_line: Callable[[str], None] = lambda _: None,
        on_renewed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        may_run: asyncio.Event | None = None,
    ) -> None:
        self._provider = provider
        self._may_run = may_run
        self._name = provider.name
        provider.listen(self.add_line)
        self._on_change = on_change
        self._on_line = on_line
        self._on_renewed = on_renewed
        self._clock = clock
        self._run: asyncio.Task[Credentials] | None = None
        self._is_running = False
        self._terminal_output: asyncio.Future[Credentials] | None = None
        self._waiting = 0
        self._unused: asyncio.TimerHandle | None = None
        self._shown: asyncio.TimerHandle | None = None
        self._text = LoginText()
        self._is_shown = False
        self.started_at = 0.0  # of the current run, seconds since the epoch
        self._error: BaseException | None = None
        self._failures = 0  # in a row
        self._failed_at = self._retry_at = 0.0
        self._renewed_at = float("-inf")
        self._renewal_pause_s = FIRST_RENEWAL_PAUSE_S

    async def credentials(self, *, refresh: bool = False) -> Credentials:
        """Return credentials that should be valid; with `refresh`, the last ones were refused.

        Joins the run in progress, or starts one. Canceling leaves the run to its other users.
        Raises what the provider raises; during the pause after a failure, that error again.
        """
        run = self._run
        if run is None:
            current = self._provider.current()
            if current is not None and not (refresh and self._may_renew()):
                return current
            if self._error is not None and self._clock() < self._retry_at:
                raise self._error.with_traceback(None)
            run = self._start(self._renew(refresh=refresh), refresh=refresh)
        self._waiting += 1
        try:
            await asyncio.wait({run})
            while run.cancelled() and self._run is not None:
                run = self._run  # it was replaced
                await asyncio.wait({run})
        finally:
            self._waiting -= 1
            self._end_unused_run_later()
        if run.cancelled():
            raise AuthError(Reason(code=ReasonCode.AUTH_LOGIN_ENDED, name=self._name))
        error = run.exception()
        if error is not None:
            raise error.with_traceback(None)
        return run.result()

    async def _renew(self, *, refresh: bool) -> Credentials:
        if self._may_run is not None:
            await self._may_run.wait()
        self._is_running = True
        try:
            return await self._provider.credentials(refresh=refresh)
        finally:
            self._is_running = False

    @property
    def is_running(self) -> bool:
        """Whether the plugin runs, here or in a terminal."""
        return self._is_running or self._terminal_output is not None

    @property
    def name(self) -> str:
        """Name of the plugin."""
        return self._name

    def export(self) -> LoginState:
        """Return what another engine has to continue with; credentials if they are valid now."""
        now = self._clock()
        error = self._error if isinstance(self._error, AuthError) else None
        is_renewed = self._renewed_at > float("-inf")
        return LoginState(
            credentials=self._provider.export(),
            failure=error.reason if error is not None else None,
            failures=self._failures,
            retry_in_s=max(0.0, self._retry_at - now),
            renewed_before_s=now - self._renewed_at if is_renewed else None,
            renewal_pause_s=self._renewal_pause_s,
        )

    def adopt(self, state: LoginState) -> None:
        """Continue with what another engine has exported. Before the first use."""
        now = self._clock()
        if state.credentials is not None:
            self._provider.adopt(state.credentials)
        if state.failure is not None:
            self._error, self._failures = AuthError(state.failure), state.failures
            self._failed_at, self._retry_at = now, now + min(state.retry_in_s, LONGEST_PAUSE_S)
        if state.renewed_before_s is not None:
            self._renewed_at = now - state.renewed_before_s
            self._renewal_pause_s = state.renewal_pause_s

    @property
    def reason(self) -> Reason | None:
        """What the run in progress waits for; None while there is none, or it has just begun."""
        if self._run is None or not self._is_shown:
            return None
        text = str(self._text)
        if self._terminal_output is not None:
            return Reason(code=ReasonCode.AUTH_LOGIN_IN_TERMINAL, name=self._name)
        code = ReasonCode.AUTH_LOGIN_RUNNING if text else ReasonCode.AUTH_PLUGIN_RUNNING
        return Reason(code=code, name=self._name, detail=text)

    def add_line(self, line: str) -> None:
        """Record a cleaned line that the plugin wrote for the user."""
        self._text.add(line)
        if line:
            self._on_line(line)
        if self._is_shown:
            self._on_change()

    def begin_in_terminal(self) -> LoginCommand | None:
        """Return the command to run in a terminal, for `finish_in_terminal`; None without one.

        Users wait for its result; it replaces a run in progress. Raises AuthError or ConfigError if
        the command cannot be run.
        """
        command = self._provider.terminal_command()
        if command is not None:
            self.retry_now()
            replaced, self._run = self._run, None
            self._terminal_output = output = asyncio.get_running_loop().create_future()
            self._start(self._wait_for_terminal(output), refresh=False)
            if replaced is not None:
                replaced.cancel()
        return command

    def finish_in_terminal(self, output: bytes, exit_code: int) -> None:
        """Use the output of a command that has run in a terminal.

        Raises AuthError if it failed or printed no credentials.
        """
        self.retry_now()
        try:
            credentials = self._provider.accept(output, exit_code)
        except AuthError as error:
            self._end_in_terminal(error)
            raise
        if self._terminal_output is not None and not self._terminal_output.done():
            self._terminal_output.set_result(credentials)
        else:  # another engine has begun it
            self._on_renewed()

    def cancel_in_terminal(self) -> None:
        """Record that a command in a terminal brings nothing. Idempotent."""
        reason = Reason(code=ReasonCode.AUTH_LOGIN_ENDED, name=self._name)
        self._end_in_terminal(AuthError(reason))

    def _end_in_terminal(self, error: AuthError) -> None:
        if self._terminal_output is not None and not self._terminal_output.done():
            self._terminal_output.set_exception(error)

    async def _wait_for_terminal(self, output: asyncio.Future[Credentials]) -> Credentials:
        try:
            async with asyncio.timeout(_TERMINAL_S):
                return await output
        except TimeoutError:
            reason = Reason(code=ReasonCode.AUTH_LOGIN_ENDED, name=self._name)
            raise AuthError(reason) from None

    def retry_soon(self) -> None:
        """Shorten the pause after a failure: files or the network have changed.

        Not by much, because the plugin itself may write those files.
        """
        self._retry_at = min(self._retry_at, self._failed_at + CHANGE_PAUSE_S)

    def retry_now(self) -> None:
        """End the pause after a failure, because the user asks for it."""
        self._error = None
        self._failures = 0
        self._retry_at = 0.0
        self._renewal_pause_s = FIRST_RENEWAL_PAUSE_S

    async def close(self) -> None:
        """End the run in progress. Its users get AuthError. Idempotent."""
        run = self._run
        if run is not None:
            run.cancel()
            await asyncio.wait({run})

    def _may_renew(self) -> bool:
        return self._clock() - self._renewed_at >= self._renewal_pause_s

    def _start(
        self, renewal: Coroutine[None, None, Credentials], *, refresh: bool
    ) -> asyncio.Task[Credentials]:
        self._text = LoginText()
        self._is_shown = False
        self.started_at = steady_time()
        self._run = run = asyncio.create_task(renewal, name=f"login {self._name}")
        run.add_done_callback(lambda _: self._finish(run, refresh=refresh))
        self._cancel_timers()
        self._shown = asyncio.get_running_loop().call_later(_SHOW_AFTER_S, self._show)
        return run

    def _cancel_timers(self) -> None:
        for handle in (self._unused, self._shown):
            if handle is not None:
                handle.cancel()
        self._unused = self._shown = None

    def _show(self) -> None:
        self._is_shown = True
        self._on_change()

    def _finish(self, run: asyncio.Task[Credentials], *, refresh: bool) -> None:
        error = None if run.cancelled() else run.exception()
        if self._run is not run:
            return  # it was replaced
        self._run = self._terminal_output = None
        self._cancel_timers()
        now = self._clock()
        if run.cancelled():
            pass  # by `close`, or because it had no user
        elif error is not None:
            self._error = error
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._failures, 10))
            self._failures += 1
            self._failed_at, self._retry_at = now, now + pause_s
            _log.info("%s: the next attempt is in %.0f s", self._name or "credentials", pause_s)
        else:
            self._error, self._failures = None, 0
            if refresh:
                in_a_row = now - self._renewed_at < _RENEWALS_IN_A_ROW_S
                pause_s = 2 * self._renewal_pause_s if in_a_row else FIRST_RENEWAL_PAUSE_S
                self._renewal_pause_s = min(LONGEST_RENEWAL_PAUSE_S, pause_s)
                self._renewed_at = now
        if self._is_shown:
            self._is_shown = False
            self._on_change()
        if not run.cancelled() and error is None:
            self._on_renewed()

    def _end_unused_run_later(self) -> None:
        if self._unused is not None:
            self._unused.cancel()
            self._unused = None
        run = self._run
        if run is not None and not self._waiting:
            loop = asyncio.get_running_loop()
            self._unused = loop.call_later(_UNUSED_S, self._end_if_unused, run)

    def _end_if_unused(self, run: asyncio.Task[Credentials]) -> None:
        if not self._waiting:
            _log.info("%s is ended: nothing waits for it", self._name or "the login")
            run.cancel()
