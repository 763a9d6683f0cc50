from __future__ import annotations

import math

import pytest

from tui_forward.tui.viewmodel.thresholds import LIMITS, Figure, figure_style

# Value, then the expected style.
CASES: dict[Figure, list[tuple[float | None, str]]] = {
    Figure.API: [(0.0, ""), (0.5, ""), (0.501, "warn"), (2.0, "warn"), (2.1, "bad")],
    Figure.ROUND_TRIP: [(0.25, ""), (0.26, "warn"), (1e9, "warn")],
    Figure.FIRST_BYTE: [(1.0, ""), (1.1, "warn"), (5.0, "warn"), (5.1, "bad")],
    Figure.QUEUED: [(0, ""), (1, "warn"), (4000, "warn")],
    Figure.FAILED_AGO: [(0.0, "warn"), (-3.0, "warn"), (299, "warn"), (300, ""), (1e9, "")],
    Figure.RESTARTED_AGO: [(0.0, "warn"), (3599, "warn"), (3600, ""), (1e9, "")],
    Figure.CREDENTIALS: [(-1.0, "bad"), (0.0, "warn"), (899, "warn"), (900, ""), (math.inf, "")],
}


@pytest.mark.parametrize("figure", Figure)
def test_figures_are_amber_and_red_beyond_their_limits(figure: Figure) -> None:
    assert figure in LIMITS
    for value, style in [*CASES[figure], (None, ""), (math.nan, "")]:
        assert figure_style(figure, value, good="") == style, (figure, value)
