"""Looks at the session a few times a second, and at once when a state changes; draws what it sees.

Whatever may wait for the cluster has a loop of its own, so that the samples never wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from textual.screen import Screen

from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import Connection, EventKind, Snapshot
from tui_forward.session import Session
from tui_forward.settings.parser import REFRESH_S
from tui_forward.tui.screens.dashboard import Dashboard, Sample
from tui_forward.tui.screens.forward_detail import DetailSample, DetailScreen
from tui_forward.tui.viewmodel.notifications import Notification, StateChangeTracker

# Of a cluster that was just turned to, the first rows are shown as soon as they are there.
EAGER_S = 0.02
_EAGER_FOR_S = 2.0
# What changes a state is shown at once; fifty forwards that lose one API server, in one go.
_AT_ONCE = frozenset({EventKind.LISTENING, EventKind.STATE, EventKind.STOPPED})
TOGETHER_S = 0.02
_LISTEN_AGAIN_S = 1.0
# A session that takes longer than this to answer is reported as one that does not.
ANSWER_S = 5.0
LOG_ANSWER_S = 15.0
# How often what costs the cluster a request is asked for.
WAY_S = 1.0
LOG_S = 2.0
_CHART_S = 300

Screens = Callable[[], Sequence[Screen[object]]]


class Sampler:
    """Keeps the screens current.

    Args:
        session: The engine's door.
        dashboard: Draws each sample.
        screens: Those that are open, the top one last.
        tell: Gets what a person would want to hear of.
        clock: Seconds since the epoch.
        histories: What flowed before; kept current.

    Attributes:
        snapshot: The session as it was seen last.
    """

    def __init__(
        self,
        session: Session,
        dashboard: Dashboard,
        *,
        screens: Screens,
        tell: Callable[[Sequence[Notification]], None],
        clock: Callable[[], float],
        histories: TrafficHistories,
    ) -> None:
        self.snapshot = Snapshot(version=0, at=0.0)
        self._session = session
        self._dashboard = dashboard
        self._screens = screens
        self._tell = tell
        self._clock = clock
        self._histories = histories
        self._transitions = StateChangeTracker()
        self._refresh_s = REFRESH_S
        self._trouble: TuiForwardError | None = None
        self._heard = clock()  # what the engine did unasked before is no news
        self._again = asyncio.Event()
        self._listening = asyncio.Event()
        self.poll_fast()

    def request_sample(self) -> None:
        """Look again at once, and not when it is time."""
        self._again.set()

    def set_interval(self, seconds: float) -> None:
        """Look more often or more seldom, from now on."""
        self._refresh_s = seconds
        self._again.set()

    def poll_fast(self) -> None:
        """Another part of a cluster is to be shown: look often until its first rows are here."""
        self._eager_until = time.monotonic() + _EAGER_FOR_S
        self._again.set()

    async def run(self) -> None:
        """Look for ever."""
        await self.sample()
        await self._learn()
        while True:
            # Before: what happens while a sample is taken deserves one of its own.
            self._again.clear()
            await self.sample()
            eager = self._dashboard.picture.is_loading and time.monotonic() < self._eager_until
            if not eager:
                # Not before the first rows are here: it makes the engine process load the engine.
                self._listening.set()
            try:
                async with asyncio.timeout(EAGER_S if eager else self._refresh_s):
                    await self._again.wait()
                await asyncio.sleep(TOGETHER_S)
            except TimeoutError:
                continue

    async def _learn(self) -> None:
        """What flowed before this screen was opened."""
        if self.snapshot.forwards:
            with contextlib.suppress(TuiForwardError, TimeoutError):  # the samples say so
                async with asyncio.timeout(ANSWER_S):
                    self._histories.merge(await self._session.histories())

    async def listen(self) -> None:
        """A change of state is on the screen at once, not with the next sample."""
        await self._listening.wait()
        while True:
            try:
                async for event in self._session.events():
                    if event.event in _AT_ONCE:
                        self.request_sample()
            except TuiForwardError:
                pass  # the samples say so
            await asyncio.sleep(_LISTEN_AGAIN_S)

    async def sample(self) -> None:
        """Fetch one sample and draw it; trouble is shown instead of thrown."""
        dashboard, picture = self._dashboard, self._dashboard.picture
        connections: tuple[Connection, ...] = ()
        try:
            async with asyncio.timeout(ANSWER_S):
                self.snapshot = await self._session.snapshot()
                picture.apply(await self._session.catalog(picture.scope, picture.version))
                # The first answer may be here before the screen's tables are.
                wanted = dashboard.wanted_connections if dashboard.is_mounted else ""
                if wanted is None or wanted in {one.id for one in self.snapshot.forwards}:
                    connections = await self._session.connections(wanted)
            self._trouble = None
        except TuiForwardError as error:
            self._trouble = error
        except TimeoutError:
            self._trouble = TransportError("the engine process does not answer")
        self._histories.sample(self.snapshot.forwards, time.monotonic())
        self._tell(
            [*self._transitions.notice(self.snapshot.forwards, self._clock()), *self._news()]
        )
        if picture is dashboard.picture:
            dashboard.draw(Sample(self.snapshot, connections, self._trouble))
        # There may be none any more: the program is ending.
        top = next(reversed(self._screens()), None)
        if isinstance(top, DetailScreen) and top.is_mounted:
            await self._draw_detail(top)

    def _news(self) -> list[Notification]:
        """What the engine has done unasked since the last sample."""
        fresh = [one for one in self.snapshot.notices if one.at > self._heard]
        self._heard = max([self._heard, *(one.at for one in fresh)])
        return [
            Notification(
                f"profile {one.profile}", one.text, "warning" if one.is_problem else "information",
                shown_elsewhere=not one.is_problem,
            )
            for one in fresh
        ]  # fmt: skip

    async def _draw_detail(self, screen: DetailScreen) -> None:
        wanted = screen.forward_id
        forward = next((one for one in self.snapshot.forwards if one.id == wanted), None)
        if forward is None:
            screen.draw(DetailSample(None))
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                timeline = await self._session.timeline(wanted)
                connections = await self._session.connections(wanted)
        except (TuiForwardError, TimeoutError):
            return  # gone in between, or the engine is: the next sample says so
        series = self._histories.series(wanted, _CHART_S)
        screen.draw(DetailSample(forward, series, timeline, connections))

    async def poll_hops(self, screen: DetailScreen) -> None:
        """Keep the stations of a forward current as long as they are looked at."""
        while screen in self._screens():
            try:
                async with asyncio.timeout(ANSWER_S):
                    hops = await self._session.hops(screen.forward_id)
            except (TuiForwardError, TimeoutError):
                pass  # gone, or the engine is: the samples say so
            else:
                if screen.is_mounted:
                    screen.draw_hops(hops)
            await asyncio.sleep(WAY_S)

    async def poll_pod_log(self, screen: DetailScreen, container: str) -> None:
        """Keep the log of the pod current as long as it is looked at."""
        while screen in self._screens() and screen.log_is_on:
            try:
                async with asyncio.timeout(LOG_ANSWER_S):
                    log = await self._session.pod_log(screen.forward_id, container=container)
            except TuiForwardError as error:
                screen.draw_log(None, error)
            except TimeoutError:
                screen.draw_log(None, TransportError("the log did not come in time"))
            else:
                screen.draw_log(log, None)
            await asyncio.sleep(LOG_S)
