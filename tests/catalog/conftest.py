from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.catalog.harness import Setup
from tests.kube.api_server import serving
from tests.kube.certificates import Authority, server_context
from tests.support.leaks import no_leaked_tasks, no_leaks
from tui_forward.catalog import reflector

__all__ = ["no_leaked_tasks", "no_leaks"]


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten intervals that are long for a test."""
    monkeypatch.setattr(reflector, "_FIRST_DELAY_S", 0.01)
    # Pauses double, so a slow machine would wait as long again as a test has taken until then.
    monkeypatch.setattr(reflector, "_LONGEST_DELAY_S", 0.1)
    monkeypatch.setattr(reflector, "_POLL_S", 0.02)
    monkeypatch.setattr(reflector, "_POLL_LARGE_S", 0.02)


@pytest.fixture
async def secure_setup(tmp_path: Path) -> AsyncIterator[Setup]:
    """A setup with TLS: credentials are sent to no other server."""
    async with serving(tls=server_context(Authority().issue("server"), tmp_path)) as server:
        live = Setup(server, tmp_path / "config")
        yield live
        await live.close()


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    async with serving() as server:
        live = Setup(server, tmp_path / "config")
        yield live
        await live.close()
