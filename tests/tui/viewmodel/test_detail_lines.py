from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.support import fleet
from tests.support.lines import line_text
from tui_forward.model import (
    Balance,
    EarlierPods,
    FirstByteTimes,
    Forward,
    ForwardDefaults,
    ForwardWarning,
    Hop,
    HopKind,
    PodRef,
    PodShare,
    PodShareState,
    PreconnectStatus,
    ReasonCode,
    UnansweredConnections,
)
from tui_forward.settings.protected_contexts import ProtectedContexts
from tui_forward.tui.viewmodel.context_names import ContextNaming
from tui_forward.tui.viewmodel.detail_lines import (
    Position,
    cause_lines,
    chain_block,
    specification_lines,
    tab_at,
    tabs_title,
    throughput_lines,
    title_line,
)
from tui_forward.tui.viewmodel.lines import Line

FORWARDS = {one.id: one for one in fleet.forwards()}
BILLING, POSTGRES = FORWARDS["f4"], FORWARDS["f7"]
PLAIN = ContextNaming()


def texts(lines: list[Line]) -> list[str]:
    return [line_text(line).rstrip() for line in lines]


def test_title_has_the_whole_name_of_the_context() -> None:
    line = title_line(BILLING, PLAIN, Position(4, 14).text, 100)
    assert line_text(line) == (
        " ◔ waiting  staging/shop/deploy/billing-worker-invoice-retries:metrics  127.0.0.1:9101"
        + "4/14".rjust(13)
    )
    arn = "arn:aws:eks:eu-west-1:111122223333:cluster/prod"
    target = msgspec.structs.replace(POSTGRES.spec.target, context=arn)
    named = msgspec.structs.replace(
        POSTGRES, spec=msgspec.structs.replace(POSTGRES.spec, target=target)
    )
    protected = ContextNaming(ProtectedContexts([arn]))
    wide = title_line(named, protected, "1/2", 160)
    assert f"{arn}!/data/sts/postgres-primary:postgres" in line_text(wide)
    assert "protected" in {cell.style for cell in wide}
    assert line_text(title_line(named, PLAIN, "1/2", 90)).endswith("127.0.0.1:5432  1/2")


def test_chain_says_when_it_was_tested() -> None:
    tested = chain_block(BILLING, fleet.hops(), (), 3.2, "R", 100)
    assert line_text(tested[0]).endswith("─ tested 3 s ago · R tests again ─")
    assert len(tested) == 7
    untested = chain_block(BILLING, (), (), None, "R", 100)
    assert "testing…" in line_text(untested[0])
    assert "✗ pod" in line_text(untested[5])


def test_cause_and_fix_are_whole() -> None:
    lines = texts(cause_lines(BILLING, fleet.hops(), fleet.NOW, 100))
    assert lines[0].startswith(" cause  container worker of pod …x2x9k is down")
    joined = " ".join(line.strip() for line in lines)
    assert "--previous" in joined
    assert cause_lines(POSTGRES, (), fleet.NOW, 100) == []
    paused = texts(cause_lines(FORWARDS["f14"], (), fleet.NOW, 100))
    assert paused == [" fix    Press p to continue it"]
    warning = ForwardWarning(code=ReasonCode.PORT_REFUSED, reason="nothing listens", hint="look")
    amber = msgspec.structs.replace(POSTGRES, warnings=(warning,))
    assert texts(cause_lines(amber, (), fleet.NOW, 100)) == [
        " cause  nothing listens", " fix    look",
    ]  # fmt: skip
    blocked = texts(cause_lines(FORWARDS["f1"], (), fleet.NOW, 100))
    assert blocked[-1] == " fix    run aws sso login --profile prod, then press r"


def test_connections_without_an_answer_are_a_note() -> None:
    unanswered = UnansweredConnections(count=4, since=fleet.NOW - 130)
    forward = msgspec.structs.replace(POSTGRES, unanswered=unanswered)
    lines = cause_lines(forward, (), fleet.NOW, 100)
    text = " ".join(" ".join(texts(lines)).split())
    assert text.startswith("note the last 4 connections got no byte back for 2m. Check that")
    assert "cause" not in text


