"""The dashboard over the scene of `fleet`, always the same: fixed clock, fixed traffic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from tests.support import fleet
from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.storage.paths import DashboardPaths

SETTINGS = 'protected_contexts = ["prod*"]\n'


class FixedHistories(TrafficHistories):
    """The traffic of the scene, which does not go on while a test runs."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = {one.forward_id: list(one.seconds) for one in fleet.histories()}

    def series(self, forward_id: str, seconds: int) -> list[tuple[int, int]]:
        """See `TrafficHistories.series`."""
        return self._seconds.get(forward_id, [])[-seconds:]

    def ready(self, forward_id: str, seconds: int) -> list[bool]:
        """See `TrafficHistories.ready`."""
        return [True] * len(self.series(forward_id, seconds))


def fleet_app(
    folder: Path, session: fleet.FleetSession | None = None, *, few_colors: bool = False
) -> TuiForwardApp:
    """Return the dashboard of the scene, whose settings are in a folder."""
    settings = folder / "settings.toml"
    settings.write_text(SETTINGS)
    app = TuiForwardApp(
        session if session is not None else fleet.fleet(),
        context=fleet.STAGING, namespace=fleet.SCOPE.namespace,
        paths=DashboardPaths(settings=settings), clock=lambda: fleet.NOW,
        histories=FixedHistories(), few_colors=few_colors,
    )  # fmt: skip
    app.animation_level = "none"
    return app


async def settled(
    app: TuiForwardApp, pilot: Pilot[None], look: Callable[[TuiForwardApp], str]
) -> str:
    """Return what `look` sees of the screen when no update is pending."""
    await app.sample()
    # To the connections of this row: which were there when the panes were last fitted varies.
    app.dashboard.body.fit()
    seen: list[str] = []
    while len(seen) < 4 or len(set(seen[-4:])) > 1:  # keys are updated a moment later
        await app.sample()
        await pilot.pause(0.02)
        seen.append(look(app))
    return seen[-1]
