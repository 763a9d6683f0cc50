"""Control planes for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.minicluster.plane import Plane, control_plane


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    """An empty control plane behind TLS, without nodes."""
    async with control_plane(tmp_path) as running:
        yield running
