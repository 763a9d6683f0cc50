from __future__ import annotations

import re

import pytest

from tui_forward.cli.openmetrics import format_openmetrics
from tui_forward.model import (
    ApiHealth,
    Counters,
    FirstByteTimes,
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
        first_byte=FirstByteTimes(count=3, p50_s=0.003, p99_s=0.25),
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
    first_byte = [line for line in lines if line.startswith("tui_forward_first_byte_seconds{")]
    assert [line.rpartition(" ")[2] for line in first_byte] == ["0.003", "0.25"]


@pytest.mark.parametrize(("snapshot", "up"), [(Snapshot(version=0, at=0.0), 1), (None, 0)])
def test_document_says_whether_the_engine_is_running(snapshot: Snapshot | None, up: int) -> None:
    assert format_openmetrics(snapshot) == (
        "# TYPE tui_forward_up gauge\n# HELP tui_forward_up Whether the engine is running.\n"
        f"tui_forward_up {up}\n# EOF\n"
    )
