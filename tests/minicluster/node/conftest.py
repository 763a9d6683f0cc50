"""Runtimes for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.minicluster.node.harness import RuntimeHarness, RuntimeProcess


@pytest.fixture(scope="module")
def shared_process() -> Iterator[RuntimeProcess]:
    """A runtime with default settings, which uses network namespaces if available."""
    process = RuntimeProcess()
    try:
        process.start()
        yield process
    finally:
        process.close()


@pytest.fixture
async def runtime(shared_process: RuntimeProcess) -> AsyncIterator[RuntimeHarness]:
    """The shared runtime, without pods and with its configured behavior."""
    harness = RuntimeHarness(shared_process)
    try:
        yield harness
    finally:
        await harness.close()
