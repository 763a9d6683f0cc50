from __future__ import annotations

import pytest

from tests.cli.fake_session import until
from tests.tui.app_harness import running, shows
from tests.tui.samples import shop


async def test_copy_puts_the_address_on_the_clipboard() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("y")
        await until(lambda: app.clipboard == "http://127.0.0.1:8081/")
        await shows(app, "Copied http://127.0.0.1:8081/")


async def test_open_shows_the_forward_in_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def browse(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr("webbrowser.open", browse)
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("o")
        await until(lambda: opened == ["http://127.0.0.1:8081/"])
