from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kube.api_server import ApiServer, serving
from tests.kube.certificates import Authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with serving() as server:
        yield server


@pytest.fixture(autouse=True)
async def no_leaks() -> AsyncIterator[None]:
    """Fail on tasks and sockets that outlive their test."""
    before = asyncio.all_tasks()
    yield
    current = asyncio.current_task()
    leaked = {t for t in asyncio.all_tasks() - before if not t.done() and t is not current}
    assert not leaked, leaked
    gc.collect()  # an unclosed socket warns now, and warnings are errors


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    return tmp_path / "config"
