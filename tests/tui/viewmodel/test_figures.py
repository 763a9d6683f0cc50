from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.samples import connection, pod, view
from tests.tui.viewmodel.test_forward_list import forward
from tui_forward.model import (
    ApiHealth,
    CatalogScope,
    Connection,
    Counters,
    EngineNotice,
    FirstByteTimes,
    Forward,
    ForwardDefaults,
    Hop,
    HopKind,
    Snapshot,
    TimelineEntry,
    TimelineKind,
    TrafficHistory,
)
from tui_forward.tui.viewmodel import detail_lines, strip
from tui_forward.tui.viewmodel.chain import chain_lines, timeline_line
from tui_forward.tui.viewmodel.chart import axis_maximum, render_area, traffic_cells
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.connection_rows import connection_labels, connection_row
from tui_forward.tui.viewmodel.figures import (
    MAX_COUNT,
    MAX_DELAY_S,
    limit_all,
    limit_figures,
    limit_histories,
)
from tui_forward.tui.viewmodel.forward_list import Heading
from tui_forward.tui.viewmodel.forward_rows import forward_labels, forward_row, heading_row
from tui_forward.tui.viewmodel.header import build_header
from tui_forward.tui.viewmodel.lines import Line

NOW = 1_800_000_000.0
TARGET = forward(1).spec.target
ABSURD = (math.nan, math.inf, -math.inf, -1.0, -1e308, 1e308, NOW * 2)
numbers = st.floats() | st.sampled_from(ABSURD)
counts = st.integers() | st.sampled_from((-1, -(2**63), 2**63, 2**64))
counters = st.builds(
    Counters, bytes_from_pod=counts, bytes_to_pod=counts, rate_from_pod=numbers,
    rate_to_pod=numbers, connections_open=counts, connections_total=counts,
    connections_failed=counts,
)  # fmt: skip
forwards = st.builds(
    lambda **fields: msgspec.structs.replace(forward(1), **fields),
    since=numbers, started_at=numbers, retry_at=st.none() | numbers, queued=counts,
    tunnels=counts, round_trip_s=st.none() | numbers, counters=counters,
    failed_at=st.none() | numbers,
    first_byte=st.none() | st.builds(FirstByteTimes, count=counts, p50_s=numbers, p99_s=numbers),
)  # fmt: skip
connections = st.builds(
    lambda **fields: msgspec.structs.replace(connection(1), **fields),
    opened_at=numbers, closed_at=st.none() | numbers, first_byte_s=st.none() | numbers,
    bytes_from_pod=counts, bytes_to_pod=counts, rate_from_pod=numbers, rate_to_pod=numbers,
)  # fmt: skip
healths = st.builds(
    ApiHealth, context=st.just("here"), ok=st.just(True), latency_s=st.none() | numbers
)


@pytest.mark.parametrize("value", ABSURD)
@pytest.mark.parametrize(
    ("field", "maximum"),
    [("since", NOW), ("started_at", NOW), ("retry_at", NOW + MAX_DELAY_S),
     ("round_trip_s", MAX_COUNT)],
)  # fmt: skip
def test_absurd_figures_are_limited(field: str, maximum: float, value: float) -> None:
    limited = limit_figures(msgspec.structs.replace(forward(1), **{field: value}), NOW)
    assert 0 <= getattr(limited, field) <= maximum
    assert type(getattr(limited, field)) is float


def test_counters_that_went_back_have_no_negative_rate() -> None:
    absurd = Counters(bytes_from_pod=-5, rate_from_pod=-1e6, rate_to_pod=math.nan)
    one = msgspec.structs.replace(forward(1), counters=absurd)
    limited = limit_figures(Snapshot(version=1, at=NOW, forwards=(one,), totals=absurd), NOW)
    assert limited.forwards[0].counters == limited.totals == Counters()


def test_sound_figures_are_not_copied() -> None:
    one = view(*(pod(f"web-{number}") for number in range(3)))
    assert limit_figures(one, NOW) is one
    entries = (TimelineEntry(at=1.0, kind=TimelineKind.STATE, text="x"),)
    assert limit_all(entries, NOW) is entries


def test_only_the_pod_with_an_absurd_figure_is_replaced() -> None:
    future = msgspec.structs.replace(pod("b"), created_at=NOW * 2, restarts=-1)
    limited = limit_figures(view(sound := pod("a"), future), NOW)
    assert limited.pods[0] is sound
    assert (limited.pods[1].created_at, limited.pods[1].restarts) == (NOW, 0)


@given(forwards, st.lists(connections, max_size=3), counters, healths)
def test_all_limited_figures_can_be_shown(
    one: Forward, some: list[Connection], totals: Counters, health: ApiHealth
) -> None:
    found = limit_figures(
        Snapshot(
            version=1, at=math.nan, forwards=(one,), totals=totals, health=(health,),
            notices=(EngineNotice(number=1, at=math.inf, profile="p", text="t"),),
        ),
        NOW,
    )  # fmt: skip
    cluster = ClusterState(CatalogScope("here"))
    cluster.health = found.health[0]
    header = build_header(cluster, found, 200)
    cells = [
        *forward_row(found.forwards[0], NOW, forward_labels(found.forwards, "here")).cells,
        *heading_row(Heading("key", "title", found.forwards, folded=False)).cells,
    ]
    limited = limit_all(tuple(some), NOW)
    labels = connection_labels(limited, found.forwards, "here", NOW)
    for shown in limited:
        cells += connection_row(shown, NOW, labels).cells
    forward = found.forwards[0]
    shown_lines: list[Line] = [
        *detail_lines.chain_block(forward, (), found.health, 3.0, "R", 100),
        *detail_lines.specification_lines(forward, NOW, ForwardDefaults(), 100),
        *strip.forward_lines(forward, found.health, NOW, 100),
    ]
    texts = [cell.text for cell in cells]
    texts += [cell.text for line in shown_lines for cell in line]
    texts += [cell.text for cell in (*header.left, *header.right)]
    assert not [text for text in texts if "nan" in text.split() or "-1" in text]


@given(numbers)
def test_times_and_latencies_can_be_shown(value: float) -> None:
    entry = TimelineEntry(at=value, kind=TimelineKind.STATE, text="x")
    timeline_line(limit_figures(entry, NOW), TARGET, 80)
    hop = limit_figures(Hop(kind=HopKind.API, latency_s=value), NOW)
    chain_lines((hop,), TARGET, 80)


@given(st.lists(st.tuples(counts, counts), max_size=20))
def test_histories_can_be_drawn(seconds: list[tuple[int, int]]) -> None:
    history = TrafficHistory(forward_id="f1", seconds=tuple(seconds))
    (limited,) = limit_histories([history])
    assert len(limited.seconds) == len(seconds)
    traffic_cells(limited.seconds, [True] * len(seconds), 10)
    down = [amount for amount, _ in limited.seconds]
    assert len(render_area(down, 10, 2, axis_maximum(down))) == 2
