from __future__ import annotations

import msgspec
import pytest

from tests.support import fleet
from tests.tui.viewmodel.test_rows import forward, texts
from tui_forward.common.kubectl_command import format_command
from tui_forward.model import (
    AccessOptions,
    Balance,
    BlockedBy,
    Connection,
    Counters,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    PodRef,
    PodShare,
    PodShareState,
    ProxyInfo,
    ProxySpec,
)
from tui_forward.settings.protected_contexts import ProtectedContexts
from tui_forward.tui.viewmodel.cell_layout import HIDDEN, fit, fit_text
from tui_forward.tui.viewmodel.chain import known_hops
from tui_forward.tui.viewmodel.columns import forward_columns
from tui_forward.tui.viewmodel.connection_rows import connection_labels, connection_row
from tui_forward.tui.viewmodel.context_names import ContextNaming
from tui_forward.tui.viewmodel.forward_list import Heading
from tui_forward.tui.viewmodel.forward_rows import (
    forward_labels,
    forward_row,
    heading_row,
    local_cell,
    problem_word,
    target_cell,
)
from tui_forward.tui.viewmodel.rows import Cell


def test_ready_forward_shows_traffic() -> None:
    counters = Counters(
        bytes_from_pod=12_000_000, rate_from_pod=1e6, connections_open=3, bytes_to_pod=99
    )
    ready = forward(counters=counters, since=100.0, last_event="refused once")
    row = forward_row(ready, 3700.0, forward_labels([ready], "here"), traffic="▁█", marked=True)
    assert row.marked
    assert texts(row) == [
        "●", "ready", "here", "shop", "pod/web-1:http", ":8080", "3", "1.0 MB/s", "", "▁█",
        "1h00m", "12.0 MB", "99 B", "web-1", "refused once",
    ]  # fmt: skip


def test_forward_to_several_pods_shows_their_number() -> None:
    one = forward()
    target = msgspec.structs.replace(one.spec.target, balance=Balance.SPREAD)
    pods = tuple(
        PodShare(pod=PodRef(namespace="shop", name=f"web-{number}", uid=f"{number}"), state=state)
        for number, state in enumerate(
            (PodShareState.READY, PodShareState.READY, PodShareState.LEAVING)
        )
    )
    spread = msgspec.structs.replace(
        one, spec=msgspec.structs.replace(one.spec, target=target), pods=pods
    )
    assert "2 pods" in texts(forward_row(spread, 3700.0, forward_labels([spread], "here")))


def test_connections_of_a_ready_forward_are_amber_while_some_wait() -> None:
    labels = forward_labels(fleet.forwards(), "staging")
    ready = next(one for one in fleet.forwards() if one.counters.connections_open == 3)
    for queued, style in ((0, "strong"), (2, "warn")):
        row = forward_row(msgspec.structs.replace(ready, queued=queued), fleet.NOW, labels)
        assert row.cells[6] == Cell("3", style)


def test_heading_of_a_proxy_counts_targets_and_says_what_is_wrong() -> None:
    listening = (LocalAddress("::1", 1080), LocalAddress("127.0.0.1", 1080))
    proxy = ProxyInfo(id="p1", spec=ProxySpec(), listening=listening, refused=2)
    heading = Heading("#proxy:p1", "proxy 127.0.0.1:1080", (forward(),), False, proxy)
    assert texts(heading_row(heading)) == ["▾ proxy 127.0.0.1:1080 · 1 target · 2 refused"]
    broken = msgspec.structs.replace(proxy, reason="no permission to list services")
    row = heading_row(Heading("#proxy:p1", "proxy 127.0.0.1:1080", (), True, broken))
    assert texts(row) == [
        "▸ proxy 127.0.0.1:1080 · 0 targets · 2 refused · no permission to list services"
    ]
    assert row.cells[0].style == "warn"


def test_heading_summarizes_its_group() -> None:
    flowing = forward(counters=Counters(rate_from_pod=1e6, rate_to_pod=10))
    waiting = forward(ForwardState.WAITING)
    heading = Heading("#namespace:shop", "shop", (flowing, waiting), folded=False)
    (text,) = texts(heading_row(heading))
    assert text == "▾ shop · 2 forwards · 1 ready · ↓ 1.0 MB/s · ↑ 10 B/s"


@pytest.mark.parametrize("state", [s for s in ForwardState if s is not ForwardState.READY])
def test_any_other_state_shows_countdown_queue_and_reason(state: ForwardState) -> None:
    shown = forward(
        state, short_reason="pod deleted", reason="pod web-1 was deleted", hint="wait",
        retry_at=12.4, queued=3,
        blocked_by=BlockedBy.TARGET if state is ForwardState.BLOCKED else None,
    )  # fmt: skip
    row = forward_row(shown, 10.0, forward_labels([shown], "here"))
    assert row.cells[1].text == state.value
    assert row.cells[-1].text == "3 s · 3 queued · pod deleted"
    assert row.word is not None
    assert row.word.text == "retry 3 s"
    assert row.second is not None
    assert row.second.text == "└ pod web-1 was deleted → wait"
    assert row.second.text[-row.second.trail :] == " → wait"


