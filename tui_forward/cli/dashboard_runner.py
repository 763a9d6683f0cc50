"""Runs the dashboard, and another one after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from tui_forward.cli import output
from tui_forward.cli.terminal_watchdog import TerminalWatchdog
from tui_forward.common.garbage import GarbageCollector
from tui_forward.errors import TuiForwardError
from tui_forward.model import CatalogScope
from tui_forward.session import Session

if TYPE_CHECKING:
    from tui_forward.tui.app import TuiForwardApp
    from tui_forward.tui.controllers.engine_controller import RestartEngine
    from tui_forward.tui.controllers.restore_controller import RestoreOffer
    from tui_forward.tui.storage.context_choice import ContextChoice
    from tui_forward.tui.storage.paths import DashboardPaths
    from tui_forward.tui.storage.view_state import ViewStateStore

# After this many crashes in a row, each so soon after the start, no other dashboard is opened.
_MAX_CRASHES = 3
_MAX_REPORT_LINE = 8000
_EARLY_CRASH_S = 5.0
_REQUEST_S = 5.0
# The first frame waits this long for what the engine already has.
_FIRST_SAMPLE_S = 0.2


class StartView(msgspec.Struct, frozen=True):
    """What a dashboard shows first."""

    scope: CatalogScope  # context and namespace
    origin: tuple[str, str]  # current context and namespace of the kubeconfig
    view_state: ViewStateStore  # the last view, which the dashboard saves
    choice: ContextChoice | None = None  # set if the user has to choose a context first


class DashboardRunner:
    """Shows dashboards until the user quits one.

    A bug closes a dashboard but no forward, because forwards live in the engine: another dashboard
    opens in its place, unless the user has quit. If that does not help, or the dashboard gets a
    signal or loses its terminal, forwards keep running without it, unless the settings forbid it
    (`can_keep_running`). `offer` has the forwards of the last session.
    """

    def __init__(
        self, watchdog: TerminalWatchdog, session: Session, start: StartView,
        files: DashboardPaths, offer: RestoreOffer | None,
        collector: GarbageCollector | None = None, *, can_keep_running: bool,
        restart_engine: RestartEngine | None = None,
    ) -> None:  # fmt: skip
        from tui_forward.common.traffic_history import TrafficHistories

        self._watchdog = watchdog
        self._session = session
        self._start = start
        self._files = files
        self._offer = offer
        self._collector = collector
        self._can_keep_running = can_keep_running
        self._restart_engine = restart_engine
        self._histories = TrafficHistories()

    async def run(self) -> bool:
        """Run until the user quits; return whether the user wants to see the demo next.

        TuiForwardError if several dashboards crashed in a row.
        """
        crashes, message, scope = 0, "", self._start.scope
        while True:
            app = self._create_app(scope, message)
            started_at = time.monotonic()
            await self._run_app(app)
            has_quit = app.is_exiting or app.quitting.is_quitting
            # Without a terminal, the app fails because it cannot draw, which is not a bug.
            if (
                app.crash is None or has_quit
                or self._watchdog.is_ending or not output.has_terminal()
            ):  # fmt: skip
                await self._finish(app)
                return app.wants_demo and not self._watchdog.is_ending
            scope, report = app.cluster_state.scope, write_crash_report(app.crash)
            self._start.view_state.state = None  # its row or filter may have caused the crash
            crashes = crashes + 1 if time.monotonic() - started_at < _EARLY_CRASH_S else 0
            if crashes == _MAX_CRASHES:
                break
            message = f"The dashboard crashed and was reopened; forwards keep running.\n{report}"
        running = await self._still_running_message() if app.quitting.keeps_running_if_lost else ""
        raise TuiForwardError(
            f"the dashboard crashed repeatedly{f'; {running}' if running else ''}", hint=report
        )

    def _create_app(self, scope: CatalogScope, message: str) -> TuiForwardApp:
        from tui_forward.tui.app import TuiForwardApp
        from tui_forward.tui.textual_internals.terminal import has_few_colors

        return TuiForwardApp(
            self._session, context=scope.context, namespace=scope.namespace, options=scope.options,
            paths=self._files,
            histories=self._histories, startup_message=message,
            restore_offer=self._offer if not message else None,
            can_keep_running=self._can_keep_running, view_state_store=self._start.view_state,
            origin=self._start.origin,
            context_choice=self._start.choice if not scope.context else None,
            few_colors=has_few_colors(os.environ), builds_ahead=True,
            collector=self._collector,
            restart_engine=self._restart_engine,
        )  # fmt: skip

    async def _run_app(self, app: TuiForwardApp) -> None:
        """Run an app to its end."""
        from tui_forward.tui.textual_internals.terminal import TerminalState

        def end() -> None:
            if not app.quitting.is_quitting:
                app.exit()

        # In the background, because the first frame need not wait for it.
        syncing = asyncio.create_task(app.quitting.sync_keep_running())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_SAMPLE_S):
                await app.sample()
        restore = TerminalState().restore
        with self._watchdog.ending(end=end, interrupt=app.interrupt, restore=restore):
            await app.run_async()
        await syncing

    async def _finish(self, app: TuiForwardApp) -> None:
        """Save the view and print the last message to the terminal."""
        app.view_state.save()
        await app.quitting.finish()
        farewell = app.quitting.farewell
        if app.quitting.is_quitting:
            pass  # the user has decided, and the engine knows
        elif not self._watchdog.is_ending and (app.crash is None or app.is_exiting):
            await self._disable_keep_running_if_lost()
        elif app.quitting.keeps_running_if_lost:
            farewell = await self._still_running_message()
        if app.crash is not None and output.has_terminal() and not self._watchdog.is_ending:
            report = f"the dashboard crashed at its end. {write_crash_report(app.crash)}"
            farewell = f"{farewell}\n{report}" if farewell else report
        with contextlib.suppress(OSError):  # the terminal may be gone
            sys.stderr.write(f"{farewell}\n" if farewell else "")

    async def _still_running_message(self) -> str:
        """Return a message about what keeps running; empty if there is nothing."""
        from tui_forward.tui.controllers.quit_controller import still_running_message

        try:
            async with asyncio.timeout(_REQUEST_S):
                return still_running_message(await self._session.snapshot())
        except (TuiForwardError, TimeoutError):
            return ""

    async def _disable_keep_running_if_lost(self) -> None:
        """Revoke `set_keep_running_if_lost`, because the user quit and decided about forwards."""
        with contextlib.suppress(TuiForwardError, TimeoutError):
            async with asyncio.timeout(_REQUEST_S):
                await self._session.set_keep_running_if_lost(False)


def write_crash_report(traceback: str) -> str:
    """Write a traceback to a file; return a sentence for the user that names the file."""
    from tui_forward.common import paths
    from tui_forward.common.private_files import ensure_private_dirs, open_private_file
    from tui_forward.common.redaction import redact_lines

    path = paths.crash_report_file()
    try:
        ensure_private_dirs(path.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(open_private_file(path, flags), "w", encoding="utf-8") as file:
            file.write(redact_lines(traceback, limit=_MAX_REPORT_LINE))
    except OSError as error:
        return f"The traceback could not be written to {path}: {error.strerror}"
    return f"Please report it with {path}"
