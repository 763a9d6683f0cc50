from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.engine.forwards.backoff import Backoff


def test_bound_grows_with_the_outage_up_to_a_limit() -> None:
    backoff = Backoff(first_s=1, longest_s=10, draw=lambda: 1.0)
    delays = [backoff.failed(now) for now in (100, 101, 110, 120, 160, 1000)]
    assert delays == pytest.approx([1, 1, 1.5, 3, 9, 10])
    assert backoff.failures == 6


def test_end_of_an_outage_is_noticed_soon_with_few_attempts() -> None:
    backoff = Backoff(draw=lambda: 0.5)
    now, tries = 0.0, 0
    while now < 3600:
        wait = backoff.failed(now)
        assert wait <= max(0.1, 0.1 * now)
        now, tries = now + wait, tries + 1
    assert tries < 600


def test_competitors_share_the_rate() -> None:
    backoff = Backoff(first_s=1, longest_s=100, draw=lambda: 1.0)
    assert [backoff.failed(0, competitors=count) for count in (1, 4, 8, 40)] == [1, 1, 2, 10]
    assert backoff.bound_s(0, competitors=40) == 10


def test_short_success_does_not_reset() -> None:
    backoff = Backoff(first_s=1, longest_s=100, stable_s=5, draw=lambda: 1.0)
    backoff.failed(0)
    backoff.failed(1)
    backoff.succeeded(2)
    assert backoff.failed(6.9) == pytest.approx(1.035)


def test_loss_after_a_long_success_is_retried_at_once() -> None:
    backoff = Backoff(first_s=1, longest_s=100, stable_s=5, draw=lambda: 1.0)
    for now in range(10):
        backoff.failed(now)
    backoff.succeeded(20)
    assert backoff.failed(25) == 0
    assert backoff.failed(26) == 1


def test_success_is_timed_from_its_start() -> None:
    backoff = Backoff(stable_s=5, draw=lambda: 1.0)
    backoff.failed(0)
    backoff.succeeded(1)
    backoff.succeeded(5)  # a repeated success
    assert backoff.failed(6) == 0


def test_reset() -> None:
    backoff = Backoff(first_s=1, draw=lambda: 1.0)
    for now in range(5):
        backoff.failed(now)
    backoff.reset()
    assert backoff.failed(9) == 1


@given(st.integers(0, 5000), st.floats(0, 1, exclude_max=True))
def test_delay_never_exceeds_the_limit(failures: int, drawn: float) -> None:
    backoff = Backoff(first_s=0.25, longest_s=15, draw=lambda: drawn)
    delay = 0.0
    for _ in range(min(failures, 80)):
        delay = backoff.failed(0)
    assert 0 <= delay <= 15
