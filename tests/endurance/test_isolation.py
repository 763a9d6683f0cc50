"""Stalled connections do not affect others, neither while they stall nor afterwards."""

from __future__ import annotations

import pytest

from tests.endurance.engine_process import MIB
from tests.endurance.isolation import (
    STOPPED_READERS,
    STOPPED_SERVERS,
    UNREAD_ECHOES,
    NeighborLatency,
    StallKind,
    measure_neighbors,
)
from tests.support.cluster_process import ClusterProcess
from tui_forward.common import paths
from tui_forward.model import TransportChoice

pytestmark = pytest.mark.timeout(180)

# Ten stopped readers may use 32 MiB of buffers, and Python keeps some freed memory.
_MAX_GROWTH = 80 * MIB
# Connections that are opened at once, so that most share a tunnel.
_SHARERS = 50
_PROBES_BESIDE_SHARERS = 5
_SMALL_DISK = 8 * MIB


def _stalls(*counts: tuple[StallKind, int]) -> pytest.MarkDecorator:
    """Return parameters: a kind, and how many; an unread echo fills all buffers in both ways."""
    ids = [f"{count}-{kind.name.replace(' ', '-')}" for kind, count in counts]
    return pytest.mark.parametrize(("kind", "count"), counts, ids=ids)


@_stalls((STOPPED_READERS, 4), (STOPPED_SERVERS, 10), (UNREAD_ECHOES, 2))
async def test_neighbors_of_stalled_connections_are_served(
    cluster: ClusterProcess, kind: StallKind, count: int
) -> None:
    # A neighbor that gets no response times out, which is an error.
    latency = await measure_neighbors(cluster, kind, count=count, probes=15)
    assert latency.peak_growth < _MAX_GROWTH, latency.row()
    # `python -m tests.endurance` checks the milliseconds; this machine runs other tests, too.
    for each in (latency.same, latency.other):
        assert each.fastest < 10 * each.before + 0.2, latency.row()
    assert latency.failures == ()
    assert latency.log_errors == ""


async def test_connections_that_share_tunnels_are_served_beside_a_stalled_one(
    cluster: ClusterProcess,
) -> None:
    latency = await measure_neighbors(
        cluster, UNREAD_ECHOES, count=1, probes=_PROBES_BESIDE_SHARERS, sharers=_SHARERS
    )
    _check_sharers(latency)


@_stalls((STOPPED_READERS, 20), (UNREAD_ECHOES, 3))
async def test_connections_that_share_tunnels_are_served_when_the_disk_is_full(
    cluster: ClusterProcess, kind: StallKind, count: int
) -> None:
    # What is in the buffers of the kernel alone fills it.
    paths.settings_file().parent.mkdir(parents=True, exist_ok=True)
    paths.settings_file().write_text(f"disk_buffer = {_SMALL_DISK}\n")
    latency = await measure_neighbors(
        cluster, kind, count=count, probes=_PROBES_BESIDE_SHARERS, sharers=_SHARERS
    )
    _check_sharers(latency)


def _check_sharers(latency: NeighborLatency) -> None:
    """Check the failures; a sharer that gets no response is an error before."""
    # A stalled connection that shares a tunnel is ended when the disk of its forward is full.
    # Nothing else is.
    assert [one for one in latency.failures if "the client stopped reading" not in one] == []
    assert latency.log_errors == ""


@_stalls((STOPPED_READERS, 2), (UNREAD_ECHOES, 1))
async def test_neighbors_of_stalled_websocket_connections_are_served(
    cluster: ClusterProcess, kind: StallKind, count: int
) -> None:
    latency = await measure_neighbors(
        cluster, kind, count=count, probes=5, transport=TransportChoice.WEBSOCKET
    )
    assert latency.peak_growth < _MAX_GROWTH, latency.row()
