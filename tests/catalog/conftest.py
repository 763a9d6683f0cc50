from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.catalog.harness import Setup
from tests.kube.api_server import serving
from tui_forward.catalog import reflector


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """A task or a socket that outlives its test is a leak."""
    before = asyncio.all_tasks()
    yield
    mine = asyncio.current_task()
    left = {t for t in asyncio.all_tasks() - before if not t.done() and t is not mine}
    assert not left, left
    gc.collect()  # an unclosed socket warns now, and warnings are errors


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten intervals that are long for a test."""
    monkeypatch.setattr(reflector, "_FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(reflector, "_POLL_S", 0.02)
    monkeypatch.setattr(reflector, "_POLL_LARGE_S", 0.02)


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    async with serving() as server:
        live = Setup(server, tmp_path / "config")
        yield live
        await live.close()
