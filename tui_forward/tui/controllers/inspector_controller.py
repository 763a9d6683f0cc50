"""Reads what the inspector of the dashboard shows of a forward: its hops and its timeline."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from textual.app import App
from textual.worker import WorkType

from tui_forward.errors import TuiForwardError
from tui_forward.session import Session
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.controllers.session_timeout import session_timeout
from tui_forward.tui.messages import InspectionRequested
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.viewmodel.inspector import Inspection

INTERVAL_S: Final = 1.0
# A cursor that moves on within this time causes no request.
_SETTLE_S: Final = 0.15


class InspectorController:
    """Reads hops and timeline of the forward under the cursor while the inspector shows it.

    Again with every sample, once a second at most.
    """

    def __init__(
        self, app: App[None], session: Session, sampler: Sampler, dashboard: Dashboard
    ) -> None:
        self._app = app
        self._sampler = sampler
        self._session = session
        self._dashboard = dashboard

    def follow(self, request: InspectionRequested) -> None:
        """Show another forward, or none."""
        # A function, because the app may end before a coroutine begins, which Python warns about.
        poll: WorkType[None] = partial(self._poll, request.forward_id)
        self._app.run_worker(poll, group="inspector", exclusive=True)

    async def _poll(self, forward_id: str | None) -> None:
        if forward_id is None:
            return
        await asyncio.sleep(_SETTLE_S)
        while True:
            samples = self._sampler.count
            if self._app.screen_stack[-1:] == [self._dashboard]:  # none while the app ends
                inspection = await self._read(forward_id)
                if inspection is not None and self._dashboard.is_mounted:
                    self._dashboard.draw_inspection(inspection)
            await asyncio.sleep(INTERVAL_S)
            await self._sampler.wait_for_sample(samples)

    async def _read(self, forward_id: str) -> Inspection | None:
        """Return what is known; None if the forward or the engine is gone, or does not answer."""
        try:
            async with session_timeout():
                timeline = await self._session.timeline(forward_id)
                hops = await self._session.hops(forward_id)
        except TuiForwardError:
            return None  # the sampler shows it
        return Inspection(forward_id, hops, timeline)
