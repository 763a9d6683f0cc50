from __future__ import annotations

import pytest
from textual import events

from tests.cli.fake_session import until
from tests.tui.app_harness import running, shows
from tests.tui.samples import shop
from tui_forward.tui.screens.paste_dialog import PasteDialog
from tui_forward.tui.storage.paths import DashboardPaths
from tui_forward.tui.widgets.command_area import CommandArea


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


PASTE = """\
$ kubectl port-forward -n shop \\\r\
>   svc/web 8080:80 &\r\
Forwarding from 127.0.0.1:8080 -> 80\r\
kubectl port-forward -n $NS svc/api 8081:80\r\
(kubectl port-forward -n data sts/db 5432 &)\r\
"""


async def test_paste_of_several_lines_is_shown_before_it_is_started() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("v")
        await until(lambda: isinstance(app.screen, PasteDialog))
        app.screen.query_one(CommandArea).post_message(events.Paste(PASTE))
        await shows(
            app, "✓ shop/svc/web:80  ←  local port 8080", "✓ data/sts/db:5432",
            "✗ line 4: left out: needs a value for NS", "3 found, 2 imported, 1 left out",
        )  # fmt: skip
        assert not session.forwards
        await pilot.press("enter")
        await until(lambda: len(session.forwards) == 2)
        targets = {str(one.spec.target) for one in session.forwards.values()}
        assert targets == {"shop/svc/web:80", "data/sts/db:5432"}
        assert not any(one.spec.name for one in session.forwards.values())
        # On the dashboard itself, a paste with something left out is shown first.
        app.post_message(events.Paste(PASTE.replace("8080", "9090")))
        await until(lambda: isinstance(app.screen, PasteDialog))
        await shows(app, "local port 9090", "3 found, 2 imported, 1 left out")
        await pilot.press("escape")
        app.post_message(
            events.Paste("kubectl port-forward svc/a 1:2 & sleep 5\r(k port-forward b 3:4)")
        )
        await until(lambda: len(session.forwards) == 4)


async def test_lines_can_be_typed() -> None:
    session = shop()
    async with running(session, (80, 24)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("v")
        await until(lambda: isinstance(app.screen, PasteDialog))
        await shows(app, "Type a target and ports")
        await pilot.press(*"svc/web 1:2", "ctrl+j", *"web-1 9090")
        await shows(app, "✓ shop/svc/web:2", "✓ shop/pod/web-1:9090", "2 found, 2 imported")
        await pilot.press("ctrl+j", *"x")
        await shows(app, "✗ line 3: left out: no port given")
        await pilot.press("enter")
        await until(lambda: len(session.forwards) == 2)


@pytest.mark.parametrize(
    ("kubeconfigs", "is_own"), [("./lab.yaml", True), ("", False), (None, False)]
)
async def test_command_with_the_kubeconfig_of_the_session_is_kept(
    kubeconfigs: str | None, *, is_own: bool
) -> None:
    session = shop()
    files = DashboardPaths(kubeconfigs=kubeconfigs)
    async with running(session, (120, 34), files=files) as (app, _):
        await shows(app, "web-1")
        app.post_message(events.Paste("KUBECONFIG=lab.yaml kubectl port-forward svc/web 80"))
        if is_own:
            await until(lambda: session.forwards)
        else:
            await shows(app, "✗ it has its own kubeconfig, lab.yaml")
