from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.support import fleet
from tests.support.lines import line_text
from tests.tui.samples import pod, view
from tui_forward.model import (
    ApiHealth,
    DeclaredPort,
    Forward,
    Login,
    ReasonCode,
    UnansweredConnections,
)
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.entries import entry_of
from tui_forward.tui.viewmodel.strip import entry_line, fit_line, forward_lines

HEALTH = (ApiHealth(context="staging", ok=True, latency_s=0.004),)


def named(name: str) -> Forward:
    return next(one for one in fleet.forwards() if one.spec.target.name == name)


def test_ready_forward_has_addresses_and_figures() -> None:
    state, chain = forward_lines(named("postgres-primary"), HEALTH, fleet.NOW, 118)
    assert line_text(state).startswith("● ready  127.0.0.1:5432, [::1]:5432  spdy ×")
    assert "failed" in line_text(state)
    assert line_text(chain).startswith("● :5432 ─── ● API 4")
    assert "○" not in line_text(chain)


def test_failures_are_amber_for_a_while_and_queued_connections_always() -> None:
    forward = named("postgres-primary")
    counters = msgspec.structs.replace(forward.counters, connections_failed=2)
    for ago, queued, expected in (
        (10.0, 0, {"7 connections, 2 failed": "warn"}),
        (400.0, 0, {"7 connections, 2 failed": "dim"}),
        (None, 3, {"7 connections, 2 failed": "dim", "3 queued": "warn"}),
    ):
        failed_at = None if ago is None else fleet.NOW - ago
        changed = msgspec.structs.replace(
            forward, counters=counters, queued=queued, failed_at=failed_at
        )
        state, _ = forward_lines(changed, HEALTH, fleet.NOW, 118)
        cells = {cell.text: cell.style for cell in state}
        found = {text: cells[text] for text in cells if text.endswith(("failed", "queued"))}
        assert found == expected


def test_cause_is_short_where_the_whole_does_not_fit() -> None:
    hint = "Press l for the log of its last run"
    forward = msgspec.structs.replace(named("billing-worker-invoice-retries"), hint=hint)
    wide, narrow = (forward_lines(forward, HEALTH, fleet.NOW, width)[0] for width in (160, 78))
    assert "container worker of pod …x2x9k is down" in line_text(wide)
    assert line_text(narrow) == (
        "◔ waiting  pod crash-loops · 17 restarts → Press l for the log of its last run"
    )


def test_login_is_in_the_strip_of_the_forwards_that_wait_for_it() -> None:
    blocked = named("payments-ledger-reconciliation")
    target = blocked.spec.target
    login = Login(
        clusters=(target.cluster_key,), code=ReasonCode.AUTH_LOGIN_RUNNING,
        text="open https://sso.example/device and enter the code WDJB-MJHT",
    )  # fmt: skip
    state, _ = forward_lines(blocked, HEALTH, fleet.NOW, 118, (login,))
    assert line_text(state) == (
        "■ blocked  open https://sso.example/device, code WDJB-MJHT → y copies the code"
    )
    for other in (named("notification-dispatcher-smtp"), named("redis-cache")):
        same = forward_lines(other, HEALTH, fleet.NOW, 118)
        assert forward_lines(other, HEALTH, fleet.NOW, 118, (login,)) == same


def test_crash_loop_breaks_the_chain_at_the_pod() -> None:
    forward = named("billing-worker-invoice-retries")
    state, chain = forward_lines(forward, HEALTH, fleet.NOW, 118)
    assert line_text(state).startswith("◔ waiting  ")
    assert forward.hint in line_text(state)
    assert "✗ pod " in line_text(chain)
    assert "○ metrics" in line_text(chain)
    assert "● ready" not in line_text(state)


@given(st.integers(1, 220), st.sampled_from(fleet.forwards()))
def test_lines_fit_and_the_fix_outlives_the_cause(width: int, forward: Forward) -> None:
    for line in forward_lines(forward, HEALTH, fleet.NOW, width):
        assert cell_len(line_text(fit_line(line, width))) <= width
    state = line_text(fit_line(forward_lines(forward, HEALTH, fleet.NOW, width)[0], width))
    if forward.hint and not forward.paused and width > len(forward.hint) + 24:
        assert state.endswith(forward.hint)


def test_entry_says_what_1_starts() -> None:
    state = ClusterState(view().scope)
    state.apply(
        view(pod("web-1"), pod("bare", ports=()), pod("low", ports=(DeclaredPort(number=80),)))
    )
    web, bare = entry_of(state, "pod/shop/web-1"), entry_of(state, "pod/shop/bare")
    assert web is not None
    assert bare is not None
    assert line_text(entry_line(web, (), 0)) == "pod/web-1  1 starts http on 127.0.0.1:8080"
    taken = [one for one in fleet.forwards() if any(a.port == 8080 for a in one.listening)]
    assert "1 starts http on 127.0.0.1:8081" in line_text(entry_line(web, taken, 0))
    low = entry_of(state, "pod/shop/low")
    assert low is not None
    assert line_text(entry_line(low, (), 0)) == "pod/low  1 starts 80 on 127.0.0.1:8080"
    assert "1 goes to it" in line_text(entry_line(web, (), 1))
    assert "f forwards any port" in line_text(entry_line(bare, (), 0))
    lacking = ("list pods", "create pods/portforward")
    line = entry_line(web, (), 0, lacking)
    assert line_text(line) == (
        "pod/web-1  no permission to list pods and create pods/portforward in shop · 1 tries it"
    )
    assert {cell.style for cell in line[1:]} == {"dim"}


def test_connections_without_an_answer_are_a_muted_note() -> None:
    unanswered = UnansweredConnections(count=4, since=fleet.NOW - 130)
    forward = msgspec.structs.replace(named("postgres-primary"), unanswered=unanswered)
    state, chain = forward_lines(forward, HEALTH, fleet.NOW, 118)
    note = next(cell for cell in state if "no byte back" in cell.text)
    assert (note.text, note.style) == ("the last 4 connections got no byte back for 2m", "dim")
    assert line_text(state).startswith("● ready")
    assert "✗" not in line_text(chain)
