"""The official Python client with a whole cluster: list, watch, port-forward."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.minicluster import official_client
from tests.support.cluster_process import ClusterProcess

RunCase = Callable[[str], Any]


@pytest.fixture(scope="module")
def official(cluster: ClusterProcess) -> Iterator[subprocess.Popen[str]]:
    """Run a process for all cases, since importing the client takes seconds."""
    with subprocess.Popen(
        [sys.executable, official_client.__file__, str(cluster.kubeconfig)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(params=["minicluster", "admin-token"])
def run_case(request: pytest.FixtureRequest, official: subprocess.Popen[str]) -> RunCase:
    """Return a function that runs a case of `official_client`, by certificate and by token."""
    assert official.stdin is not None
    assert official.stdout is not None
    stdin, stdout = official.stdin, official.stdout

    def run(case: str) -> Any:
        stdin.write(f"{case} {request.param}\n")
        stdin.flush()
        line = stdout.readline()
        assert line, official.communicate()[1]
        return json.loads(line)

    return run


def test_list_pages_and_decode_models(run_case: RunCase) -> None:
    result = run_case("list_pages")
    assert result["first"] == 5
    assert result["remaining"] == result["rest"] > 5
    assert len(set(result["versions"])) == 1
    assert {"web", "echo"} <= set(result["services"])


def test_missing_pod_raises_not_found(run_case: RunCase) -> None:
    result = run_case("get_missing")
    assert (result["status"], result["body"]["message"]) == (404, 'pods "nope" not found')


def test_watch_reports_all_events(run_case: RunCase) -> None:
    assert run_case("watch_objects") == [
        ["ADDED", "one"],
        ["ADDED", "two"],
        ["DELETED", "one"],
        ["DELETED", "two"],
    ]


def test_watch_of_compacted_version_raises(run_case: RunCase, cluster: ClusterProcess) -> None:
    cluster.control.send("compact")
    assert run_case("watch_compacted") == 410


def test_port_forward_transfers_data(run_case: RunCase) -> None:
    assert run_case("forward_data") is True


def test_port_forward_to_closed_port_reports_error(run_case: RunCase) -> None:
    received, error = run_case("forward_closed_port")
    assert received == ""
    assert error.startswith("error forwarding port 7999 to pod ")
    assert "connect: connection refused" in error
