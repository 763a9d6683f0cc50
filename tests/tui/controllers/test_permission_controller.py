"""What the user may not do, in the ports pane before a key is pressed."""

from __future__ import annotations

from tests.cli.fake_session import FakeSession, until
from tests.tui.app_harness import running, screen_text, shows
from tests.tui.samples import pod, shop, view
from tui_forward.model import CatalogScope, TargetKind


def asked(session: FakeSession) -> list[CatalogScope]:
    return [
        call[1]
        for call in session.calls
        if call[0] == "missing_permissions" and isinstance(call[1], CatalogScope)
    ]


async def test_missing_permission_is_shown_and_a_start_is_possible() -> None:
    session = shop()
    session.missing = {TargetKind.POD: ("create pods/portforward",)}
    async with running(session, (160, 45)) as (app, pilot):
        await shows(app, "web-1", "no role")
        await shows(app, "no permission to create pods/portforward in shop · 1 tries it")
        await pilot.press("1")
        await shows(app, "● ready")
        assert "start" in [call[0] for call in session.calls]
        # The port with a forward shows the forward.
        await shows(app, "→ :8081")


async def test_nothing_is_shown_while_nothing_is_missing() -> None:
    session = shop()
    async with running(session, (160, 45)) as (app, _):
        await shows(app, "web-1")
        await until(lambda: bool(asked(session)))
        assert "no role" not in screen_text(app)
        assert "no permission" not in screen_text(app)


async def test_only_the_namespace_under_the_cursor_is_asked_for() -> None:
    session = shop()
    everywhere = CatalogScope("here", "")
    namespaces = [f"ns-{number:03}" for number in range(500)]
    pods = [pod(f"web-{number}", namespace=name) for number, name in enumerate(namespaces)]
    session.views[everywhere] = view(*pods, scope=everywhere)
    async with running(session, (160, 45), namespace="") as (app, pilot):
        await shows(app, "ns-000")
        await until(lambda: len(asked(session)) == 1)
        await pilot.press(*["down"] * 20)
        await until(lambda: len(asked(session)) > 1)
        found = asked(session)
        assert 2 <= len(found) <= 5, "rows that the cursor only passed are not asked for"
        assert all(each.namespace for each in found)
