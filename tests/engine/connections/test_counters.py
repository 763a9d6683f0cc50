from __future__ import annotations

import pytest

from tui_forward.engine.connections.counters import ForwardCounters, Rate


def test_rate_follows_the_traffic_within_seconds() -> None:
    rate = Rate(0.0)
    rates = [rate.sample(1000 * second, float(second)) for second in range(1, 8)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(1000, rel=0.01)
    for second in range(8, 18):
        last = rate.sample(7000, float(second))
    assert last == 0.0


def test_rate_does_not_depend_on_the_sampling_interval() -> None:
    frequent, rare = Rate(0.0), Rate(0.0)
    for tenth in range(1, 51):
        fast = frequent.sample(100 * tenth, tenth / 10)
        if tenth % 10 == 0:
            slow = rare.sample(100 * tenth, tenth / 10)
    assert fast == pytest.approx(slow, rel=0.01)


def test_samples_close_together_repeat_the_rate() -> None:
    rate = Rate(0.0)
    first = rate.sample(1000, 1.0)
    assert rate.sample(999_999, 1.05) == first


def test_snapshot_has_the_exact_totals() -> None:
    counters = ForwardCounters()
    counters.bytes_from_pod += 5
    counters.bytes_to_pod += 7
    counters.connections_open += 1
    counters.connections_total += 2
    counters.record_failure()
    snapshot = counters.snapshot()
    assert counters.failed_at is not None
    assert (snapshot.bytes_from_pod, snapshot.bytes_to_pod) == (5, 7)
    assert (snapshot.connections_open, snapshot.connections_total, snapshot.connections_failed) == (
        1,
        2,
        1,
    )
