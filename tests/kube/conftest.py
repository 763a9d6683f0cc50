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
async def nothing_left() -> AsyncIterator[None]:
    """A task or a socket that outlives its test is a leak."""
    before = asyncio.all_tasks()
    yield
    mine = asyncio.current_task()
    left = {t for t in asyncio.all_tasks() - before if not t.done() and t is not mine}
    assert not left, left
    gc.collect()  # an unclosed socket warns now, and warnings are errors


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    return tmp_path / "config"
