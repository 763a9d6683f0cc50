from __future__ import annotations

import pytest

from tests.support.recorded_faults import load_fault
from tui_forward.engine.tunnels.time_limit import TimeLimitDetector
from tui_forward.model import Reason, ReasonCode
from tui_forward.reasons import reason_text

CUT = Reason(code=ReasonCode.TUNNEL_CLOSED_BY_SERVER)
SILENT = Reason(code=ReasonCode.TUNNEL_SILENT)


def ends(*ages: float, reason: Reason = CUT, apart_s: float = 10.0) -> list[ReasonCode]:
    detector = TimeLimitDetector()
    return [
        detector.ended(age, reason, number * apart_s).code for number, age in enumerate(ages, 1)
    ]


@pytest.mark.parametrize("fault", ["139-proxy-cuts-after-5s", "148-gateway-cuts-upgraded-after-5s"])
def test_recorded_ages(fault: str) -> None:
    ages = [
        (int(one["tunnel"].partition("@")[2].partition(";")[0]) - one["upgraded_ms"]) / 1000
        for one in load_fault(fault)["error_stream"]
    ]
    detector = TimeLimitDetector()
    for number, age in enumerate([*ages, ages[0]]):
        reason = detector.ended(age, CUT, 10.0 * number)
    assert reason_text(reason) == (
        "tunnels end after 5 s each: something in between has a time limit"
    )


def test_same_age_three_times_is_a_time_limit() -> None:
    assert ends(60.0, 60.2, 60.1) == [CUT.code, CUT.code, ReasonCode.TUNNEL_TIME_LIMIT]
    assert ends(3600.0, 3610.0, 3630.0)[-1] is ReasonCode.TUNNEL_TIME_LIMIT


@pytest.mark.parametrize(
    ("ages", "reason", "apart_s"),
    [
        ((5.0, 9.0, 5.0, 30.0), CUT, 10.0),
        ((5.0, 5.0, 5.0), SILENT, 10.0),
        ((0.1, 0.1, 0.1, 0.1), CUT, 10.0),
        ((5.0, 5.0, 5.0, 5.0), CUT, 0.1),  # of one pool, cut together
        ((5.0, 5.0, 5.0), Reason(code=CUT.code, status="1001"), 10.0),
    ],
)
def test_other_ends_are_not(ages: tuple[float, ...], reason: Reason, apart_s: float) -> None:
    assert set(ends(*ages, reason=reason, apart_s=apart_s)) == {reason.code}


def test_another_end_begins_again() -> None:
    detector = TimeLimitDetector()
    codes = []
    for number, (age, reason) in enumerate([(5.0, CUT), (5.0, CUT), (5.0, SILENT), (5.0, CUT)]):
        codes.append(detector.ended(age, reason, 10.0 * number).code)
    assert ReasonCode.TUNNEL_TIME_LIMIT not in codes
