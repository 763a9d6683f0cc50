from __future__ import annotations

import math

import pytest

from tui_forward.tui.viewmodel.thresholds import API, FIRST_BYTE, ROUND_TRIP, time_style


@pytest.mark.parametrize(
    ("seconds", "limits", "style"),
    [
        (None, API, "dim"), (0.0, API, "dim"), (0.5, API, "dim"), (0.501, API, "warn"),
        (2.0, API, "warn"), (2.1, API, "bad"), (math.inf, API, "bad"), (math.nan, API, "dim"),
        (0.25, ROUND_TRIP, "dim"), (0.26, ROUND_TRIP, "warn"), (1e9, ROUND_TRIP, "warn"),
        (1.0, FIRST_BYTE, "dim"), (1.1, FIRST_BYTE, "warn"), (5.1, FIRST_BYTE, "bad"),
    ],
)  # fmt: skip
def test_latencies(seconds: float | None, limits: tuple[float, float], style: str) -> None:
    assert time_style(seconds, limits) == style
