"""Stalled connections do not slow down or break their neighbors."""

from __future__ import annotations

import pytest

from tests.endurance.engine_process import MIB, open_session, running_engine, running_forward
from tests.endurance.isolation import BOTH, ECHO, KINDS, READERS, StallKind, measure_neighbors
from tests.support.cluster_process import ClusterProcess
from tui_forward.model import TransportChoice

pytestmark = pytest.mark.timeout(120)

# Ten stalled readers may buffer 32 MiB; the heap keeps some freed memory.
_MAX_GROWTH = 80 * MIB


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what.replace(" ", "-"))
async def test_neighbors_of_ten_stalled_connections_are_served(
    cluster: ClusterProcess, kind: StallKind
) -> None:
    with running_engine(cluster.kubeconfig) as running:
        async with (
            open_session(running) as session,
            running_forward(session, kind.port) as line,
            running_forward(session, ECHO) as other,
        ):
            # A neighbor that is not served times out with an error.
            seen = await measure_neighbors(running, line, other, kind, count=10, probes=15)
            assert seen.grown < _MAX_GROWTH, seen.row()
            # Exact latencies are measured by `make soak`; this machine may be busy.
            for before, during in (seen.same_s, seen.other_s):
                assert during < 10 * before + 0.2, seen.row()
            counters = (await line.forward()).counters
            assert counters.connections_failed == 0
        assert running.log_errors() == ""


@pytest.mark.parametrize("kind", [READERS, BOTH], ids=["readers", "echoes"])
async def test_neighbors_on_a_websocket_are_served(
    cluster: ClusterProcess, kind: StallKind
) -> None:
    with running_engine(cluster.kubeconfig) as running:
        async with (
            open_session(running) as session,
            running_forward(session, kind.port, transport=TransportChoice.WEBSOCKET) as line,
            running_forward(session, ECHO, transport=TransportChoice.WEBSOCKET) as other,
        ):
            seen = await measure_neighbors(running, line, other, kind, count=4, probes=5)
            assert seen.grown < _MAX_GROWTH, seen.row()
