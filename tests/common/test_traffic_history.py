from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.viewmodel.test_forward_list import forward
from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.model import Counters, Forward, ForwardState, TrafficHistory

READY, WAITING = ForwardState.READY, ForwardState.WAITING


def counted(down: int, up: int = 0) -> Forward:
    counters = Counters(bytes_from_pod=down, bytes_to_pod=up)
    return msgspec.structs.replace(forward(1), counters=counters)


def test_amounts_per_second() -> None:
    histories = TrafficHistories()
    for now, down, up in ((0.0, 100, 0), (1.0, 150, 7), (1.4, 160, 7), (2.0, 170, 7)):
        histories.sample([counted(down, up)], now)
    assert histories.series("f1", 10) == [(50, 7), (20, 0)]
    assert histories.series("f1", 1) == [(20, 0)]
    assert histories.series("f2", 10) == []


def test_bytes_between_samples_are_spread_evenly() -> None:
    histories = TrafficHistories()
    histories.sample([counted(0)], 0)
    histories.sample([counted(10)], 3.5)
    assert histories.series("f1", 10) == [(3, 0), (3, 0), (4, 0)]


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 10**9)), min_size=1, max_size=30))
def test_no_byte_is_lost_between_samples(steps: list[tuple[float, int]]) -> None:
    histories = TrafficHistories()
    histories.sample([counted(0)], 0)
    now, total = 0.0, 0
    for pause, amount in steps:
        now, total = now + pause, total + amount
        histories.sample([counted(total)], now)
    histories.sample([counted(total)], now + 1)
    assert sum(down for down, _ in histories.series("f1", 600)) == total


def test_counters_of_a_new_engine_count_from_zero() -> None:
    histories = TrafficHistories()
    for now, down, up in ((0.0, 1000, 9), (1.0, 1500, 9), (2.0, 20, 0), (3.0, 50, 4)):
        histories.sample([counted(down, up)], now)
    assert histories.series("f1", 10) == [(500, 0), (20, 0), (30, 4)]


@given(st.lists(st.tuples(st.integers(), st.integers()), min_size=1, max_size=20))
def test_amounts_are_never_negative(totals: list[tuple[int, int]]) -> None:
    histories = TrafficHistories()
    for now, (down, up) in enumerate(totals):
        histories.sample([counted(down, up)], now)
    assert all(down >= 0 and up >= 0 for down, up in histories.series("f1", 600))


def test_ten_minutes_are_kept() -> None:
    histories = TrafficHistories()
    for now in range(1000):
        histories.sample([counted(now)], now)
    assert len(histories.series("f1", 10_000)) == 600


def test_removed_forwards_are_dropped() -> None:
    histories = TrafficHistories()
    histories.sample([counted(0)], 0)
    histories.sample([counted(5)], 1)
    histories.sample([], 2)
    assert histories.series("f1", 10) == []


def test_merge_of_an_exported_history() -> None:
    before, after = TrafficHistories(), TrafficHistories()
    for now, down in enumerate((0, 10, 30)):
        before.sample([counted(down)], now)
    after.merge(before.export())
    assert after.series("f1", 10) == [], "what is not on is not remembered"
    after.sample([counted(30)], 100.0)
    after.merge(before.export())
    after.sample([counted(35)], 101.0)
    assert after.series("f1", 10) == [(10, 0), (20, 0), (5, 0)]
    assert after.ready("f1", 10) == [True, True, True]
    # A history sampled for longer is kept.
    before.merge(TrafficHistories().export())
    after.merge([TrafficHistory(forward_id="f1", seconds=((1, 1),))])
    assert len(after.series("f1", 10)) == 3


def test_seconds_without_a_tunnel() -> None:
    histories = TrafficHistories()
    for now, state in enumerate((READY, READY, WAITING, READY)):
        histories.sample([msgspec.structs.replace(counted(0), state=state)], now)
    assert histories.ready("f1", 10) == [True, False, True]
    assert histories.ready("f1", 2) == [False, True]
    assert histories.ready("f2", 2) == []


def test_states_are_as_long_as_the_seconds() -> None:
    for sent in ((), (False,), (False,) * 9):
        histories = TrafficHistories()
        histories.sample([counted(0)], 0)
        histories.merge([TrafficHistory(forward_id="f1", seconds=((1, 1),) * 3, ready=sent)])
        assert len(histories.ready("f1", 600)) == len(histories.series("f1", 600)) == 3
