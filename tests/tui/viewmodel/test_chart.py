from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.viewmodel.test_forward_list import forward
from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.model import Counters, ForwardState
from tui_forward.tui.viewmodel.chart import (
    axis_maximum,
    downsample,
    render_area,
    traffic_block,
    traffic_cells,
)


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (1, 1), (3, 5), (10, 10), (11, 20), (4999, 5000), (5001, 10000)]
)
def test_axis_maximum_is_round(value: int, top: int) -> None:
    assert axis_maximum([0, value]) == top


def test_area_fills_from_the_bottom_and_ends_at_the_right() -> None:
    assert render_area([4, 8], 3, 1, 8) == [" ▄█"]
    assert render_area([8, 12], 2, 2, 16) == [" ▄", "██"]
    assert render_area([], 3, 2, 1) == ["   ", "   "]
    assert render_area([1], 0, 2, 1) == render_area([1], 2, 0, 1) == []


def test_area_shows_where_no_tunnel_was_up() -> None:
    ready = [True, False, False, True]
    assert render_area([8, 0, 4, 0], 5, 2, 8, ready=ready) == [" █   ", " █╌█ "]


def test_any_traffic_is_visible() -> None:
    assert render_area([1, 1_000_000], 2, 3, 1_000_000)[-1] == "▁█"
    assert render_area([1], 1, 1, 10**9) == ["▁"]


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


@pytest.mark.parametrize(
    ("total", "block"),
    [
        (0, " "), (-5, " "), (1, "▁"), (999, "▁"), (1000, "▂"), (9_999, "▂"), (10_000, "▃"),
        (48_300, "▃"), (734_000, "▄"), (1_200_000, "▅"), (99_999_999, "▆"), (100_000_000, "▇"),
        (999_999_999, "▇"), (1_000_000_000, "█"), (10**30, "█"),
    ],
)  # fmt: skip
def test_one_scale_for_all_forwards(total: int, block: str) -> None:
    assert traffic_block(total) == block


def test_traffic_of_the_last_seconds() -> None:
    histories = TrafficHistories()
    state, down = ForwardState.READY, 0
    for now, (more, after) in enumerate(
        [(0, state), (5, state), (2000, state), (0, ForwardState.WAITING), (0, state)]
    ):
        down += more
        counters = Counters(bytes_from_pod=down)
        histories.sample([msgspec.structs.replace(forward(1), counters=counters, state=after)], now)

    def cells(forward_id: str, width: int) -> str:
        series, ready = histories.series(forward_id, width), histories.ready(forward_id, width)
        return traffic_cells(series, ready, width)

    assert cells("f1", 6) == "  ▁▂╌ "
    assert cells("f1", 3) == "▂╌ "
    assert cells("f1", 1) == ""
    assert cells("f2", 6) == ""
