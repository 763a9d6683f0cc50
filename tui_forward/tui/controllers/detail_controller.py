"""Opens the detail screen and polls what only it shows: the hops and the pod's log."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from textual.app import App

from tui_forward.common.log_source import log_source_of
from tui_forward.errors import TuiForwardError, UsageError
from tui_forward.model import ForwardDefaults, PodLog
from tui_forward.session import Session
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.controllers.session_timeout import session_timeout
from tui_forward.tui.messages import DetailRequested, PodLogRequested
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.screens.forward_detail import DetailScreen

# Each poll is a request to the API server.
HOPS_INTERVAL_S = 5.0
LOG_INTERVAL_S = 2.0
_LOG_TIMEOUT_S = 15.0
_LINES = 200


class DetailController:
    """Shows the details of one forward."""

    def __init__(
        self, app: App[None], session: Session, sampler: Sampler,
        defaults: Callable[[], ForwardDefaults], clock: Callable[[], float], dashboard: Dashboard,
    ) -> None:  # fmt: skip
        self._app = app
        self._session = session
        self._sampler = sampler
        self._defaults = defaults
        self._clock = clock
        self._dashboard = dashboard

    def open(self, request: DetailRequested) -> None:
        """Show the details of a forward."""
        screen = DetailScreen(request.forward_id, self._defaults(), clock=self._clock)
        self._app.push_screen(screen)
        self._start(screen)

    def _start(self, screen: DetailScreen) -> None:
        self._sampler.request_sample()
        self._app.run_worker(self._poll_hops(screen), group="hops", exclusive=True)

    def move(self, by: int) -> None:
        """Show the next forward (1) or the previous one (-1), in the order of the dashboard."""
        self._show_one_of(
            self._dashboard.tables.forwards.forward_ids, by, "There is no other forward"
        )

    def show_next_problem(self) -> None:
        """Show the next forward with a problem."""
        self._show_one_of(self._dashboard.tables.forwards.problem_ids, 1, "No other problem")

    def _show_one_of(self, candidates: Sequence[str], by: int, none_text: str) -> None:
        screen, table = self._app.screen, self._dashboard.tables.forwards
        if not isinstance(screen, DetailScreen):
            return
        ids, shown = list(table.forward_ids), screen.forward_id
        at = ids.index(shown) if shown in ids else -1
        following = (
            ids[at + 1 :] + ids[: max(0, at)]
            if by > 0
            else (ids[: max(0, at)][::-1] + ids[at + 1 :][::-1])
        )
        chosen = next((one for one in following if one in candidates), None)
        if chosen is None:
            self._app.notify(none_text)
            return
        table.follow(chosen)  # the row last shown there
        screen.show_forward(chosen)
        self._start(screen)

    def test(self) -> None:
        """Test the chain now."""
        screen = self._app.screen
        if isinstance(screen, DetailScreen):
            self._start(screen)

    def show_log(self, request: PodLogRequested) -> None:
        """Poll a log while it is shown; the poll of another log ends."""
        screen = self._app.screen
        if request.on and isinstance(screen, DetailScreen):
            log = self._poll_log(screen, request.container)
            self._app.run_worker(log, group="log", exclusive=True)

    async def _read_log(self, forward_id: str, container: str) -> PodLog:
        forwards = self._sampler.forwards([forward_id])
        if not forwards:
            raise UsageError(f"there is no forward {forward_id}", hint="esc goes back")
        return await self._session.read_log(log_source_of(forwards[0], container), lines=_LINES)

    async def _poll_hops(self, screen: DetailScreen) -> None:
        while screen in self._app.screen_stack:
            with contextlib.suppress(TuiForwardError):  # the sampler shows it
                async with session_timeout():
                    forward_id = screen.forward_id
                    hops = await self._session.hops(forward_id)
                if screen.is_mounted:
                    screen.draw_hops(forward_id, hops)
            await self._wait_for_test(screen)

    async def _wait_for_test(self, screen: DetailScreen) -> None:
        """Wait until it is time for another test: at once when the state has changed."""
        state = self._state_of(screen)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HOPS_INTERVAL_S):
                while self._state_of(screen) == state:
                    await self._sampler.wait_for_sample()

    def _state_of(self, screen: DetailScreen) -> object:
        forwards = self._sampler.forwards([screen.forward_id])
        return [(one.state, one.code, one.paused) for one in forwards]

    async def _poll_log(self, screen: DetailScreen, container: str) -> None:
        while screen in self._app.screen_stack and screen.log_is_on:
            try:
                async with session_timeout(_LOG_TIMEOUT_S, "the log did not arrive in time"):
                    log = await self._read_log(screen.forward_id, container)
            except TuiForwardError as error:
                screen.draw_log(None, error)
            else:
                screen.draw_log(log, None)
            await asyncio.sleep(LOG_INTERVAL_S)
