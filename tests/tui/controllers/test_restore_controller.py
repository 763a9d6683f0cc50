from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.fake_session import until
from tests.tui.app_harness import shows
from tests.tui.samples import shop
from tui_forward.errors import ForwardError, TuiForwardError
from tui_forward.model import (
    ForwardSpec,
    Target,
    TargetKind,
)
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.controllers.restore_controller import RestoreOffer
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.storage.paths import DashboardPaths


@pytest.mark.parametrize(("key", "restores"), [("enter", True), ("n", False)])
async def test_restore_question_starts_or_discards_forwards(key: str, restores: bool) -> None:
    session = shop()
    target = Target(
        context="here", namespace="shop", kind=TargetKind.DEPLOYMENT, name="web", port="80"
    )
    specs = [ForwardSpec(target=target, local_port=8080 + number) for number in range(12)]
    discarded: list[bool] = []

    async def restore() -> list[TuiForwardError]:
        for spec in specs[1:]:
            await session.start(spec)
        return [ForwardError("one cannot be started")]

    offer = RestoreOffer(specs, restore, lambda: discarded.append(True))
    app = TuiForwardApp(session, context="here", namespace="shop", restore_offer=offer)
    async with app.run_test(size=(100, 34), notifications=True) as pilot:
        await shows(
            app, "Restore 12 forwards of the last session", "shop/deploy/web:80 ← 8080", "2 more"
        )
        await pilot.press(key)
        await until(lambda: discarded)
        if restores:
            await shows(app, "11 forwards restored", "one cannot be started")
        assert len(session.forwards) == (11 if restores else 0)


@pytest.mark.parametrize("policy", ["ask", "never"])
async def test_unanswered_offer_is_kept(policy: str, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(f'restore = "{policy}"\n')
    session, discarded = shop(), []
    target = Target(context="here", namespace="shop", kind=TargetKind.POD, name="web", port="80")

    async def restore() -> list[TuiForwardError]:
        raise AssertionError

    offer = RestoreOffer([ForwardSpec(target=target)], restore, lambda: discarded.append(True))
    files = DashboardPaths(settings=tmp_path / "settings.toml")
    app = TuiForwardApp(session, context="here", namespace="shop", restore_offer=offer, paths=files)
    async with app.run_test(size=(100, 34)) as pilot:
        if policy == "ask":
            await shows(app, "Restore 1 forward of the last session", "esc Later")
            await pilot.press("escape")
        await shows(app, "web-1", "1-9 Start")
        assert isinstance(app.screen, Dashboard)
    assert not discarded
