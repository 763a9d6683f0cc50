"""Session with figures within limits and hints that name keys: all that the dashboard shows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from tui_forward.model import (
    CatalogScope,
    CatalogView,
    Connection,
    Description,
    DoctorQuery,
    DoctorResult,
    Hop,
    Snapshot,
    Target,
    TimelineEntry,
    TrafficHistory,
)
from tui_forward.session import Session
from tui_forward.session.delegating import DelegatingSession
from tui_forward.tui.viewmodel.figures import limit_all, limit_figures, limit_histories
from tui_forward.tui.viewmodel.hints import hops_with_keys, snapshot_with_keys, view_with_keys


class LimitedSession(DelegatingSession):
    """Implements `Session` on another one; what is shown of it passes `viewmodel`."""

    def __init__(self, session: Session, clock: Callable[[], float]) -> None:
        super().__init__(session)
        self._clock = clock

    async def snapshot(self) -> Snapshot:
        """Return the session's snapshot."""
        return snapshot_with_keys(limit_figures(await self.below.snapshot(), self._clock()))

    async def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        """Return connections."""
        return limit_all(await self.below.connections(forward_id), self._clock())

    async def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        """Return the timeline of a forward."""
        return limit_all(await self.below.timeline(forward_id), self._clock())

    async def histories(self) -> tuple[TrafficHistory, ...]:
        """Return traffic histories."""
        return limit_histories(await self.below.histories())

    async def hops(self, forward_id: str) -> tuple[Hop, ...]:
        """Return the hops of a forward."""
        return hops_with_keys(limit_all(await self.below.hops(forward_id), self._clock()))

    async def diagnose(self, query: DoctorQuery) -> AsyncGenerator[DoctorResult, None]:
        """Yield the results of a doctor."""
        async with aclosing(self.below.diagnose(query)) as results:
            async for result in results:
                yield limit_figures(result, self._clock())

    async def describe(self, target: Target) -> Description:
        """Return an object in words."""
        return limit_figures(await self.below.describe(target), self._clock())

    async def catalog(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        """Return the view of a scope."""
        return view_with_keys(limit_figures(await self.below.catalog(scope, since), self._clock()))
