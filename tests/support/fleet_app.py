"""The dashboard over the scene of `fleet`, always the same: fixed clock, fixed traffic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from textual.pilot import Pilot

from tests.support import fleet
from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.storage.context_choice import ContextChoice, KubeconfigFile
from tui_forward.tui.storage.paths import DashboardPaths

T = TypeVar("T")

SETTINGS = 'protected_contexts = ["prod*"]\n'
# Entries of the scene's profile that differ from its forwards, and some that do not.
PROFILE = """\
version: 1
context: staging
namespace: shop
forwards:
  staging-api-gateway: {target: deploy/api-gateway, port: http, local: 8080}
  staging-redis-cache: {namespace: data, target: sts/redis-cache, port: redis, local: 6379}
  staging-postgres-primary:
    namespace: data
    target: sts/postgres-primary
    port: postgres
    local: 15432
  staging-tax:
    target: deploy/tax-calculator
    port: http
    local: 8099
    needs: [staging-redis-cache]
  staging-mail: {target: svc/mail, port: smtp, local: 2525}
"""
NO_CONTEXT = ContextChoice(
    "there is no current context", None,
    "KUBECONFIG=/home/ana/.kube/old:/home/ana/.kube/config",
    (
        KubeconfigFile("/home/ana/.kube/old", "file not found"),
        KubeconfigFile("/home/ana/.kube/config", "2 contexts, current-context is empty"),
    ),
    offers_demo=True,
)  # fmt: skip


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
    folder: Path, session: fleet.FleetSession | None = None, *, few_colors: bool = False,
    choice: ContextChoice | None = None, builds_ahead: bool = False,
) -> TuiForwardApp:  # fmt: skip
    """Return the dashboard of the scene, whose settings and profile are in a folder.

    With a `choice` it shows no context at first.
    """
    settings, profiles = folder / "settings.toml", folder / "profiles"
    settings.write_text(SETTINGS)
    profiles.mkdir(exist_ok=True)
    (profiles / "shop-dev.yaml").write_text(PROFILE)
    app = TuiForwardApp(
        session if session is not None else fleet.fleet(),
        context="" if choice is not None else fleet.STAGING,
        namespace="" if choice is not None else fleet.SCOPE.namespace,
        paths=DashboardPaths(
            settings=settings, profiles=profiles, trusted_profiles=folder / "trusted.json"
        ),
        clock=lambda: fleet.NOW, histories=FixedHistories(), few_colors=few_colors,
        context_choice=choice, builds_ahead=builds_ahead,
    )  # fmt: skip
    app.animation_level = "none"
    return app


async def settled(app: TuiForwardApp, pilot: Pilot[None], look: Callable[[TuiForwardApp], T]) -> T:
    """Return what `look` sees of the screen when no update is pending."""
    seen: list[T] = []
    while len(seen) < 2 or seen[-1] != seen[-2]:  # the same after another sample
        await app.sample()
        # To the connections of this row: which were there when the panes were last fitted varies.
        if not seen:
            app.dashboard.body.fit()
        looks: list[T] = []
        while len(looks) < 2 or looks[-1] != looks[-2]:  # keys are updated a moment later
            await pilot.pause(0.02)
            looks.append(look(app))
        seen.append(looks[-1])
    return seen[-1]
