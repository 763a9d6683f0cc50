"""A check that a test leaves no task and no socket behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

_TESTS_PER_FULL_COLLECTION = 200
_tests = itertools.count(1)


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail on tasks and sockets that outlive their test."""
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("no_leaked_tasks")
    yield
    # What older tests and imports have left behind is looked at now and then only: the time that a
    # collection takes grows with the number of objects.
    if next(_tests) % _TESTS_PER_FULL_COLLECTION == 0:
        gc.unfreeze()
    gc.collect()  # an unclosed socket warns now, and warnings are errors
    gc.freeze()


@pytest.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Fail on tasks that outlive their test."""
    before = asyncio.all_tasks()
    yield
    current = asyncio.current_task()
    leaked = {t for t in asyncio.all_tasks() - before if not t.done() and t is not current}
    assert not leaked, leaked
