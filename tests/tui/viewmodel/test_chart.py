from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.tui.viewmodel.chart import axis_maximum, downsample, render_area


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (1, 1), (3, 5), (10, 10), (11, 20), (4999, 5000), (5001, 10000)]
)
def test_axis_maximum_is_round(value: int, top: int) -> None:
    assert axis_maximum([0, value]) == top


def test_area_fills_from_the_bottom_and_ends_at_the_right() -> None:
    assert render_area([4, 8], 2, 1, 8) == [" ⣼"]
    assert render_area([8, 8], 1, 2, 8) == ["⣿", "⣿"]
    assert render_area([4, 0], 1, 2, 8) == [" ", "⡇"]
    assert render_area([], 3, 2, 1) == ["   ", "   "]


def test_any_traffic_is_visible() -> None:
    assert render_area([1, 1_000_000], 1, 3, 1_000_000)[-1] != " "
    assert render_area([1], 1, 1, 10**9) == ["⢀"]


amounts = st.lists(st.integers(), max_size=80)


@given(amounts, st.integers(1, 30), st.integers(1, 6))
def test_area_has_the_requested_size(values: list[int], width: int, height: int) -> None:
    lines = render_area(values, width, height, axis_maximum(values))
    assert [len(line) for line in lines] == [width] * height


@given(amounts, st.integers())
def test_area_is_drawn_for_any_top(values: list[int], top: int) -> None:
    assert [len(line) for line in render_area(values, 5, 2, top)] == [5, 5]


@given(amounts, st.integers(1, 40))
def test_downsampling_keeps_peaks_and_the_latest_run(values: list[int], count: int) -> None:
    found = downsample(values, count)
    assert len(found) <= count + 1
    assert max(found, default=0) == max(values, default=0)
    if len(values) <= count:
        assert found == values
