"""Fixtures of end-to-end tests: one embedded cluster for all tests that leave it intact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.e2e.chromium_page import ChromiumPage, running_chromium
from tests.e2e.processes import wait_until
from tests.support.cluster_process import ClusterProcess, running_cluster
from tests.support.engine_processes import engine_processes


@pytest.fixture(scope="package")
def cluster() -> Iterator[ClusterProcess]:
    """Return a running cluster that all tests of a worker share."""
    with running_cluster() as running:
        yield running


@pytest.fixture
def kubeconfig(cluster: ClusterProcess, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the cluster's kubeconfig; processes of the test use it."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    return cluster.kubeconfig


@pytest.fixture(scope="package")
def shared_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromiumPage]:
    """Return the page of a browser that all tests of a worker share; evil.test is this machine."""
    home = tmp_path_factory.mktemp("chromium")
    with running_chromium(home, "--host-resolver-rules=MAP evil.test 127.0.0.1") as page:
        yield page


@pytest.fixture
def page(shared_page: ChromiumPage) -> ChromiumPage:
    """Return an empty page in Chromium."""
    shared_page.reset()
    return shared_page


@pytest.fixture(autouse=True)
def stopped_engines(own_home: Path) -> Iterator[None]:
    """Kill engines that outlive the test: it failed, or left its forwards running."""
    yield

    def none_left() -> bool:
        for process in engine_processes(own_home):  # watchdogs first: they restart their engine
            with suppress(psutil.Error):
                process.kill()
        return not engine_processes(own_home)

    wait_until(none_left, "the end of all engines")
