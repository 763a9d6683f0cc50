from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """A task or a socket that outlives its test is a leak."""
    before = asyncio.all_tasks()
    yield
    mine = asyncio.current_task()
    left = {t for t in asyncio.all_tasks() - before if not t.done() and t is not mine}
    assert not left, left
    gc.collect()  # an unclosed socket warns now, and warnings are errors
