from __future__ import annotations

from tui_forward.engine.connections.counters import SessionTotals
from tui_forward.model import Counters


def test_stopped_forwards_count_without_rates_and_open_connections() -> None:
    totals = SessionTotals()
    totals.add_stopped(
        Counters(bytes_from_pod=5, rate_from_pod=9.0, connections_open=1, connections_total=3)
    )
    totals.add_stopped(Counters(bytes_from_pod=2, connections_total=1))
    total = totals.sum([])
    assert (total.bytes_from_pod, total.connections_total) == (7, 4)
    assert (total.rate_from_pod, total.connections_open) == (0.0, 0)
