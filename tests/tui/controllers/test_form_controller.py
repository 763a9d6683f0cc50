from __future__ import annotations

from textual import events

from tests.cli.fake_session import until
from tests.tui.app_harness import running, shows
from tests.tui.samples import shop
from tui_forward.tui.screens.paste_dialog import PasteDialog


async def test_pasted_command_starts_a_forward() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        app.post_message(events.Paste("kubectl port-forward -n data sts/db 5432\n"))
        await until(lambda: session.forwards)
        assert str(session.forwards["f1"].spec.target) == "data/sts/db:5432"
        app.post_message(events.Paste("nothing of the kind"))
        app.post_message(events.Paste("kubectl port-forward svc/web nonsense!"))
        await until(lambda: isinstance(app.screen, PasteDialog))
        await shows(app, "✗", "nonsense!")
        await pilot.press("escape", "v")
        await until(lambda: isinstance(app.screen, PasteDialog))
        await pilot.press(*"k port-forward web-1 :80")
        await shows(app, "✓ shop/pod/web-1:80", "any free local port")
        await pilot.press("enter")
        await until(lambda: len(session.forwards) == 2)
