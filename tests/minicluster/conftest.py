"""Control planes and clusters for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.minicluster.cluster import Running, running_cluster
from tests.minicluster.control_plane import ControlPlane, control_plane


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    """An empty control plane behind TLS, without nodes."""
    async with control_plane(tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def cluster() -> Iterator[Running]:
    """A whole cluster that tests share; each works on objects of its own."""
    with running_cluster("--seed", "5") as running:
        yield running
