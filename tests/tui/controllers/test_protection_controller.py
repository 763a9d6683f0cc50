from __future__ import annotations

from pathlib import Path

from tests.cli.fake_session import until
from tests.support import fleet
from tests.tui.app_harness import running, screen_text, shows
from tui_forward.tui.storage.paths import DashboardPaths


async def test_protected_contexts_are_marked_and_follow_the_settings(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('protected_contexts = ["prod*"]\n')
    async with running(
        fleet.fleet(), (120, 36), context=fleet.STAGING, clock=lambda: fleet.NOW,
        files=DashboardPaths(settings=settings),
    ) as (app, _):  # fmt: skip
        await shows(app, "prod-eu! shop svc/payments", "staging  shop svc/notification")
        settings.write_text('protected_contexts = ["stag*"]\n')
        await shows(app, "prod-eu  shop svc/payments", "staging! shop svc/notification")
        settings.write_text("\n")
        await until(lambda: "staging!" not in screen_text(app))