def test_chart_has_an_axis_and_says_since_when_there_is_no_tunnel() -> None:
    series = [(0, 0)] * 60 + [(214_000, 10)] * 20 + [(0, 0)] * 20
    ready = [True] * 80 + [False] * 20
    rule, top, bottom = texts(throughput_lines(BILLING, series, ready, 100, 3))
    assert rule.endswith("─ ↓ peak 214 kB/s · ↑ peak 10 B/s ─")
    assert top.startswith(" 500 kB/s ")
    assert "no tunnel since 12:21:40" in top
    assert bottom.startswith("        0 ")
    assert bottom.endswith("╌")
    late = [(0, 0)] * 60 + [(490_000, 10)] * 29
    assert "no tunnel" not in texts(throughput_lines(BILLING, late, [], 100, 3))[1]
    both = texts(throughput_lines(POSTGRES, series, ready, 100, 5))
    assert len(both) == 5
    assert both[3].startswith("   20 B/s ") or both[3].startswith("   10 B/s ")
    assert len(throughput_lines(POSTGRES, [(0, 7)], [True], 60, 3)) == 3
    quiet = texts(throughput_lines(POSTGRES, [(0, 0)] * 9, [True] * 9, 60, 5))
    assert sum(line.split()[:1] == ["0"] for line in quiet) == 1  # one axis where there is no data


def test_specification_has_options_figures_and_the_command() -> None:
    lines = specification_lines(BILLING, fleet.NOW, ForwardDefaults(), 100)
    assert texts(lines)[1:] == [
        " follows its owner · queue 30 s · half-close 5 s · profile shop-dev · up 2h19m · "
        "2 of 9 failed",
        " tui-forward forward --context staging -n shop deploy/billing-worker-invoice-retries "
        "9101:metrics",
    ]


@pytest.mark.parametrize(
    ("ago", "style"), [(None, "dim"), (10, "warn"), (299, "warn"), (301, "dim")]
)
def test_failures_are_amber_for_a_while(ago: float | None, style: str) -> None:
    failed_at = None if ago is None else fleet.NOW - ago
    forward = msgspec.structs.replace(BILLING, failed_at=failed_at)
    lines = specification_lines(forward, fleet.NOW, ForwardDefaults(), 100)
    assert (style,) == tuple(
        cell.style for line in lines for cell in line if cell.text == "2 of 9 failed"
    )


def test_queued_connections_are_amber() -> None:
    forward = msgspec.structs.replace(POSTGRES, queued=4)
    lines = specification_lines(forward, fleet.NOW, ForwardDefaults(), 160)
    assert {cell.text: cell.style for line in lines for cell in line}["4 queued"] == "warn"


def test_times_to_first_byte_are_judged() -> None:
    times = FirstByteTimes(count=9, p50_s=0.0031, p99_s=1.5)
    forward = msgspec.structs.replace(POSTGRES, first_byte=times)
    lines = specification_lines(forward, fleet.NOW, ForwardDefaults(), 160)
    cells = {cell.text: cell.style for line in lines for cell in line}
    assert cells["TTFB p50 3.1 ms"] == "dim"
    assert cells["p99 1.5 s"] == "warn"


@pytest.mark.parametrize(
    ("status", "text", "style"),
    [
        (PreconnectStatus(ready=3), "preconnect 4, 3 ready", "dim"),
        (
            PreconnectStatus(ready=0, off=True),
            "preconnect off: the server closes silent connections",
            "warn",
        ),
    ],
)
def test_connections_opened_ahead_are_shown(
    status: PreconnectStatus, text: str, style: str
) -> None:
    spec = msgspec.structs.replace(POSTGRES.spec, preconnect=4)
    forward = msgspec.structs.replace(POSTGRES, spec=spec, preconnect=status)
    lines = specification_lines(forward, fleet.NOW, ForwardDefaults(), 160)
    assert {cell.text: cell.style for line in lines for cell in line}[text] == style


