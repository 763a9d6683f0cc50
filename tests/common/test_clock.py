from __future__ import annotations

import time

import pytest

from tui_forward.common.clock import SteadyClock, boottime, correction_s, steady_time


class Clocks:
    """A system clock that can be set, and one that cannot."""

    def __init__(self) -> None:
        self.wall, self.uptime = 1_800_000_000.0, 50.0

    def steady(self) -> SteadyClock:
        return SteadyClock(lambda: self.wall, lambda: self.uptime)

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.uptime += seconds


@pytest.mark.parametrize("set_by", [-86400.0 * 3650, -3600.0, -1.0, 1.0, 3600.0, 86400.0 * 3650])
def test_ages_are_right_whatever_the_clock_is_set_to(set_by: float) -> None:
    clocks = Clocks()
    clock = clocks.steady()
    clocks.pass_time(10)
    began = clock.time()
    clocks.pass_time(5)
    assert clocks.wall - (began + clock.correction_s()) == pytest.approx(5)
    clocks.wall += set_by
    clocks.pass_time(2)
    assert clock.time() - began == pytest.approx(7)
    assert clocks.wall - (began + clock.correction_s()) == pytest.approx(7)
    clocks.wall -= set_by  # corrected
    assert clock.correction_s() == 0.0


def test_correction_is_constant_while_the_clock_is_adjusted_gradually() -> None:
    clocks = Clocks()
    clock = clocks.steady()
    seen = set()
    for _ in range(20):
        clocks.pass_time(60)
        clocks.wall += 0.01
        seen.add(clock.correction_s())
    assert seen == {0.0}
    clocks.wall += 100
    seen = {clock.correction_s()}
    for _ in range(20):
        clocks.pass_time(60)
        clocks.wall += 0.01
        seen.add(clock.correction_s())
    assert len(seen) == 1


def test_clock_of_this_process_agrees_with_the_system_clock() -> None:
    assert abs(steady_time() + correction_s() - time.time()) < 1
    before = boottime()
    assert boottime() >= before
