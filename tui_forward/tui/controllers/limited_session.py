"""Session whose figures are within limits: the one place where they enter the dashboard."""

from __future__ import annotations

from collections.abc import Callable

from tui_forward.model import (
    CatalogScope,
    CatalogView,
    Connection,
    Hop,
    Snapshot,
    TimelineEntry,
    TrafficHistory,
)
from tui_forward.session import Session
from tui_forward.tui.viewmodel.figures import limit_all, limit_figures, limit_histories


class LimitedSession:
    """Implements `Session` on another one; what is shown of it passes `viewmodel.figures`."""

    def __init__(self, session: Session, clock: Callable[[], float]) -> None:
        self._session = session
        self._clock = clock
        self.start = session.start
        self.stop = session.stop
        self.pause = session.pause
        self.resume = session.resume
        self.reconnect = session.reconnect
        self.set_keep_running = session.set_keep_running
        self.set_keep_running_if_lost = session.set_keep_running_if_lost
        self.begin_login = session.begin_login
        self.finish_login = session.finish_login
        self.cancel_login = session.cancel_login
        self.retry_login = session.retry_login
        self.close_connection = session.close_connection
        self.pod_log = session.pod_log
        self.contexts = session.contexts
        self.events = session.events
        self.close = session.close

    async def snapshot(self) -> Snapshot:
        """Return the session's snapshot."""
        return limit_figures(await self._session.snapshot(), self._clock())

    async def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        """Return connections."""
        return limit_all(await self._session.connections(forward_id), self._clock())

    async def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        """Return the timeline of a forward."""
        return limit_all(await self._session.timeline(forward_id), self._clock())

    async def histories(self) -> tuple[TrafficHistory, ...]:
        """Return traffic histories."""
        return limit_histories(await self._session.histories())

    async def hops(self, forward_id: str) -> tuple[Hop, ...]:
        """Return the hops of a forward."""
        return limit_all(await self._session.hops(forward_id), self._clock())

    async def catalog(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        """Return the view of a scope."""
        return limit_figures(await self._session.catalog(scope, since), self._clock())
