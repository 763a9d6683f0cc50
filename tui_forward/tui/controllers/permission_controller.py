"""Reads what the user may not do in the namespace of the row under the cursor."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Final

from textual.app import App
from textual.worker import WorkType

from tui_forward.errors import TuiForwardError
from tui_forward.model import CatalogScope
from tui_forward.session import Session
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.controllers.session_timeout import session_timeout
from tui_forward.tui.messages import PermissionsRequested
from tui_forward.tui.screens.dashboard import Dashboard

# Roles may change; the session asks the API server less often.
_INTERVAL_S: Final = 15.0
# A cursor that moves on within this time causes no request.
_SETTLE_S: Final = 0.15


class PermissionController:
    """Reads permissions of one namespace at a time, again with a later sample.

    The session asks the API server once a minute at most, and only for namespaces that are asked
    for here: those on which the cursor rests.
    """

    def __init__(
        self, app: App[None], session: Session, sampler: Sampler, dashboard: Dashboard
    ) -> None:
        self._app = app
        self._session = session
        self._sampler = sampler
        self._dashboard = dashboard

    def follow(self, request: PermissionsRequested) -> None:
        """Read those of another namespace, or none."""
        # A function, because the app may end before a coroutine begins, which Python warns about.
        poll: WorkType[None] = partial(self._poll, request.scope)
        self._app.run_worker(poll, group="permissions", exclusive=True)

    async def _poll(self, scope: CatalogScope | None) -> None:
        if scope is None:
            return
        await asyncio.sleep(_SETTLE_S)
        while True:
            try:
                async with session_timeout():
                    missing = await self._session.missing_permissions(scope)
            except TuiForwardError:
                pass  # the sampler shows it
            else:
                if self._dashboard.is_mounted:
                    self._dashboard.show_missing_permissions(missing)
            read_at = time.monotonic()
            while time.monotonic() < read_at + _INTERVAL_S:
                await self._sampler.wait_for_sample()
