from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.engine.connections.first_byte_times import WINDOW_S, FirstByteRecorder
from tui_forward.model import FIRST_BYTE_BOUNDS_S


def test_percentiles_are_within_five_percent() -> None:
    recorder = FirstByteRecorder(0.0)
    assert recorder.snapshot(0.0) is None
    for number in range(1, 1001):
        recorder.record(number / 1000, 1.0)
    found = recorder.snapshot(1.0)
    assert found is not None
    assert found.count == 1000
    assert found.p50_s == pytest.approx(0.5, rel=0.05)
    assert found.p99_s == pytest.approx(0.99, rel=0.05)


def test_old_connections_are_forgotten() -> None:
    recorder = FirstByteRecorder(0.0)
    recorder.record(9.0, 1.0)
    recorder.record(0.002, WINDOW_S + 1)
    both = recorder.snapshot(WINDOW_S + 2)
    assert both is not None
    assert both.count == 2
    later = recorder.snapshot(2 * WINDOW_S + 2)
    assert later is not None
    assert (later.count, later.p99_s < 0.01) == (1, True)
    assert recorder.snapshot(9 * WINDOW_S) is None


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=50))
def test_any_time_has_a_place(times: list[float]) -> None:
    recorder = FirstByteRecorder(0.0)
    for seconds in times:
        recorder.record(seconds, 0.0)
    found = recorder.snapshot(0.0)
    assert found is not None
    assert 0 < found.p50_s <= found.p99_s < 1000


def test_histogram_counts_all_connections() -> None:
    recorder = FirstByteRecorder(0.0)
    for seconds in (0.0, 0.001, 0.0011, 10.0, 10.1, 1e9):
        recorder.record(seconds, 0.0)
    recorder.snapshot(100 * WINDOW_S)
    found = recorder.histogram()
    assert found.counts == (2, 1, *[0] * 9, 0, 1, 2)
    assert found.sum_s == pytest.approx(1e9 + 20.1021)
    assert len(found.counts) == len(FIRST_BYTE_BOUNDS_S) + 1
