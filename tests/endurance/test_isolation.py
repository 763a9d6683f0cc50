"""Stalled connections do not affect others, neither while they stall nor afterwards."""

from __future__ import annotations

import pytest

from tests.endurance.engine_process import MIB
from tests.endurance.isolation import (
    KINDS,
    STOPPED_READERS,
    UNREAD_ECHOES,
    StallKind,
    measure_neighbors,
)
from tests.support.cluster_process import ClusterProcess
from tui_forward.model import TransportChoice

pytestmark = pytest.mark.timeout(180)

# Ten stopped readers may use 32 MiB of buffers, and Python keeps some freed memory.
_MAX_GROWTH = 80 * MIB


def _name(kind: StallKind) -> str:
    return kind.name.replace(" ", "-")


@pytest.mark.parametrize("kind", KINDS, ids=_name)
async def test_neighbors_of_ten_stalled_connections_are_served(
    cluster: ClusterProcess, kind: StallKind
) -> None:
    # A neighbor that gets no response times out, which is an error.
    latency = await measure_neighbors(cluster, kind, count=10, probes=15)
    assert latency.peak_growth < _MAX_GROWTH, latency.row()
    # `python -m tests.endurance` checks the milliseconds; this machine runs other tests, too.
    for each in (latency.same, latency.other):
        assert each.during < 10 * each.before + 0.2, latency.row()
    assert latency.failures == ()
    assert latency.log_errors == ""


@pytest.mark.parametrize("kind", [STOPPED_READERS, UNREAD_ECHOES], ids=_name)
async def test_neighbors_of_stalled_websocket_connections_are_served(
    cluster: ClusterProcess, kind: StallKind
) -> None:
    latency = await measure_neighbors(
        cluster, kind, count=4, probes=5, transport=TransportChoice.WEBSOCKET
    )
    assert latency.peak_growth < _MAX_GROWTH, latency.row()
