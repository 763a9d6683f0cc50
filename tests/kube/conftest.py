from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kube.api_server import ApiServer, serving
from tests.kube.certificates import Authority, server_context
from tests.support.leaks import no_leaked_tasks, no_leaks

__all__ = ["no_leaked_tasks", "no_leaks"]


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with serving() as server:
        yield server


@pytest.fixture
async def secure_api(tmp_path: Path, authority: Authority) -> AsyncIterator[ApiServer]:
    """A server with TLS: credentials are sent to no other."""
    async with serving(tls=server_context(authority.issue("server"), tmp_path)) as server:
        yield server


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    return tmp_path / "config"
