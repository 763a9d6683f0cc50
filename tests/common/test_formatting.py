from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.common.formatting import (
    describe_other_engine,
    format_age,
    format_bytes,
    format_clock,
    format_countdown,
    format_duration,
    format_rate,
    format_short_reason,
    format_uptime,
    milliseconds,
    pluralize,
    short_age,
)
from tui_forward.model import (
    Forward,
    ForwardSpec,
    ForwardState,
    OtherEngine,
    ReasonCode,
    Target,
    TargetKind,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1234, "1.2 kB"), (99_949, "99.9 kB"),
     (99_951, "100 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"), (84_100_000, "84.1 MB"),
     (1_200_000_000, "1.2 GB"), (5e15, "5.0 PB"),
     (9.994e17, "999 PB"), (1e18, ">999 PB"), (-5, "0 B")],
)  # fmt: skip
def test_amounts(count: float, text: str) -> None:
    assert format_bytes(count) == text


any_number = st.floats() | st.integers() | st.sampled_from((2**70, -(2**70), 10**400, -(10**400)))


@given(any_number)
def test_amounts_fit_their_column(count: float) -> None:
    assert len(format_bytes(count)) <= 7
    assert len(format_rate(count)) <= 9


@given(any_number)
def test_every_number_is_formatted(value: float) -> None:
    for function in (
        format_bytes, format_rate, format_age, short_age, milliseconds,
        format_duration, format_clock, format_countdown,
    ):  # fmt: skip
        text = function(value)
        assert not {"nan", "inf", "-"} & set(text.split()), function
        assert not text.startswith("-"), function


@given(st.floats(0, 86400 * 99))
def test_ages_fit_their_column(seconds: float) -> None:
    assert len(format_age(seconds)) <= 6
    assert len(short_age(seconds)) <= 4
    assert len(milliseconds(seconds)) <= 6
    assert len(format_countdown(seconds)) <= 6


def test_pluralize() -> None:
    assert [format_age(s) for s in (-1, 8, 252, 11_100, 86_400 * 12)] == [
        "0s", "8s", "4m12s", "3h05m", "12d",
    ]  # fmt: skip
    assert [short_age(s) for s in (8, 252, 11_100, 86_400 * 12)] == ["8s", "4m", "3h", "12d"]
    assert format_rate(0.2) == ""
    assert format_rate(1_200_000) == "1.2 MB/s"
    assert [milliseconds(s) for s in (0.0004, 0.0124, 1.52)] == ["0.4 ms", "12 ms", "1.5 s"]
    assert pluralize(1, "forward") == "1 forward"
    assert pluralize(2, "forward") == "2 forwards"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"), (0.004, "4 ms"), (0.0013, "1.3 ms"), (0.0009, "0.9 ms"),
            (0.00994, "9.9 ms"), (0.00996, "10 ms"),
        (0.0124, "12 ms"), (0.9994, "999 ms"), (0.9996, "1.0 s"), (1.42, "1.4 s"),
        (9.96, "10 s"), (599, "599 s"), (600, "10m00s"), (1e9, "11574d"),
    ],
)  # fmt: skip
def test_latency(seconds: float, text: str) -> None:
    assert milliseconds(seconds) == text


def test_latency_in_whole_milliseconds() -> None:
    values = [0, 0.0004, 0.00094, 0.00096, 0.0042, 0.0424, 1.42]
    texts = [milliseconds(value, whole=True) for value in values]
    assert texts == ["0 ms", "0.4 ms", "0.9 ms", "1 ms", "4 ms", "42 ms", "1.4 s"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (0, "0 s"), (0.01, "1 s"), (3, "3 s"), (99, "99 s"), (99.5, "1m40s"),
     (250, "4m10s")],
)  # fmt: skip
def test_countdown(seconds: float, text: str) -> None:
    assert format_countdown(seconds) == text


def test_nothing_is_blank() -> None:
    assert format_rate(0.49) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"),
        (0.0241, "24 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (1.84, "1.8 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (7860, "2 h 11 min"),
    ],
)
def test_format_duration_uses_two_units_at_most(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("engine", "text"),
    [
        (
            OtherEngine(pid=1, kubeconfig="", forwards=1),
            "1 forward runs with the default kubeconfig. List: env -u KUBECONFIG tui-forward ls",
        ),
        (
            OtherEngine(pid=1, kubeconfig="/a b:/c", forwards=14),
            "14 forwards run with KUBECONFIG=/a b:/c. List: KUBECONFIG='/a b:/c' tui-forward ls",
        ),
    ],
)
def test_other_engine_is_described(engine: OtherEngine, text: str) -> None:
    assert describe_other_engine(engine) == text


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (None, "token expired"),
        (-5, "token expired now"),
        (59, "token expired now"),
        (750, "token expired 12 min ago"),
        (7300, "token expired 2 h ago"),
        (86_400 * 9, "token expired 9 d ago"),
        (1e30, "token expired 99999 d ago"),
    ],
)
def test_short_reason_of_a_credential_has_its_age(age: float | None, text: str) -> None:
    forward = Forward(
        id="f1",
        spec=ForwardSpec(
            target=Target(
                context="prod", namespace="shop", kind=TargetKind.POD, name="web", port="80"
            )
        ),
        state=ForwardState.BLOCKED,
        code=ReasonCode.AUTH_TOKEN_EXPIRED,
        reason="the token expired",
        short_reason="token expired",
        expired_at=None if age is None else 1e9 - age,
    )
    assert format_short_reason(forward, 1e9) == text


def test_uptime_changes_once_a_minute() -> None:
    assert [format_uptime(one) for one in (8, 59, 60, 119, 3599, 3600, 3 * 86400)] == [
        "8s", "59s", "1m", "1m", "59m", "1h00m", "3d",
    ]  # fmt: skip
