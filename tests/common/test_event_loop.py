from __future__ import annotations

import asyncio
import sys

import pytest

from tui_forward.common import event_loop


async def _loop_name() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_uvloop_is_used_where_it_is_installed() -> None:
    pytest.importorskip("uvloop")
    assert event_loop.run(_loop_name()) == "uvloop"


def test_the_loop_of_asyncio_is_used_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert event_loop.run(_loop_name()) == "asyncio"
