from __future__ import annotations

import pytest

from tui_forward.engine.forwards.auto_reset_event import AutoResetEvent
from tui_forward.engine.forwards.dial_schedule import DialSchedule
from tui_forward.model import Reason, ReasonCode

NETWORK = Reason(code=ReasonCode.TUNNEL_NOT_OPEN)
LOGIN = Reason(code=ReasonCode.AUTH_UNAUTHORIZED)
STARTING = Reason(code=ReasonCode.API_STARTING)


@pytest.fixture
def schedule() -> DialSchedule:
    return DialSchedule(AutoResetEvent(), lambda: 1)


def test_first_dial_begins_at_once(schedule: DialSchedule) -> None:
    assert schedule.pause_s(1000.0) <= 0


def test_what_needs_the_user_is_tried_ever_more_slowly(schedule: DialSchedule) -> None:
    delays = [schedule.failed(LOGIN, 1000.0) for _ in range(7)]
    assert delays == [15.0, 30.0, 60.0, 120.0, 300.0, 300.0, 300.0]
    schedule.retry_now()
    assert schedule.failed(LOGIN, 1000.0) == 15.0
    schedule.succeeded(1000.0)
    assert schedule.failed(LOGIN, 1000.0) == 15.0


@pytest.mark.parametrize(
    ("reason", "asked_s", "expected"),
    [(STARTING, 0.0, 0.5), (STARTING, 30.0, 0.5), (NETWORK, 30.0, 30.0), (NETWORK, 1e9, 60.0),
     (LOGIN, 60.0, 15.0)],
)  # fmt: skip
def test_servers_may_ask_for_a_delay(
    schedule: DialSchedule, reason: Reason, asked_s: float, expected: float
) -> None:
    assert schedule.failed(reason, 1000.0, at_least_s=asked_s) == expected
    assert schedule.pause_s(1000.0) == schedule.delay_s(1000.0) == expected


@pytest.mark.parametrize("shorten", ["retry_now", "end_delay"])
def test_delay_is_ended_but_not_the_pause_between_dials(
    schedule: DialSchedule, shorten: str
) -> None:
    schedule.failed(LOGIN, 1000.0)
    schedule.attempted(1000.0)
    getattr(schedule, shorten)()
    assert 0 < schedule.pause_s(1000.0) < 0.1
    assert schedule.pause_s(1001.0) <= 0
    # Only what the user has asked for starts with short delays again.
    assert schedule.failed(LOGIN, 1001.0) == (15.0 if shorten == "retry_now" else 30.0)


def test_change_of_the_pod_shortens_a_delay_within_bounds(schedule: DialSchedule) -> None:
    schedule.failed(NETWORK, 1000.0)
    for now in (1000.0, 1100.0, 1200.0):  # the longer the outage, the longer the delays
        schedule.failed(NETWORK, now)
    schedule.failed(LOGIN, 1200.0)
    assert schedule.pause_s(1200.0) == 15.0
    schedule.shorten_delay(1200.0)
    assert schedule.pause_s(1200.0) == 3.0


def test_loss_after_a_lasting_success_is_dialed_at_once(schedule: DialSchedule) -> None:
    schedule.succeeded(1000.0)
    schedule.lost(1060.0)
    assert schedule.pause_s(1060.0) <= 0
    schedule.succeeded(1060.0)
    schedule.lost(1060.5)
    assert schedule.pause_s(1060.5) > 0


def test_error_of_the_program_is_not_repeated_at_once(schedule: DialSchedule) -> None:
    assert schedule.crashed(None, 1000.0) >= 1.0
    assert schedule.crashed(LOGIN, 1000.0) == 15.0
    assert schedule.pause_s(1000.0) == 15.0
