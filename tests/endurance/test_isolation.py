"""Stalled connections do not affect others, neither while they stall nor afterwards."""

from __future__ import annotations

import pytest

from tests.endurance.engine_process import MIB
from tests.endurance.isolation import (
    STOPPED_READERS,
    STOPPED_SERVERS,
    UNREAD_ECHOES,
    StallKind,
    measure_neighbors,
)
from tests.support.cluster_process import ClusterProcess
from tui_forward.model import TransportChoice

pytestmark = pytest.mark.timeout(180)

# Ten stopped readers may use 32 MiB of buffers, and Python keeps some freed memory.
_MAX_GROWTH = 80 * MIB


def _stalls(*counts: tuple[StallKind, int]) -> pytest.MarkDecorator:
    """Return parameters: a kind, and how many; an unread echo fills all buffers in both ways."""
    ids = [f"{count}-{kind.name.replace(' ', '-')}" for kind, count in counts]
    return pytest.mark.parametrize(("kind", "count"), counts, ids=ids)


@_stalls((STOPPED_READERS, 10), (STOPPED_SERVERS, 10), (UNREAD_ECHOES, 5))
async def test_neighbors_of_stalled_connections_are_served(
    cluster: ClusterProcess, kind: StallKind, count: int
) -> None:
    # A neighbor that gets no response times out, which is an error.
    latency = await measure_neighbors(cluster, kind, count=count, probes=15)
    assert latency.peak_growth < _MAX_GROWTH, latency.row()
    # `python -m tests.endurance` checks the milliseconds; this machine runs other tests, too.
    for each in (latency.same, latency.other):
        assert each.during < 10 * each.before + 0.2, latency.row()
    assert latency.failures == ()
    assert latency.log_errors == ""


@_stalls((STOPPED_READERS, 20), (UNREAD_ECHOES, 1), (UNREAD_ECHOES, 5))
async def test_connections_that_share_tunnels_are_served_beside_stalled_ones(
    cluster: ClusterProcess, kind: StallKind, count: int
) -> None:
    # Opened at once, so that most share a tunnel; one that gets no response is an error.
    latency = await measure_neighbors(cluster, kind, count=count, probes=5, sharers=50)
    # A stalled connection that shares a tunnel is ended when the disk of its forward is full, which
    # a fast machine achieves. Nothing else is.
    assert [one for one in latency.failures if "the client stopped reading" not in one] == []
    assert latency.log_errors == ""


@_stalls((STOPPED_READERS, 4), (UNREAD_ECHOES, 2))
async def test_neighbors_of_stalled_websocket_connections_are_served(
    cluster: ClusterProcess, kind: StallKind, count: int
) -> None:
    latency = await measure_neighbors(
        cluster, kind, count=count, probes=5, transport=TransportChoice.WEBSOCKET
    )
    assert latency.peak_growth < _MAX_GROWTH, latency.row()
