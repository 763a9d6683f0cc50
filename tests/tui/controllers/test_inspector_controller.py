from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual.app import App

from tests.cli.fake_session import FakeSession, until
from tui_forward.tui.controllers import inspector_controller
from tui_forward.tui.controllers.inspector_controller import InspectorController


class Samples:
    """The samples of a sampler; each that is waited for is taken at once."""

    count = 0

    async def wait_for_sample(self, _since: int) -> None:
        self.count += 1


async def test_inspector_waits_while_the_app_has_no_screen_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inspector_controller, "INTERVAL_S", 0.0)
    app, samples, dashboard = App[None](), Samples(), object()
    session = FakeSession()
    sampler: Any = samples
    controller = InspectorController(app, session, sampler, dashboard)  # type: ignore[arg-type]
    poll = asyncio.create_task(controller._poll("f1"))
    await until(lambda: poll.done() or samples.count > 1)
    assert not poll.done()
    assert session.calls == []
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll
