from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.support import fleet
from tests.support.lines import line_text
from tui_forward.model import (
    ApiHealth,
    ForwardState,
    Hop,
    HopKind,
    HopState,
    Target,
    TargetKind,
    TimelineEntry,
    TimelineKind,
)
from tui_forward.tui.viewmodel.chain import (
    chain_lines,
    known_hops,
    timeline_line,
)

BILLING = next(one for one in fleet.forwards() if one.id == "f4")
TARGET = BILLING.spec.target


def named(kind: TargetKind, name: str) -> Target:
    return Target(context="c", namespace="n", kind=kind, name=name, port="80")


def test_chain_is_a_table_where_the_broken_hop_stands_out() -> None:
    lines = chain_lines(fleet.hops(), TARGET, 100)
    assert [line_text(line).rstrip() for line in lines] == [
        " ● this machine  127.0.0.1:9101                    listening · also [::1]:9101",
        " ● API server    staging.k8s.internal:6443   4 ms  v1.36.2 · token valid 7h51m",
        " ● kubelet       node-b                            10.20.4.17 · Ready",
        " ● runtime       containerd 1.6.20           2 ms  1 tunnel by SPDY, no stream",
        " ✗ pod           …7d9c6b5f48-x2x9k                 CrashLoopBackOff · 17 restarts · "
        "exit code 1",
        " ○ port          metrics 9101                      not tested: no running container",
    ]
    assert {cell.style for cell in lines[4]} == {"broken"}
    assert all(cell_len(line_text(line)) == 100 for line in lines)


def test_hop_without_facts_shows_its_fault() -> None:
    api = Hop(kind=HopKind.API, facts=("v1.36.2",), state=HopState.BROKEN, error="no route")
    doubt = Hop(kind=HopKind.PORT, name="80", state=HopState.DEGRADED, error="refused")
    api_line, doubt_line = chain_lines((api, doubt), TARGET, 80)
    assert "no route" in line_text(api_line)
    assert "v1.36.2" not in line_text(api_line)
    assert "refused" in line_text(doubt_line)
    assert ("●", "warn") in {(cell.text, cell.style) for cell in doubt_line}


@pytest.mark.parametrize(
    ("kind", "seconds", "style"),
    [
        (HopKind.API, 0.5, "dim"), (HopKind.API, 0.6, "warn"), (HopKind.API, 2.1, "bad"),
        (HopKind.RUNTIME, 0.2, "dim"), (HopKind.RUNTIME, 0.3, "warn"),
    ],
)  # fmt: skip
def test_slow_hops_are_amber_or_red(kind: HopKind, seconds: float, style: str) -> None:
    hop = Hop(kind=kind, name="x", state=HopState.OK, latency_s=seconds)
    assert style in {cell.style for cell in chain_lines((hop,), TARGET, 80)[0] if "s" in cell.text}


def test_forward_tells_its_hops_until_they_are_tested() -> None:
    health = (ApiHealth(context="staging", server="https://api:6443", ok=True, latency_s=0.6),)
    hops = known_hops(BILLING, health)
    assert [hop.kind for hop in hops] == list(HopKind)
    assert [hop.state for hop in hops][-2:] == [HopState.BROKEN, HopState.UNKNOWN]
    assert hops[4].error == BILLING.reason
    assert hops[1].name == "api:6443"
    assert hops[0].facts == ("also [::1]:9101",)


def test_timeline_has_the_symbol_of_the_state() -> None:
    entry = TimelineEntry(
        at=0, kind=TimelineKind.STATE, text="waiting: pod web-1-abc crash-loops",
        state=ForwardState.WAITING,
    )  # fmt: skip
    target = msgspec.structs.replace(TARGET, name="web")
    assert line_text(timeline_line(entry, target, 60))[11:].rstrip() == (
        "◔ waiting: pod …abc crash-loops"
    )
    end = TimelineEntry(at=0, kind=TimelineKind.CONNECTION, text="closed")
    assert line_text(timeline_line(end, target, 40))[11:].rstrip() == "✗ closed"


HOSTILE = st.text(max_size=120)


@given(st.lists(HOSTILE, min_size=6, max_size=6), HOSTILE, HOSTILE, st.integers(1, 220),
       st.lists(st.sampled_from(HopState), min_size=6, max_size=6))  # fmt: skip
def test_hostile_names_break_no_line(
    names: list[str], fact: str, error: str, width: int, states: list[HopState]
) -> None:
    hops = [
        Hop(kind=kind, name=name, facts=(fact, fact), error=error, state=state, latency_s=1e9)
        for kind, name, state in zip(HopKind, names, states, strict=True)
    ]
    target = named(TargetKind.DEPLOYMENT, names[0])
    entry = TimelineEntry(at=1e30, kind=TimelineKind.NOTE, text=fact)
    for line in (*chain_lines(hops, target, width), timeline_line(entry, target, width)):
        assert cell_len(line_text(line)) == width
        assert line_text(line).isprintable()
