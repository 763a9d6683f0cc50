from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.support import fleet
from tests.support.lines import line_text
from tests.tui.samples import pod, view
from tui_forward.model import Forward, Snapshot
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.entries import Entry, entry_of
from tui_forward.tui.viewmodel.inspector import Inspection, StripSubject, inspector_lines
from tui_forward.tui.viewmodel.pane_layout import INSPECTOR_LINES

FORWARDS = {one.id: one for one in fleet.forwards()}
READ = Inspection("f4", fleet.hops(), fleet.timeline())
NOTHING = Inspection()


def shown(forward: Forward, inspection: Inspection, width: int = 127) -> list[str]:
    lines = inspector_lines(forward, inspection, (), fleet.NOW, width, INSPECTOR_LINES)
    return [line_text(line) for line in lines]


def web() -> Entry:
    state = ClusterState(view().scope)
    state.apply(view(pod("web-1")))
    entry = entry_of(state, "pod/shop/web-1")
    assert entry is not None
    return entry


def test_inspector_has_chain_fix_and_timeline() -> None:
    lines = shown(FORWARDS["f4"], READ)
    assert len(lines) == INSPECTOR_LINES
    assert lines[0].startswith("─ deploy/billing-worker-invoice-retries:metrics  ◔ waiting ──")
    assert lines[0].endswith(" chain · timeline ─")
    assert lines[5].startswith(" ✗ pod ")
    assert lines[6].startswith(" ○ port ")
    assert lines[7].startswith("   fix  ")
    assert lines[8].endswith("◔ waiting: pod …x2x9k crash-loops, 17 restarts".ljust(116))


def test_what_was_read_of_another_forward_is_not_shown() -> None:
    lines = shown(FORWARDS["f7"], READ)
    assert "postgres-primary" in lines[0]
    assert not any("CrashLoopBackOff" in line or "x2x9k" in line for line in lines)
    assert lines[7].startswith(" ● ready  127.0.0.1:5432")


@pytest.mark.parametrize("has_forward", [True, False])
def test_entry_says_what_1_starts_above_the_inspector(has_forward: bool) -> None:
    forward = FORWARDS["f4"] if has_forward else None
    subject = StripSubject(web(), forward, Snapshot(version=1, at=0), READ, fleet.NOW)
    lines = [line_text(line) for line in subject.lines(127, INSPECTOR_LINES)]
    assert lines[0] == " pod/web-1  1 starts http on 127.0.0.1:8080"
    assert len(lines) == (INSPECTOR_LINES if has_forward else 1)
    assert len(subject.lines(120, 2)) == 1


@given(
    st.sampled_from(sorted(FORWARDS)), st.text(max_size=150), st.integers(1, 220),
    st.integers(1, INSPECTOR_LINES), st.booleans(),
)  # fmt: skip
def test_hostile_forwards_fit(
    forward_id: str, text: str, width: int, height: int, is_read: bool
) -> None:
    one = FORWARDS[forward_id]
    target = msgspec.structs.replace(one.spec.target, name=text, port=text, context=text)
    spec = msgspec.structs.replace(one.spec, target=target)
    hostile = msgspec.structs.replace(one, spec=spec, reason=text or "?", hint=text)
    inspection = Inspection(forward_id, fleet.hops(), fleet.timeline()) if is_read else NOTHING
    subject = StripSubject(None, hostile, Snapshot(version=1, at=0), inspection, fleet.NOW)
    lines = subject.lines(width, height)
    assert len(lines) <= max(height, 2)
    if height >= INSPECTOR_LINES:
        assert all(cell_len(line_text(line)) <= width for line in lines)
