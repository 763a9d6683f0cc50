"""A connection that stands still harms no other, neither while it does nor afterwards."""

from __future__ import annotations

import pytest

from tests.endurance.engine_process import MIB, open_session, running_engine, running_forward
from tests.endurance.isolation import BOTH, ECHO, KINDS, READERS, StallKind, measure_neighbors
from tests.support.cluster_process import ClusterProcess

pytestmark = pytest.mark.timeout(120)

# Ten stopped readers may have 32 MiB in memory; and Python keeps some of what it had.
_BOUND = 80 * MIB


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what.replace(" ", "-"))
async def test_ten_that_stand_still_harm_nobody(cluster: ClusterProcess, kind: StallKind) -> None:
    with running_engine(cluster.kubeconfig) as running:
        async with (
            open_session(running) as session,
            running_forward(session, kind.port) as line,
            running_forward(session, ECHO) as other,
        ):
            # Neighbours that are harmed time out, which is an error.
            seen = await measure_neighbors(running, line, other, kind, count=10, probes=15)
            assert seen.grown < _BOUND, seen.row()
            # Milliseconds are the script's business; this is a machine with other work.
            for before, meanwhile in (seen.same_s, seen.other_s):
                assert meanwhile < 10 * before + 0.2, seen.row()
            counters = (await line.forward()).counters
            assert counters.connections_failed == 0
        assert running.log_errors() == ""


@pytest.mark.parametrize("kind", [READERS, BOTH], ids=["readers", "echoes"])
async def test_the_same_through_a_websocket(cluster: ClusterProcess, kind: StallKind) -> None:
    from tui_forward.model import TransportChoice

    with running_engine(cluster.kubeconfig) as running:
        async with (
            open_session(running) as session,
            running_forward(session, kind.port, transport=TransportChoice.WEBSOCKET) as line,
            running_forward(session, ECHO, transport=TransportChoice.WEBSOCKET) as other,
        ):
            seen = await measure_neighbors(running, line, other, kind, count=4, probes=5)
            assert seen.grown < _BOUND, seen.row()
