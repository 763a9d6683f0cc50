from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.support.waiting import until
from tui_forward.errors import ApiError, TransportError, TuiForwardError
from tui_forward.session import refresh_cache
from tui_forward.session.refresh_cache import StaleWhileRevalidateCache


class Server:
    """Returns the number of reads, or raises an error."""

    def __init__(self) -> None:
        self.reads = 0
        self.error: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def read(self) -> int:
        self.reads += 1
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return self.reads


@pytest.fixture
async def cache() -> AsyncIterator[StaleWhileRevalidateCache[int]]:
    made: StaleWhileRevalidateCache[int] = StaleWhileRevalidateCache()
    yield made
    await made.close()


async def get(
    cache: StaleWhileRevalidateCache[int],
    server: Server,
    *,
    key: str = "k",
    max_age_s: float = 60.0,
    for_s: float = 9,
) -> int | None:
    return await cache.get(key, server.read, max_age_s=max_age_s, until=time.monotonic() + for_s)


async def test_fresh_value_is_not_read_again(cache: StaleWhileRevalidateCache[int]) -> None:
    server = Server()
    assert [await get(cache, server) for _ in range(5)] == [1] * 5
    assert server.reads == 1
    assert await get(cache, server, key="other") == 2


async def test_stale_value_is_returned_and_refreshed(
    cache: StaleWhileRevalidateCache[int],
) -> None:
    server = Server()
    assert await get(cache, server) == 1
    server.answers.clear()
    assert await get(cache, server, max_age_s=0.0) == 1
    assert await get(cache, server, max_age_s=0.0) == 1, "one request at a time"
    server.answers.set()
    await until(lambda: server.reads == 2)
    await until(lambda: not any(entry.task for entry in cache._entries.values()))
    assert await get(cache, server) == 2


async def test_first_read_waits_once_for_all_callers(
    cache: StaleWhileRevalidateCache[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh_cache, "FIRST_RESULT_TIMEOUT_S", 0.05)
    server = Server()
    server.answers.clear()
    began = time.monotonic()
    assert await get(cache, server) is None
    assert await get(cache, server) is None
    assert await get(cache, server) is None
    assert time.monotonic() - began < 9, "the limit of a caller"
    assert server.reads == 1
    server.answers.set()
    await until(lambda: cache._entries["k"].is_loaded)
    assert await get(cache, server) == 1


async def test_caller_waits_until_its_own_deadline(cache: StaleWhileRevalidateCache[int]) -> None:
    server = Server()
    server.answers.clear()
    began = time.monotonic()
    assert await get(cache, server, for_s=0.0) is None
    assert time.monotonic() - began < refresh_cache.FIRST_RESULT_TIMEOUT_S


@pytest.mark.parametrize("status", [403, 404])
async def test_refusal_is_cached_and_replaces_the_value(
    cache: StaleWhileRevalidateCache[int], status: int
) -> None:
    server = Server()
    assert await get(cache, server) == 1
    server.error = ApiError("no", status=status)
    await get(cache, server, max_age_s=0.0)
    await until(lambda: cache._entries["k"].error is server.error)
    assert [await get(cache, server) for _ in range(5)] == [None] * 5
    assert server.reads == 2


async def test_temporary_failure_keeps_the_value_and_is_retried(
    cache: StaleWhileRevalidateCache[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server()
    assert await get(cache, server) == 1
    server.error = TransportError("gone")
    await get(cache, server, max_age_s=0.0)
    await until(lambda: cache._entries["k"].error is server.error)
    assert await get(cache, server) == 1
    assert server.reads == 2, "not at once"
    monkeypatch.setattr(refresh_cache, "_RETRY_S", 0.0)
    server.error = None
    await get(cache, server)
    await until(lambda: server.reads == 3)


async def test_timeout_and_internal_error_are_failures(
    cache: StaleWhileRevalidateCache[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server()
    server.error = ZeroDivisionError("bug")
    assert await get(cache, server) is None
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.setattr(refresh_cache, "_READ_TIMEOUT_S", 0.01)
    server.answers.clear()
    assert await get(cache, server, key="slow") is None
    assert isinstance(cache._entries["slow"].error, TuiForwardError)


async def test_cache_is_bounded(
    cache: StaleWhileRevalidateCache[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server()
    for number in range(200):
        await get(cache, server, key=str(number))
    assert len(cache._entries) <= refresh_cache._MAX_ENTRIES + 1
    assert await get(cache, server, key="199") == 200, "the latest are the ones that stay"
    monkeypatch.setattr(refresh_cache, "_UNUSED_S", -1.0)
    await get(cache, server, key="new")
    assert list(cache._entries) == ["new"]


async def test_close_cancels_reads(cache: StaleWhileRevalidateCache[int]) -> None:
    server = Server()
    server.answers.clear()
    await get(cache, server, for_s=0.0)
    await until(lambda: server.reads)
    (entry,) = cache._entries.values()
    task = entry.task
    assert task is not None
    await cache.close()
    assert task.done()
    assert await get(cache, server) is None
    assert server.reads == 1
