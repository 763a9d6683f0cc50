from __future__ import annotations

import msgspec
import pytest

from tests.support import fleet
from tests.tui.samples import connection
from tests.tui.viewmodel.test_rows import texts
from tui_forward.model import Connection, ConnectionState, ReasonCode
from tui_forward.tui.viewmodel.cell_layout import HIDDEN
from tui_forward.tui.viewmodel.columns import CONNECTIONS
from tui_forward.tui.viewmodel.connection_rows import (
    CONNECTION_SORTS,
    MAX_CLOSED,
    connection_labels,
    connection_row,
    shown_connections,
    sort_connections,
    state_cell,
)
from tui_forward.tui.viewmodel.rows import Cell, Row
from tui_forward.tui.viewmodel.sorting import DEFAULT_ORDER, SortColumn, SortOrder, first_order


def row_of(one: Connection, now: float) -> Row:
    return connection_row(one, now, connection_labels([one], [], "here", now))


def test_connection_rows() -> None:
    opened = msgspec.structs.replace(connection(1), first_byte_s=0.0021, pod="web-1")
    assert texts(row_of(opened, 73.0)) == [
        "psql (4211)", "127.0.0.1:50001", "", "", "web-1", "1m12s", "2.1 ms", "1.0 MB/s", "",
        "1.2 MB", "3.1 kB", "open",
    ]  # fmt: skip
    closed = msgspec.structs.replace(
        connection(1), state=ConnectionState.CLOSED, closed_at=11.0, failed=True,
        close_reason="connection refused by the pod",
    )  # fmt: skip
    row = row_of(closed, 500.0)
    assert row.cells[5].text == "10s"
    assert row.cells[7] == Cell("connection refused by the pod", "bad", columns=2)
    assert row.cells[-1] == Cell("failed", "bad")
    assert sum(cell.columns for cell in row.cells) == len(CONNECTIONS)


def test_states_of_connections() -> None:
    one = connection(1)
    going = msgspec.structs.replace(one, code=ReasonCode.POD_TERMINATING, reason="it goes")
    assert state_cell(going, 73.0) == Cell("draining", "warn")
    queued = msgspec.structs.replace(one, state=ConnectionState.QUEUED, opened_at=65.0)
    assert state_cell(queued, 73.0) == Cell("queued 8 s", "warn")
    half = msgspec.structs.replace(one, state=ConnectionState.CLOSING)
    assert state_cell(half, 73.0) == Cell("half-closed", "warn")
    ended = msgspec.structs.replace(
        one, state=ConnectionState.CLOSED, close_code=ReasonCode.CONNECTION_POD_EVICTED
    )
    assert state_cell(ended, 73.0) == Cell("closed", "warn")


def test_a_silent_connection_shows_why_instead_of_its_rates() -> None:
    silent = msgspec.structs.replace(
        connection(1), rate_from_pod=0.0, code=ReasonCode.CONNECTION_NO_ANSWER,
        reason="no answer for 7 s",
    )  # fmt: skip
    assert row_of(silent, 73.0).cells[7] == Cell("no answer for 7 s", "warn", columns=2)


def test_forward_and_context_are_shown_for_all_forwards_only() -> None:
    shown, forwards = fleet.connections(), fleet.forwards()
    one = connection_labels(shown, forwards, fleet.STAGING, fleet.NOW)
    assert one.longest[2:4] == (HIDDEN, HIDDEN)
    all_ = connection_labels(shown, forwards, fleet.STAGING, fleet.NOW, of_all=True)
    assert all_.longest[2:4] == (7, 42)
    staging = [one for one in shown if one.forward_id == "f7"]
    alone = connection_labels(staging, forwards, fleet.STAGING, fleet.NOW, of_all=True)
    assert alone.longest[2:4] == (HIDDEN, len("sts/postgres-primary:postgres"))


def test_queued_and_draining_come_first_and_closed_last() -> None:
    shown = shown_connections((*fleet.closed_connections(30), *fleet.connections()))
    assert len(shown) == 15 + MAX_CLOSED
    labels = connection_labels(shown, fleet.forwards(), fleet.STAGING, fleet.NOW)
    ordered = sort_connections(shown, DEFAULT_ORDER, labels)
    words = [state_cell(one, fleet.NOW).text.split()[0] for one in ordered]
    assert words == ["queued"] * 4 + ["draining"] + ["open"] * 10 + ["closed"] * MAX_CLOSED
    assert ordered[5].process == "pg_dump (51234)"
    closed = [one.closed_at or 0.0 for one in ordered[15:]]
    assert closed == sorted(closed, reverse=True), "the latest first"
    assert not any(
        one.state is ConnectionState.CLOSED for one in shown_connections(shown, with_closed=False)
    )


@pytest.mark.parametrize("column", CONNECTION_SORTS, ids=lambda column: column.key)
def test_every_column_sorts_both_ways(column: SortColumn) -> None:
    shown = (*fleet.closed_connections(2), *fleet.connections())
    labels = connection_labels(shown, fleet.forwards(), fleet.STAGING, fleet.NOW, of_all=True)
    order = first_order(column)
    for each in (order, order.reversed):
        ordered = sort_connections(shown, each, labels)
        assert {one.id for one in ordered[-2:]} == {1000, 1001}, "closed ones stay last"
    one, other = (sort_connections(shown, each, labels)[:-2] for each in (order, order.reversed))
    assert one != other


def test_sort_columns_are_columns_with_letters_of_their_own() -> None:
    assert {one.key for one in CONNECTION_SORTS} == {column.key for column in CONNECTIONS}
    assert len({one.letter for one in CONNECTION_SORTS}) == len(CONNECTION_SORTS)


def test_the_busiest_connection_is_the_first_top_talker() -> None:
    shown = shown_connections(
        (*fleet.closed_connections(30), *fleet.connections()), with_closed=False
    )
    labels = connection_labels(shown, fleet.forwards(), fleet.STAGING, fleet.NOW, of_all=True)
    ordered = sort_connections(shown, SortOrder("down_rate", descending=True), labels)
    row = connection_row(ordered[0], fleet.NOW, labels)
    assert (row.cells[0].text, row.cells[3].text) == (
        "pg_dump (51234)", "sts/postgres-primary:postgres",
    )  # fmt: skip
