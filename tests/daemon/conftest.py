from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.support.engine_processes import EngineSandbox
from tests.support.waiting import until


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[EngineSandbox]:
    sandbox = EngineSandbox(tmp_path)
    yield sandbox

    def none_left() -> bool:
        for process in sandbox.engines():  # a parent may have started another one meanwhile
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return not sandbox.engines()

    await until(none_left)
