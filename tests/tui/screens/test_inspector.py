from __future__ import annotations

from tests.cli.fake_session import until
from tests.support import fleet
from tests.tui.app_harness import running, screen_text, shows


async def test_high_terminal_shows_the_chain_of_the_row_under_the_cursor() -> None:
    session = fleet.fleet()
    async with running(
        session, (200, 60), context=fleet.STAGING, clock=lambda: fleet.NOW
    ) as (app, pilot):  # fmt: skip
        await shows(app, "billing-worker", "notification-dispatcher")
        await pilot.press("!", "!", "!", "!")
        # What the forward tells at once, then what the session reads of it.
        await shows(app, "─ deploy/billing-worker-invoice-retries:metrics ◔ waiting ─", "✗ pod",
                    "○ port", "CrashLoopBackOff · 17 restarts", "…x2x9k crash-loops")  # fmt: skip
        lines = screen_text(app).splitlines()
        assert "forwards" in lines[1]  # beside the cluster
        assert sum("└" in line for line in lines) == 4
        assert ("hops", "f4") in session.calls
        await pilot.press("d")
        await shows(app, "timeline")
        await pilot.press("escape", "k", "G")
        await shows(app, "feature-flag-admin-console-ui:http ‖ paused")
        await until(lambda: ("hops", "f14") in session.calls)
        await pilot.resize_terminal(120, 36)
        await shows(app, "○ runtime ───")
