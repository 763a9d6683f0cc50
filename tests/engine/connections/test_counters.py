from __future__ import annotations

import pytest

from tui_forward.engine.connections.counters import ForwardCounters, Rate


def test_a_steady_stream_is_measured_within_a_few_seconds_and_forgotten_as_fast() -> None:
    rate = Rate(0.0)
    shown = [rate.sample(1000 * second, float(second)) for second in range(1, 8)]
    assert shown == sorted(shown)
    assert shown[-1] == pytest.approx(1000, rel=0.01)
    for second in range(8, 18):
        last = rate.sample(7000, float(second))
    assert last == 0.0


def test_sampling_more_often_does_not_change_the_answer() -> None:
    often, seldom = Rate(0.0), Rate(0.0)
    for tenth in range(1, 51):
        fast = often.sample(100 * tenth, tenth / 10)
        if tenth % 10 == 0:
            slow = seldom.sample(100 * tenth, tenth / 10)
    assert fast == pytest.approx(slow, rel=0.01)


def test_samples_too_close_together_repeat_the_last_answer() -> None:
    rate = Rate(0.0)
    first = rate.sample(1000, 1.0)
    assert rate.sample(999_999, 1.05) == first


def test_a_snapshot_has_the_exact_totals() -> None:
    counters = ForwardCounters()
    counters.bytes_from_pod += 5
    counters.bytes_to_pod += 7
    counters.connections_open += 1
    counters.connections_total += 2
    counters.connections_failed += 1
    seen = counters.snapshot()
    assert (seen.bytes_from_pod, seen.bytes_to_pod) == (5, 7)
    assert (seen.connections_open, seen.connections_total, seen.connections_failed) == (1, 2, 1)
