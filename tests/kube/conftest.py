from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kube.api_server import ApiServer, serving
from tests.kube.certificates import Authority
from tests.support.leaks import no_leaks

__all__ = ["no_leaks"]


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with serving() as server:
        yield server


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    return tmp_path / "config"