@pytest.mark.parametrize("state", list(ForwardState))
def test_words_fit_the_column_of_a_rate(state: ForwardState) -> None:
    for paused in (False, True):
        for retry_at in (None, 13.0, 99_999.0):
            shown = forward(state, paused=paused, retry_at=retry_at)
            assert 0 < len(problem_word(shown, 10.0)) <= 9


def test_paused_forward_shows_since_when() -> None:
    paused = forward(ForwardState.STOPPED, paused=True, since=100.0)
    row = forward_row(paused, 100.0 + 26 * 60, forward_labels([paused], "here"))
    assert texts(row)[:2] == ["‖", "paused"]
    assert texts(row)[-1] == "paused 26m ago"
    assert row.second is None


def test_context_and_namespace_are_shown_where_they_differ() -> None:
    one = forward()
    other = msgspec.structs.replace(
        one, spec=msgspec.structs.replace(
            one.spec, target=msgspec.structs.replace(one.spec.target, namespace="data")
        ),
    )  # fmt: skip
    assert forward_labels([one], "here").longest[2:4] == (HIDDEN, HIDDEN)
    assert forward_labels([one, other], "here").longest[2:4] == (HIDDEN, 4)
    assert forward_labels([one], "elsewhere").longest[2:4] == (4, HIDDEN)
    protected = forward_labels([one], "here", ContextNaming(ProtectedContexts(["here"])))
    assert protected.longest[2:4] == (5, HIDDEN)
    assert forward_row(one, 0.0, protected).cells[2] == Cell(
        "here!", "protected", trail=1, trail_style="protected"
    )


def test_a_context_whose_server_is_not_verified_is_marked() -> None:
    """A mark is not cut, and is that of the forward: its options may differ from others'."""
    target = msgspec.structs.replace(forward().spec.target, context="a/here")
    safe = msgspec.structs.replace(forward(), spec=ForwardSpec(target=target))
    target = msgspec.structs.replace(target, options=AccessOptions(insecure=True))
    other = msgspec.structs.replace(safe, id="f2", insecure=True, spec=ForwardSpec(target=target))
    labels = forward_labels([safe, other], "a/here")
    assert labels.longest[2] == len("here insecure")
    assert forward_row(safe, 0.0, labels).cells[2] == Cell("here", "dim")
    assert forward_row(other, 0.0, labels).cells[2] == Cell(
        "here insecure", "warn", trail=9, trail_style="warn"
    )
    protected = forward_labels([other], "", ContextNaming(ProtectedContexts(["*"])))
    columns = forward_columns(protected.contexts.least_width)
    for width in range(40, 120):
        cell = fit(columns, width, protected.longest).widths[2]
        text = fit_text("here! insecure", cell, middle=True, trail=10).text
        assert not cell or text.endswith("! insecure"), width
    shown = forward_row(other, 0.0, protected).cells[2]
    assert shown == Cell("here! insecure", "protected", trail=10, trail_style="protected")
    connection = Connection(id=1, forward_id="f2", client="c")
    names = connection_labels([connection], [safe, other], "", 0.0, of_all=True)
    assert (
        Cell("here insecure", "warn", trail=9, trail_style="warn")
        in connection_row(connection, 0.0, names).cells
    )


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (("127.0.0.1", "::1"), Cell(":8080", "strong")), (("::1",), Cell(":8080", "strong")),
        (("127.0.0.2",), Cell("127.0.0.2:8080", "strong")),
        (("0.0.0.0",), Cell("! 0.0.0.0:8080", "warn")),
        (("127.0.0.1", "192.168.0.7"), Cell("! 192.168.0.7:8080", "warn")),
        (("::",), Cell("! [::]:8080", "warn")),
    ],
)  # fmt: skip
def test_local_end(hosts: tuple[str, ...], expected: Cell) -> None:
    listening = tuple(LocalAddress(host, 8080) for host in hosts)
    assert local_cell(forward(listening=listening)) == expected


def test_local_end_of_a_target_of_a_proxy() -> None:
    one = forward(listening=())
    opened = msgspec.structs.replace(
        one, spec=msgspec.structs.replace(one.spec, addresses=(), local_port=None, proxy="p1")
    )
    assert local_cell(opened) == Cell("by p1", "dim")
    assert known_hops(opened, ())[0].name == "proxy p1"
    assert "--address" not in format_command(opened.spec)


def test_kind_and_port_surround_the_name() -> None:
    cell = target_cell(forward())
    assert cell.text[cell.lead : len(cell.text) - cell.trail] == "web-1"


def test_rows_of_the_scene() -> None:
    labels = forward_labels(
        fleet.forwards(), fleet.STAGING, ContextNaming(ProtectedContexts([fleet.PROD]))
    )
    rows = [texts(forward_row(one, fleet.NOW, labels)) for one in fleet.forwards()]
    assert rows[2][:6] == [
        "◐", "reconnecting", "prod-eu!", "shop", "deploy/inventory-sync-scheduler-jobs:http",
        ":8083",
    ]  # fmt: skip
    assert rows[2][6].startswith("3 s · 4 queued · ")
    assert rows[6][5:9] == [":5432", "2", "100 MB/s", "214 kB/s"]
