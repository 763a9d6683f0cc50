from __future__ import annotations

import msgspec
import pytest

from tests.tui.samples import connection
from tui_forward.model import (
    ApiHealth,
    BlockedBy,
    CatalogScope,
    ConnectionState,
    Counters,
    Forward,
    ForwardSpec,
    ForwardState,
    ForwardWarning,
    LocalAddress,
    PodRef,
    ReasonCode,
    Snapshot,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.tui.viewmodel import rows
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.forward_list import Heading


def forward(state: ForwardState = ForwardState.READY, **fields: object) -> Forward:
    target = Target(
        context="here", namespace="shop", kind=TargetKind.POD, name="web-1", port="http"
    )
    base = Forward(
        id="f1",
        spec=ForwardSpec(target=target),
        state=state,
        code=ReasonCode.FORWARD_READY,
        reason="pod web-1",
        listening=(LocalAddress("::1", 8080), LocalAddress("127.0.0.1", 8080)),
        pod=PodRef(namespace="shop", name="web-1", uid="u"),
        remote_port=8080,
    )
    return msgspec.structs.replace(base, **fields)


def texts(row: rows.Row) -> list[str]:
    return [cell.text for cell in row.cells]


def test_ready_forward_shows_traffic() -> None:
    counters = Counters(
        bytes_from_pod=12_000_000, rate_from_pod=1e6, connections_open=3, bytes_to_pod=99
    )
    ready = forward(counters=counters, since=100.0, last_event="refused once")
    row = rows.forward_row(ready, now=3700.0, sparkline="▁█", marked=True)
    assert texts(row) == [
        "✓", "● ready", "shop/web-1:http", "127.0.0.1:8080", "3", "1.0 MB/s", "", "▁█", "12.0 MB",
        "99 B", "web-1", "1h", "refused once",
    ]  # fmt: skip


def test_heading_summarizes_its_group() -> None:
    flowing = forward(counters=Counters(rate_from_pod=1e6, rate_to_pod=10))
    waiting = forward(ForwardState.WAITING)
    heading = Heading("#namespace:shop", "shop", (flowing, waiting), folded=False)
    row = rows.heading_row(heading)
    assert texts(row)[1] == "▾ shop · 2 forwards · 1 ready · ↓ 1.0 MB/s · ↑ 10 B/s"


@pytest.mark.parametrize("state", [s for s in ForwardState if s is not ForwardState.READY])
def test_any_other_state_shows_its_reason(state: ForwardState) -> None:
    shown = forward(
        state, reason="pod web-1 was deleted", retry_at=12.4, queued=3,
        blocked_by=BlockedBy.TARGET if state is ForwardState.BLOCKED else None,
    )  # fmt: skip
    row = rows.forward_row(shown, now=10.0)
    assert row.cells[1].text.endswith(state.value)
    assert row.cells[-1].text == "3 queued · next try in 2 s · pod web-1 was deleted"


def test_every_state_has_a_mark() -> None:
    assert set(rows.STATE_MARKS) == set(ForwardState)
    assert rows.state_cell(forward(paused=True)).text == "‖ paused"


def test_detail_names_the_hint() -> None:
    blocked = forward(
        ForwardState.BLOCKED, reason="the token has expired", hint="log in again",
        blocked_by=BlockedBy.CREDENTIALS,
    )  # fmt: skip
    cells = rows.detail_text(blocked, 0.0)
    assert [c.text for c in cells] == ["■ blocked", "the token has expired", "→ log in again"]
    ready = forward(
        transport=TransportChoice.SPDY, tunnels=2, round_trip_s=0.0021,
        counters=Counters(connections_total=5, connections_failed=1), last_event="refused once",
    )  # fmt: skip
    assert [c.text for c in rows.detail_text(ready, 0.0)] == [
        "● ready", "pod web-1", "spdy ×2", "2.1 ms", "5 connections", "1 failed", "refused once",
    ]  # fmt: skip


def test_warnings_make_a_ready_forward_amber() -> None:
    refused = ForwardWarning(
        code=ReasonCode.PORT_REFUSED, reason="nothing listens on port 80", count=3, last_at=92.0
    )
    taken = ForwardWarning(code=ReasonCode.LOCAL_ADDRESS_TAKEN, reason="[::1]:80 is taken")
    ready = forward(
        warnings=(refused, taken), reason=refused.reason, hint="look", last_event="was down 1 s"
    )
    row = rows.forward_row(ready, now=100.0)
    assert row.cells[1] == rows.Cell("● ready", "warn")
    assert row.cells[-1].text == "nothing listens on port 80 · 3 times, last 8s ago"
    detail = [cell.text for cell in rows.detail_text(ready, 100.0)]
    assert detail[:4] == ["● ready", row.cells[-1].text, "[::1]:80 is taken", "→ look"]


def test_connection_rows() -> None:
    opened = msgspec.structs.replace(connection(1), first_byte_s=0.0021)
    row = rows.connection_row(opened, now=73.0, target="shop/web-1:http")
    assert texts(row) == [
        "127.0.0.1:50001", "shop/web-1:http", "psql (4211)", "1m12s", "2.1 ms",
        "1.2 MB", "3.1 kB", "1.0 MB/s", "", "open",
    ]  # fmt: skip
    closed = msgspec.structs.replace(
        connection(1), state=ConnectionState.CLOSED, closed_at=11.0, failed=True,
        close_reason="connection refused by the pod",
    )  # fmt: skip
    row = rows.connection_row(closed, now=500.0)
    assert row.cells[2].text == "10s"
    assert row.cells[-1] == rows.Cell("connection refused by the pod", "bad")


def test_connection_of_a_pod_that_goes_is_draining() -> None:
    going = msgspec.structs.replace(
        connection(1), code=ReasonCode.POD_TERMINATING, reason="pod web-1 is Terminating"
    )
    cell = rows.connection_row(going, now=73.0).cells[-1]
    assert cell == rows.Cell("draining: pod web-1 is Terminating", "warn")
    silent = msgspec.structs.replace(
        going, code=ReasonCode.CONNECTION_NO_ANSWER, reason="no answer for 7 s"
    )
    assert rows.connection_state_cell(silent) == rows.Cell("open: no answer for 7 s", "warn")
    ended = msgspec.structs.replace(
        connection(1), state=ConnectionState.CLOSED, closed_at=11.0,
        close_code=ReasonCode.CONNECTION_POD_EVICTED, close_reason="closed: pod was evicted",
    )  # fmt: skip
    assert rows.connection_state_cell(ended) == rows.Cell("closed: pod was evicted", "warn")


def test_header() -> None:
    cluster = ClusterState(CatalogScope("here", ""))
    cluster.health = ApiHealth(context="here", ok=True, latency_s=0.012)
    cells = rows.status_cells(cluster, Snapshot(version=1, at=0.0, forwards=(forward(),)))
    assert "  ".join(c.text for c in cells) == (
        "tui-forward  here ▾  ns: all ▾  API ● 12 ms  1 forward · 0 conns  ↓ 0 B/s ↑ 0 B/s"
    )
    cluster.health = ApiHealth(context="here", ok=True, insecure=True)
    place = rows.status_cells(cluster, Snapshot(version=1, at=0.0, forwards=()))[1]
    assert place == rows.Cell("here ▾ (TLS not verified)", "warn")
    assert rows.health_cell(None).text == "API …"
    assert rows.health_cell(ApiHealth(context="here", ok=False)).style == "bad"
