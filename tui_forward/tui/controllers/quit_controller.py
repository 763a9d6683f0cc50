"""Quits the dashboard, and decides whether forwards keep running without it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from textual.app import App

from tui_forward.common.tasks import spawn
from tui_forward.errors import TuiForwardError
from tui_forward.model import Snapshot
from tui_forward.session import Session
from tui_forward.session.active_summary import count_active, describe_active, own_forwards
from tui_forward.session.batch import STOP_TIMEOUT_S, run_batch, stop_forwards
from tui_forward.settings.parser import AskPolicy
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.controllers.session_timeout import session_timeout
from tui_forward.tui.screens.dialogs import QuitChoice, QuitScreen


def still_running_message(snapshot: Snapshot) -> str:
    """Return the message about what keeps running; empty if there is nothing."""
    verb = "keeps" if count_active(snapshot) == 1 else "keep"
    what = describe_active(snapshot)
    return f"{what} {verb} running; see `tui-forward ls`" if what else ""


class QuitController:
    """Asks what happens to active forwards, then quits."""

    def __init__(
        self, app: App[None], session: Session, sampler: Sampler, notifier: Notifier,
        policy: Callable[[], AskPolicy], *, can_keep_running: bool,
    ) -> None:  # fmt: skip
        self.farewell = ""  # message for the terminal after the screen is gone; may be empty
        self.is_quitting = False  # the user has chosen, and the app is about to exit
        self._task: asyncio.Task[None] | None = None
        self._app = app
        self._session = session
        self._sampler = sampler
        self._notifier = notifier
        self._policy = policy  # returns whether forwards keep running, from the settings
        self._can_keep_running = can_keep_running

    @property
    def keeps_running_if_lost(self) -> bool:
        """Whether forwards keep running if the dashboard crashes or loses its terminal."""
        return self._can_keep_running and self._policy() is not AskPolicy.NEVER

    async def sync_keep_running(self) -> None:
        """Set `keeps_running_if_lost` in the engine; the sampler shows a failure."""
        with contextlib.suppress(TuiForwardError):
            async with session_timeout():
                await self._session.set_keep_running_if_lost(self.keeps_running_if_lost)

    def request(self) -> None:
        """Quit, after a question if forwards are active; a second request answers it."""
        snapshot, screen, policy = self._sampler.snapshot, self._app.screen, self._policy()
        if not count_active(snapshot):
            self._app.exit()
        elif isinstance(screen, QuitScreen):
            screen.action_default()
        elif policy is not AskPolicy.ASK and self._can_keep_running:
            keep = policy is AskPolicy.ALWAYS or snapshot.keep_running
            self._quit(QuitChoice.KEEP_RUNNING if keep else QuitChoice.STOP)
        else:
            connections = sum(one.counters.connections_open for one in snapshot.forwards)
            dialog = QuitScreen(
                describe_active(snapshot), connections, can_keep_running=self._can_keep_running
            )
            self._app.push_screen(dialog, self._quit)

    def _quit(self, choice: QuitChoice | None) -> None:
        if choice is not None and not self.is_quitting:
            self.is_quitting = True
            # Not a worker of the app: an app that has lost its terminal cancels these.
            self._task = spawn(self._stop_and_exit(choice), name="quit")

    async def finish(self) -> None:
        """Wait until the user's choice is carried out, if there is one."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _stop_and_exit(self, choice: QuitChoice) -> None:
        """Stop forwards or let them run, then exit; to keep them, the engine must respond."""
        keep = choice is QuitChoice.KEEP_RUNNING
        try:
            async with session_timeout():
                # First, so that no forward stays if one does not stop, or the dashboard is lost.
                await self._session.set_keep_running(keep)
                if not keep:
                    await self._session.set_keep_running_if_lost(False)
                snapshot = await self._session.snapshot()
        except TuiForwardError as error:
            if keep:
                self.is_quitting = False
                self._notifier.error(error)
                return
        else:
            self.farewell = still_running_message(snapshot) if keep else ""
            if not keep:
                await self._stop_all(snapshot)
        self._app.exit()

    async def _stop_all(self, snapshot: Snapshot) -> None:
        """Stop proxies and forwards; failures are shown once the screen is gone."""
        proxies = [one.id for one in snapshot.proxies]
        stopped = await run_batch(self._session.stop_proxy, proxies, timeout_s=STOP_TIMEOUT_S)
        # The targets of a proxy have stopped with it.
        forwards = await stop_forwards(self._session, own_forwards(snapshot))
        failure = forwards.failure("stop", "forward") or stopped.failure("stop", "proxy server")
        self.farewell = f"{failure.message}; see `tui-forward ls`" if failure else ""
