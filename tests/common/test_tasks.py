from __future__ import annotations

import asyncio
import logging

import pytest

from tui_forward.common.tasks import spawn, spawn_restarting


async def _fail() -> None:
    raise ValueError("broken")


async def test_spawn_logs_and_reports_failure(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[BaseException] = []
    task = spawn(_fail(), name="worker", on_error=errors.append)
    await asyncio.wait([task])
    assert [str(error) for error in errors] == ["broken"]
    assert "task worker failed" in caplog.text


async def test_spawn_ignores_result_and_cancellation(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[BaseException] = []
    returning = spawn(asyncio.sleep(0, result=3), name="returning", on_error=errors.append)
    canceled = spawn(asyncio.sleep(60), name="canceled", on_error=errors.append)
    assert await returning == 3
    canceled.cancel()
    await asyncio.wait([canceled])
    assert not errors
    assert not caplog.records


async def test_spawn_restarting_restarts_until_run_returns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise OSError("broken")

    await spawn_restarting(run, name="worker", delay_s=0)
    assert runs == 3
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.ERROR]
