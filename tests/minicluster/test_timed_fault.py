from __future__ import annotations

import pytest

from tests.support.virtual_time import VirtualTime
from tui_forward.minicluster.timed_fault import TimedFault


async def test_fault_ends_after_its_time_unless_changed_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = VirtualTime(monkeypatch)
    applied: list[bool] = []
    fault = TimedFault(applied.append)
    fault.set(on=True, for_s=5)
    await time.pass_seconds(4)
    assert applied == [True]
    await time.pass_seconds(2)
    assert applied == [True, False]

    fault.set(on=True, for_s=5)
    fault.set(on=True)  # for good: the earlier time no longer counts
    await time.pass_seconds(60)
    assert applied == [True, False, True, True]

    fault.set(on=True, for_s=5)
    fault.set(on=False)
    await time.pass_seconds(60)
    assert applied[4:] == [True, False]
