"""Samples the session and draws it: a few times a second while bytes move.

While nothing moves, the session reports what changes: states and the first connection at once, the
rest as `Session.changes` says. Then time alone changes the screen: once a second while it counts
seconds, seldom otherwise.

Polls that may wait for the cluster run elsewhere, so that samples never wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from textual.screen import Screen

from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.errors import TuiForwardError, UsageError
from tui_forward.model import CatalogView, Connection, EventKind, Forward, Snapshot
from tui_forward.session import Session
from tui_forward.settings.parser import REFRESH_S
from tui_forward.tui.controllers.session_timeout import session_timeout
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.screens.forward_detail import DetailSample, DetailScreen
from tui_forward.tui.screens.sample_renderer import DashboardSample
from tui_forward.tui.textual_internals.input_priority import InputPriority
from tui_forward.tui.viewmodel.detail_lines import Position
from tui_forward.tui.viewmodel.logins import LoginTracker
from tui_forward.tui.viewmodel.notifications import StateChangeTracker
from tui_forward.tui.viewmodel.toasts import ToastText, engine_notice_toast
from tui_forward.tui.widgets.header_bar import HasHeader

# While the first rows of a new scope load.
FAST_INTERVAL_S = 0.02
_FAST_FOR_S = 2.0
# While the screen counts seconds, and while it does not: then ages change once a minute.
_COUNTING_INTERVAL_S = 1.0
QUIET_INTERVAL_S = 15.0
_STATE_EVENTS = frozenset(
    {EventKind.LISTENING, EventKind.STATE, EventKind.STOPPED, EventKind.CONNECTION_CHANGED}
)
# An event soon after a sample waits for others to share the next one: fifty forwards may lose the
# same API server.
COALESCE_S = 0.02
_RESUBSCRIBE_S = 1.0
_CHART_S = 300


class Sampler:
    """Keeps the open screens and the traffic histories current."""

    def __init__(
        self, session: Session, dashboard: Dashboard, *,
        screens: Callable[[], Sequence[Screen[object]]],
        on_changes: Callable[[Sequence[ToastText]], None], clock: Callable[[], float],
        histories: TrafficHistories, input_priority: InputPriority,
    ) -> None:  # fmt: skip
        # Whether another part reports the state of a forward.
        self.is_reported_elsewhere: Callable[[Forward], bool] = lambda _forward: False
        self._sampled = asyncio.Event()
        self.count = 0  # of samples
        self.snapshot = Snapshot(version=0, at=0.0)
        self._session = session
        self._dashboard = dashboard
        self._screens = screens  # returns the open screens, the top one last
        self._on_changes = on_changes  # receives changes of state the user may want to know about
        self._clock = clock
        self._histories = histories
        self._input_priority = input_priority
        self._sampling = asyncio.Lock()
        self._sampled_at = 0.0  # `time.monotonic` of the last sample
        self._state_changes = StateChangeTracker(
            lambda forwards: dashboard.naming.name_of(forwards)
        )
        self._logins = LoginTracker(lambda *cluster: dashboard.naming.name(*cluster))
        self._interval_s = REFRESH_S
        self._moved = (0, 0)  # bytes of all forwards at the last sample
        self._is_idle = False  # nothing has moved between the last two
        self._error: TuiForwardError | None = None
        # Numbers, profiles and texts of the last sample's: times are no identity, because those
        # in the future are limited to now.
        self._seen_notices: frozenset[tuple[int, str, str]] | None = None  # before the first
        self._sample_requested = asyncio.Event()
        self._first_rows_loaded = asyncio.Event()
        self.poll_fast()

    def forwards(self, forward_ids: Sequence[str]) -> list[Forward]:
        """Return those of these forwards that exist."""
        return [one for one in self.snapshot.forwards if one.id in forward_ids]

    def request_sample(self) -> None:
        """Take the next sample at once."""
        self._sample_requested.set()

    def set_interval(self, seconds: float) -> None:
        """Set the time between samples."""
        self._interval_s = seconds
        self._sample_requested.set()

    async def wait_for_sample(self, since: int | None = None) -> None:
        """Wait until more samples were taken than `since`, by default than now."""
        since = self.count if since is None else since
        while self.count <= since:
            await self._sampled.wait()

    async def wait_for_rows(self) -> None:
        """Wait until the first rows are loaded, or take longer, and one more sample."""
        await self._first_rows_loaded.wait()
        await self.wait_for_sample()

    def poll_fast(self) -> None:
        """Sample often until the first rows of a new scope are loaded."""
        self._fast_until = time.monotonic() + _FAST_FOR_S
        self._sample_requested.set()

    async def run(self) -> None:
        """Sample until canceled."""
        await self.sample()
        await self._load_histories()
        while True:
            # Cleared first: an event during a sample requests another one.
            self._sample_requested.clear()
            await self.sample()
            is_loading = self._dashboard.cluster_state.is_loading
            fast = is_loading and time.monotonic() < self._fast_until
            if not fast:
                self._first_rows_loaded.set()
            try:
                async with asyncio.timeout(FAST_INTERVAL_S if fast else self._next_interval_s()):
                    await self._sample_requested.wait()
                await asyncio.sleep(self._sampled_at + COALESCE_S - time.monotonic())
            except TimeoutError:
                continue

    def _next_interval_s(self) -> float:
        totals = self.snapshot.totals
        before, self._moved = self._moved, (totals.bytes_from_pod, totals.bytes_to_pod)
        self._is_idle = before == self._moved
        if not self._is_idle:
            return self._interval_s
        if self._counts_seconds():
            return max(_COUNTING_INTERVAL_S, self._interval_s)
        return max(QUIET_INTERVAL_S, self._interval_s)

    def _counts_seconds(self) -> bool:
        """Return whether the screen may change in the next second although nothing happens."""
        return (
            self._error is not None
            or isinstance(self._top_screen, DetailScreen)
            or self._dashboard.counts_seconds
        )

    @property
    def _top_screen(self) -> Screen[object] | None:
        """The top screen; there is none while the app ends."""
        return next(reversed(self._screens()), None)

    async def _load_histories(self) -> None:
        """Load the traffic before this dashboard started."""
        if self.snapshot.forwards:
            with contextlib.suppress(TuiForwardError):  # the next sample shows it
                async with session_timeout():
                    self._histories.merge(await self._session.histories())

    async def follow_events(self) -> None:
        """Request a sample on every change of state, until canceled.

        Starts after the first rows are loaded: a subscription makes the engine process import
        the engine, which would delay them.
        """
        await self._first_rows_loaded.wait()
        while True:
            with contextlib.suppress(TuiForwardError):  # the next sample shows it
                async for event in self._session.events():
                    begins = event.event is EventKind.CONNECTION_OPENED and self._is_idle
                    if begins or event.event in _STATE_EVENTS:
                        self.request_sample()
            await asyncio.sleep(_RESUBSCRIBE_S)

    async def follow_changes(self) -> None:
        """Request a sample whenever something shown has changed, until canceled."""
        await self._first_rows_loaded.wait()
        while True:
            with contextlib.suppress(TuiForwardError):  # the next sample shows it
                async for _ in self._session.changes():
                    if self._is_idle:
                        self.request_sample()
            await asyncio.sleep(_RESUBSCRIBE_S)
            self.request_sample()

    async def sample(self) -> None:
        """Take one sample and draw it; an error is drawn, too.

        That takes several turns of the event loop, between which keys are handled: then they find
        the rows before or after the sample.
        """
        async with self._sampling:
            await self._sample()
        self._sampled_at = time.monotonic()
        self.count += 1
        self._sampled.set()
        self._sampled = asyncio.Event()

    async def _sample(self) -> None:
        dashboard, cluster = self._dashboard, self._dashboard.cluster_state
        connections: tuple[Connection, ...] = ()
        view: CatalogView | None = None
        try:
            async with session_timeout():
                # Together, so that both processes wake once for all of them.
                self.snapshot, view, connections = await asyncio.gather(
                    self._session.snapshot(),
                    self._session.catalog(cluster.scope, cluster.version),
                    self._read_connections(),
                )
            self._error = None
        except TuiForwardError as error:
            self._error = error
        forwards = self.snapshot.forwards
        self._histories.sample(forwards, time.monotonic())
        toasts = self._engine_notices()
        if self._error is None:
            muted = {one.id for one in forwards if self.is_reported_elsewhere(one)}
            now, steady = self._clock(), time.monotonic()
            toasts = [*self._state_changes.notice(forwards, now, steady, muted), *toasts]
            toasts += self._logins.notice(self.snapshot.logins)
        self._on_changes(toasts)
        if view is not None:
            await self._apply(view)
        if cluster is dashboard.cluster_state:
            sample = DashboardSample(self.snapshot, connections, self._error)
            for _ in dashboard.draw_in_turns(sample):
                await self._input_priority.wait()
        top = self._top_screen
        if top is not None and top.is_mounted and isinstance(top, HasHeader):
            top.draw_header(dashboard.header)
        if isinstance(top, DetailScreen) and top.is_mounted:
            await self._draw_detail(top)

    async def _apply(self, view: CatalogView) -> None:
        """Apply a view of the cluster shown; the last part is drawn in the same turn."""
        entries = self._dashboard.tables.entries.entries
        for _ in entries.cluster_state.apply_in_parts(view):
            entries.merge()
            await self._input_priority.wait()

    async def _read_connections(self) -> tuple[Connection, ...]:
        """Return the connections to show, oldest first."""
        # The first answer may arrive before the screen is mounted.
        shown = self._dashboard.sampled_connections if self._dashboard.is_mounted else ""
        if shown is not None and shown not in {one.id for one in self.snapshot.forwards}:
            return ()
        try:
            return await self._session.connections(shown)
        except UsageError:  # the forward is gone
            return ()

    def _engine_notices(self) -> list[ToastText]:
        """Return what the engine did automatically since the last sample.

        Of what it did before this dashboard started, only the engine's own problems, which last.
        """
        notices = {(one.number, one.profile, one.text): one for one in self.snapshot.notices}
        seen = self._seen_notices
        fresh = [
            one
            for key, one in notices.items()
            if (key not in seen if seen is not None else one.is_problem and not one.profile)
        ]
        if self._error is None:  # else nothing was sampled yet, or the same is sampled again
            self._seen_notices = frozenset(notices)
        return [
            engine_notice_toast(one.profile, one.text, is_problem=one.is_problem) for one in fresh
        ]

    async def _draw_detail(self, screen: DetailScreen) -> None:
        forward_id = screen.forward_id
        forward = next(iter(self.forwards([forward_id])), None)
        if forward is None:
            screen.draw(DetailSample(None))
            return
        try:
            async with session_timeout():
                timeline = await self._session.timeline(forward_id)
                connections = await self._session.connections(forward_id)
        except TuiForwardError:
            return  # the forward or the engine is gone: the next sample shows it
        series = self._histories.series(forward_id, _CHART_S)
        ready = self._histories.ready(forward_id, _CHART_S)
        ids = self._dashboard.tables.forwards.forward_ids
        number = ids.index(forward_id) + 1 if forward_id in ids else 0
        if screen.forward_id == forward_id:  # else another one is shown meanwhile
            screen.draw(
                DetailSample(
                    forward, series, ready, timeline, connections, self.snapshot.health,
                    Position(number, len(ids)), self._dashboard.naming,
                )
            )  # fmt: skip
