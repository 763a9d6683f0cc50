from __future__ import annotations

import re

from tui_forward.cli.openmetrics import format_openmetrics
from tui_forward.model import (
    ApiHealth,
    Counters,
    Forward,
    ForwardSpec,
    ForwardState,
    ReasonCode,
    Snapshot,
    Target,
    TargetKind,
)

_LINE = re.compile(r'[a-z_]+\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*\} [0-9.e+-]+')


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
    )


def test_document_has_valid_lines_and_an_end_mark() -> None:
    health = ApiHealth(context="here", ok=True, latency_s=0.012)
    lines = format_openmetrics(
        Snapshot(version=1, at=1.0, forwards=(forward(),), health=(health,))
    ).split("\n")
    assert lines[-2:] == ["# EOF", ""]
    for line in lines[:-2]:
        assert line.startswith(("# TYPE ", "# HELP ")) or _LINE.fullmatch(line), line
    assert lines[0] == "# TYPE tui_forward_state stateset"
    states = [line for line in lines if "tui_forward_state=" in line]
    assert sum(line.endswith(" 1") for line in states) == 1
    assert len(states) == len(ForwardState)
    bytes_ = [line for line in lines if line.startswith("tui_forward_bytes_total{")]
    assert [line.rpartition(" ")[2] for line in bytes_] == ["123456789012", "3"]
    assert 'tui_forward_api_latency_seconds{context="here"} 0.012' in lines


def test_empty_snapshot_gives_only_the_end_mark() -> None:
    assert format_openmetrics(Snapshot(version=0, at=0.0)) == "# EOF\n"