def spread(*shares: PodShare) -> Forward:
    target = msgspec.structs.replace(POSTGRES.spec.target, balance=Balance.SPREAD)
    spec = msgspec.structs.replace(POSTGRES.spec, target=target)
    return msgspec.structs.replace(POSTGRES, spec=spec, pods=shares)


def share(name: str, state: PodShareState, count: int, **more: Any) -> PodShare:
    pod = PodRef(namespace="data", name=name, uid=name)
    return PodShare(pod=pod, state=state, connections_open=count, **more)


def test_pods_that_connections_are_spread_over_have_lines() -> None:
    forward = spread(
        share("pg-0", PodShareState.READY, 1, connections_total=7, bytes_from_pod=2_000),
        share("pg-1", PodShareState.READY, 2, connections_total=9, bytes_to_pod=3),
        share("pg-2", PodShareState.CONNECTING, 0, reason="node does not answer"),
        share("pg-3", PodShareState.LEAVING, 5, connections_total=5),
    )
    lines = texts(specification_lines(forward, fleet.NOW, ForwardDefaults(), 100))
    assert any("spreads over all Ready pods" in line for line in lines)
    assert lines[-5:-1] == [
        " ● pg-1  2 open, 9 total · ↓ 0 B ↑ 3 B",
        " ● pg-0  1 open, 7 total · ↓ 2.0 kB ↑ 0 B",
        " ◐ pg-2  0 open, 0 total · ↓ 0 B ↑ 0 B · node does not answer",
        " ○ pg-3  5 open, 5 total · ↓ 0 B ↑ 0 B · finishes its connections",
    ]


def test_pods_that_are_no_more_used_have_one_line() -> None:
    earlier = EarlierPods(pods=3, connections_total=40, bytes_from_pod=1_200, bytes_to_pod=5)
    forward = spread(share("pg-0", PodShareState.READY, 1))
    forward = msgspec.structs.replace(forward, earlier_pods=earlier)
    lines = texts(specification_lines(forward, fleet.NOW, ForwardDefaults(), 100))
    assert lines[-2] == " · 3 earlier pods  40 total · ↓ 1.2 kB ↑ 5 B"
    narrow = texts(specification_lines(forward, fleet.NOW, ForwardDefaults(), 30))
    assert cell_len(narrow[-2]) <= 30


def test_many_pods_are_counted() -> None:
    many = [share(f"pg-{number}", PodShareState.READY, 0) for number in range(20)]
    lines = texts(specification_lines(spread(*many), fleet.NOW, ForwardDefaults(), 100))
    assert lines[-2] == " … 12 more pods"


def test_tabs_are_clicked_by_their_names() -> None:
    assert tabs_title("connections") == "timeline [connections] log"
    found = [tab_at("connections", x) for x in range(27)]
    assert found == ["timeline"] * 8 + [None] + ["connections"] * 13 + [None] + ["log"] * 3 + [None]


@given(
    st.sampled_from(sorted(FORWARDS)), st.text(max_size=150), st.integers(1, 220),
    st.integers(1, 8), st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 9)), max_size=40),
)  # fmt: skip
def test_hostile_forwards_fit(
    forward_id: str, text: str, width: int, height: int, series: list[tuple[int, int]]
) -> None:
    one = FORWARDS[forward_id]
    target = msgspec.structs.replace(one.spec.target, name=text, port=text, context=text)
    spec = msgspec.structs.replace(one.spec, target=target, label=text, profile=text)
    hostile = msgspec.structs.replace(one, spec=spec, reason=text or "?", hint=text)
    hops = (Hop(kind=HopKind.POD, name=text, error=text, hint=text),)
    lines = [
        title_line(hostile, PLAIN, "4/14", width),
        *chain_block(hostile, hops, (), 0.0, "R", width),
        *cause_lines(hostile, hops, fleet.NOW, width),
        *throughput_lines(hostile, series, [False] * len(series), width, height),
    ]
    specification = specification_lines(hostile, fleet.NOW, ForwardDefaults(), width)
    assert len(specification) <= 5
    for line in (*lines, *specification):
        assert line_text(line).isprintable()
        if width >= 60:
            assert cell_len(line_text(line)) <= width
