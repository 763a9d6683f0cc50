"""Control planes and clusters as fixtures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.minicluster.control_plane import ControlPlane, run_control_plane
from tests.support.cluster_process import ClusterProcess, running_cluster


@pytest.fixture
async def control_plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    """Run an empty control plane with TLS and without nodes."""
    async with run_control_plane(tmp_path) as running:
        yield running


@pytest.fixture(scope="package")
def cluster() -> Iterator[ClusterProcess]:
    """Run a whole cluster for all tests; each test uses its own objects."""
    with running_cluster("--seed", "5") as running:
        yield running
