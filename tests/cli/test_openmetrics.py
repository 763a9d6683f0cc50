from __future__ import annotations

import re

import pytest

from tui_forward.cli.openmetrics import format_openmetrics
from tui_forward.model import (
    ApiHealth,
    Counters,
    FirstByteHistogram,
    Forward,
    ForwardSpec,
    ForwardState,
    ReasonCode,
    Snapshot,
    Target,
    TargetKind,
)

_LINE = re.compile(r'[a-z_]+(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*\})? [0-9.e+-]+')


def forward() -> Forward:
    target = Target(
        context='a "b"\\c\nd', namespace="shop", kind=TargetKind.SERVICE, name="web", port="80"
    )
    return Forward(
        id="f1",
        spec=ForwardSpec(target=target, name="web", profile="shop"),
        state=ForwardState.READY,
        code=ReasonCode.FORWARD_READY,
        reason="because",
        counters=Counters(bytes_from_pod=123456789012, bytes_to_pod=3, connections_open=1),
        first_bytes=FirstByteHistogram(counts=(1, 0, 2, *[0] * 10, 1), sum_s=12.009),
        reconnects=2,
    )


def test_document_has_valid_lines_and_an_end_mark() -> None:
    health = ApiHealth(context="here", ok=True, latency_s=0.012)
    lines = format_openmetrics(
        Snapshot(version=1, at=1.0, forwards=(forward(),), health=(health,))
    ).split("\n")
    assert lines[-2:] == ["# EOF", ""]
    for line in lines[:-2]:
        assert line.startswith(("# TYPE ", "# HELP ")) or _LINE.fullmatch(line), line
    assert "# TYPE tui_forward_state stateset" in lines
    states = [line for line in lines if "tui_forward_state=" in line]
    assert sum(line.endswith(" 1") for line in states) == 1
    assert len(states) == len(ForwardState)
    bytes_ = [line for line in lines if line.startswith("tui_forward_bytes_total{")]
    assert [line.rpartition(" ")[2] for line in bytes_] == ["123456789012", "3"]
    assert 'tui_forward_api_latency_seconds{context="here"} 0.012' in lines
    [reconnects] = [one for one in lines if one.startswith("tui_forward_reconnects_total{")]
    assert reconnects.endswith(" 2")


def test_times_to_first_byte_are_a_cumulative_histogram() -> None:
    lines = format_openmetrics(Snapshot(version=1, at=1.0, forwards=(forward(),))).split("\n")
    assert "# TYPE tui_forward_first_byte_seconds histogram" in lines
    prefix = "tui_forward_first_byte_seconds_"
    rows = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    buckets = [row for row in rows if row.startswith("bucket")]
    values = [row.rpartition(" ")[2] for row in buckets]
    assert values == ["1", "1", *["3"] * 11, "4"]
    assert 'le="0.001"' in buckets[0]
    assert 'le="+Inf"' in buckets[-1]
    assert [row.partition("{")[0] + row.rpartition("}")[2] for row in rows[-2:]] == [
        "count 4", "sum 12.009",
    ]  # fmt: skip


@pytest.mark.parametrize(("snapshot", "up"), [(Snapshot(version=0, at=0.0), 1), (None, 0)])
def test_document_says_whether_the_engine_is_running(snapshot: Snapshot | None, up: int) -> None:
    assert format_openmetrics(snapshot) == (
        "# TYPE tui_forward_up gauge\n# HELP tui_forward_up Whether the engine is running.\n"
        f"tui_forward_up {up}\n# EOF\n"
    )
