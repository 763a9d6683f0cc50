from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.support.waiting import until
from tui_forward.errors import ApiError, TransportError, TuiForwardError
from tui_forward.session import refresh_cache as refresh_cache
from tui_forward.session.refresh_cache import StaleWhileRevalidateCache


class Server:
    """Answers with how often it was asked, or with an error."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def ask(self) -> int:
        self.asked += 1
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return self.asked


@pytest.fixture
async def memory() -> AsyncIterator[StaleWhileRevalidateCache[int]]:
    made: StaleWhileRevalidateCache[int] = StaleWhileRevalidateCache()
    yield made
    await made.close()


async def get(
    memory: StaleWhileRevalidateCache[int],
    server: Server,
    *,
    key: str = "k",
    lasts_s: float = 60.0,
    for_s: float = 9,
) -> int | None:
    return await memory.get(key, server.ask, lasts_s=lasts_s, until=time.monotonic() + for_s)


async def test_what_is_fresh_is_not_asked_for_again(memory: StaleWhileRevalidateCache[int]) -> None:
    server = Server()
    assert [await get(memory, server) for _ in range(5)] == [1] * 5
    assert server.asked == 1
    assert await get(memory, server, key="other") == 2


async def test_what_is_old_is_returned_at_once_and_renewed(
    memory: StaleWhileRevalidateCache[int],
) -> None:
    server = Server()
    assert await get(memory, server) == 1
    server.answers.clear()
    assert await get(memory, server, lasts_s=0.0) == 1
    assert await get(memory, server, lasts_s=0.0) == 1, "one request at a time"
    server.answers.set()
    await until(lambda: server.asked == 2)
    await until(lambda: not any(entry.task for entry in memory._entries.values()))
    assert await get(memory, server) == 2


async def test_patience_ends_once_and_for_all_who_look(
    memory: StaleWhileRevalidateCache[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh_cache, "FIRST_RESULT_TIMEOUT_S", 0.05)
    server = Server()
    server.answers.clear()
    began = time.monotonic()
    assert await get(memory, server) is None
    assert await get(memory, server) is None
    assert await get(memory, server) is None
    assert time.monotonic() - began < 1.0
    assert server.asked == 1
    server.answers.set()
    await until(lambda: memory._entries["k"].known)
    assert await get(memory, server) == 1


async def test_nobody_waits_past_his_own_deadline(memory: StaleWhileRevalidateCache[int]) -> None:
    server = Server()
    server.answers.clear()
    began = time.monotonic()
    assert await get(memory, server, for_s=0.0) is None
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("status", [403, 404])
async def test_a_refusal_is_remembered_and_takes_the_place_of_the_value(
    memory: StaleWhileRevalidateCache[int], status: int
) -> None:
    server = Server()
    assert await get(memory, server) == 1
    server.error = ApiError("no", status=status)
    await get(memory, server, lasts_s=0.0)
    await until(lambda: memory._entries["k"].error is server.error)
    assert [await get(memory, server) for _ in range(5)] == [None] * 5
    assert server.asked == 2


async def test_trouble_that_passes_leaves_the_value_and_is_looked_at_again_soon(
    memory: StaleWhileRevalidateCache[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server()
    assert await get(memory, server) == 1
    server.error = TransportError("gone")
    await get(memory, server, lasts_s=0.0)
    await until(lambda: memory._entries["k"].error is server.error)
    assert await get(memory, server) == 1
    assert server.asked == 2, "not at once"
    monkeypatch.setattr(refresh_cache, "_RETRY_S", 0.0)
    server.error = None
    await get(memory, server)
    await until(lambda: server.asked == 3)


async def test_no_answer_and_bugs_are_failures_like_others(
    memory: StaleWhileRevalidateCache[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server()
    server.error = ZeroDivisionError("bug")
    assert await get(memory, server) is None
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.setattr(refresh_cache, "_ANSWER_S", 0.01)
    server.answers.clear()
    assert await get(memory, server, key="slow") is None
    assert isinstance(memory._entries["slow"].error, TuiForwardError)


async def test_it_does_not_grow(
    memory: StaleWhileRevalidateCache[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server()
    for number in range(200):
        await get(memory, server, key=str(number))
    assert len(memory._entries) <= refresh_cache._MOST + 1
    assert await get(memory, server, key="199") == 200, "the latest are the ones that stay"
    monkeypatch.setattr(refresh_cache, "_UNUSED_S", -1.0)
    await get(memory, server, key="new")
    assert list(memory._entries) == ["new"]


async def test_closing_ends_what_is_under_way(memory: StaleWhileRevalidateCache[int]) -> None:
    server = Server()
    server.answers.clear()
    await get(memory, server, for_s=0.0)
    await until(lambda: server.asked)
    (entry,) = memory._entries.values()
    task = entry.task
    assert task is not None
    await memory.close()
    assert task.done()
    assert await get(memory, server) is None
    assert server.asked == 1
