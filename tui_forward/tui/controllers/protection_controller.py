"""Marks protected contexts in the tables of the dashboard."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from tui_forward.errors import TuiForwardError
from tui_forward.model import Context
from tui_forward.session import Session
from tui_forward.settings.parser import Settings
from tui_forward.settings.protected_contexts import protected_contexts
from tui_forward.tui.controllers.session_timeout import session_timeout
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.widgets.connection_table import ConnectionTable
from tui_forward.tui.widgets.forward_table import ForwardTable

CHECK_INTERVAL_S = 1.0
_CONTEXTS_INTERVAL_S = 30.0  # between two looks at the kubeconfig


class ProtectionController:
    """Follows the setting `protected_contexts` and the contexts of the kubeconfig."""

    def __init__(
        self, session: Session, dashboard: Dashboard, settings: Callable[[], Settings]
    ) -> None:
        self._session = session
        self._dashboard = dashboard
        self._settings = settings

    async def run(self) -> None:
        """Update the marks until canceled: soon after the settings change, else now and then."""
        applied: Settings | None = None
        waited_s = 0.0
        while True:
            settings = self._settings()
            if settings is not applied or waited_s >= _CONTEXTS_INTERVAL_S:
                with contextlib.suppress(TuiForwardError):  # the next turn tries it again
                    await self._apply(settings)
                    applied, waited_s = settings, 0.0
            await asyncio.sleep(CHECK_INTERVAL_S)
            waited_s += CHECK_INTERVAL_S

    async def _apply(self, settings: Settings) -> None:
        contexts: tuple[Context, ...] = ()
        if settings.protected_contexts or settings.problems:
            async with session_timeout():
                contexts = await self._session.contexts()
        is_protected = protected_contexts(settings, contexts).is_protected
        for table in (
            *self._dashboard.query(ForwardTable),
            *self._dashboard.query(ConnectionTable),
        ):
            table.is_protected = is_protected
            table.redraw()
