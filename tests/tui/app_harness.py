"""Dashboard over a fake session, with its screen as text."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from tests.cli.fake_session import FakeSession, until
from tui_forward.common.periodic_checks import SETTINGS_CHECKS
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.controllers import sampler
from tui_forward.tui.storage.context_choice import ContextChoice
from tui_forward.tui.storage.paths import DashboardPaths


def screen_text(app: TuiForwardApp) -> str:
    """Return the text on the terminal."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


@asynccontextmanager
async def running(
    session: FakeSession,
    size: tuple[int, int] = (80, 24),
    namespace: str = "shop",
    files: DashboardPaths | None = None,
    context: str = "here",
    choice: ContextChoice | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[tuple[TuiForwardApp, Pilot[None]]]:
    app = TuiForwardApp(
        session, context=context, namespace=namespace, paths=files, context_choice=choice,
        clock=clock,
    )  # fmt: skip
    app.animation_level = "none"  # scrolls in one step, so that tests need not wait for it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, "QUIET_INTERVAL_S", 0.25)  # what a test changes is to be seen soon
        patch.setattr(SETTINGS_CHECKS, "interval_s", 0.1)
        async with app.run_test(size=size, notifications=True) as pilot:
            yield app, pilot
    assert app.crash is None


async def shows(app: TuiForwardApp, *texts: str) -> None:
    """Wait until texts are on the terminal, with any number of spaces between words."""

    def are_shown() -> bool:
        shown = screen_text(app)  # once for all: it takes longer than the search
        squeezed = re.sub(" +", " ", shown)
        return all(text in shown or text in squeezed for text in texts)

    try:
        await until(are_shown)
    except AssertionError:
        raise AssertionError(f"{texts} are not all on\n{screen_text(app)}") from None


def notifications(app: TuiForwardApp) -> list[str]:
    return [notification.message for notification in app._notifications]
