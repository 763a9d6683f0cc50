"""The tables of the dashboard over the scene of its design."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from textual.pilot import Pilot

from tests.cli.fake_session import until
from tests.support import fleet
from tests.tui.app_harness import running, screen_text, shows
from tui_forward.model import ConnectionState, EventKind, ReasonCode
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.widgets.row_table import RowTable
from tui_forward.tui.widgets.sorted_table import SortedTable

WIDTH, HEIGHT = 120, 36


@asynccontextmanager
async def dashboard(
    session: fleet.FleetSession,
) -> AsyncIterator[tuple[TuiForwardApp, Pilot[None]]]:
    async with running(
        session, (WIDTH, HEIGHT), context=fleet.STAGING, clock=lambda: fleet.NOW
    ) as (app, pilot):
        await shows(app, "svc/payments", "deploy/api-gateway")
        yield app, pilot


def table(app: TuiForwardApp, name: str) -> SortedTable:
    shown = app.dashboard.query_one(f"#{name}", RowTable)
    assert isinstance(shown, SortedTable)
    return shown


def title_x(shown: SortedTable, key: str) -> int:
    """Return a cell of the title of a column, in the table."""
    position = next(at for at, one in enumerate(shown.columns) if one.key == key)
    return 1 + shown._renderer.layout.place(position) + shown.column_width(position) - 1


async def test_a_click_on_a_title_sorts_reverses_and_returns() -> None:
    session = fleet.fleet()
    async with dashboard(session) as (app, pilot):
        for name, key, title in (
            ("forwards", "target", "target"), ("forwards", "up_rate", "↑ rate"),
            ("browse", "ready", "ready"),
        ):  # fmt: skip
            shown = table(app, name)
            default = list(shown.keys)
            orders = []
            for _ in range(3):
                await pilot.click(f"#{name}", offset=(title_x(shown, key), 1))
                await pilot.pause()
                orders.append(list(shown.keys))
                arrows = [f"{title}▼", f"{title}▲"]
                assert any(one in screen_text(app) for one in arrows) is (len(orders) < 3)
            assert orders[2] == default
            assert orders[0] != orders[1]


async def test_a_connection_of_a_pod_that_terminates_is_draining() -> None:
    session = fleet.fleet()
    async with dashboard(session) as (app, _):
        connections = table(app, "connections")
        app.dashboard.tables.forwards.cursor = "f7"
        await until(lambda: len(connections.keys) == 2)
        assert "draining" not in screen_text(app)
        session.connection_list = [
            msgspec.structs.replace(one, code=ReasonCode.POD_TERMINATING)
            if one.process.startswith("psql (51300)") else one
            for one in session.connection_list
        ]  # fmt: skip
        session.emit(EventKind.CONNECTION_CHANGED, "f7")
        await shows(app, "draining")
        (first, *_) = connections.keys
        assert session.connection_list[int(first) - 1] is not None
        row = connections._row_of(first)
        assert (row.cells[0].text, row.cells[-1].text) == ("psql (51300)", "draining")


async def test_closed_connections_of_all_forwards_are_shown_on_demand() -> None:
    session = fleet.fleet()
    closed = msgspec.structs.replace(
        session.connection_list[0], id=9_000, process="closed-client (1)",
        state=ConnectionState.CLOSED, closed_at=fleet.NOW - 5, rate_from_pod=0.0, rate_to_pod=0.0,
    )  # fmt: skip
    session.connection_list.append(closed)
    async with dashboard(session) as (app, pilot):
        await pilot.press("T")
        await shows(app, "connections of all forwards", "closed hidden", "Show closed")
        assert "closed-client" not in screen_text(app)
        await pilot.press("z", "full_stop")
        await shows(app, "closed-client", "Hide closed")
        assert "closed hidden" not in screen_text(app)
        await pilot.press("full_stop")
        await shows(app, "closed hidden")
        assert "closed-client" not in screen_text(app)
