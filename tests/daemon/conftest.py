from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.support.engine_processes import EngineSandbox
from tests.support.waiting import until


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[EngineSandbox]:
    place = EngineSandbox(tmp_path)
    yield place

    def none_left() -> bool:
        for process in place.engines():  # a parent may have begun another one meanwhile
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return not place.engines()

    await until(none_left)
