"""The official Python client against the whole cluster: list, watch, port-forward."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.minicluster import official_client
from tests.minicluster.cluster import PATIENCE_S, Running

Ask = Callable[[str], Any]


@pytest.fixture(params=["minicluster", "admin-token"])
def ask(request: pytest.FixtureRequest, cluster: Running) -> Ask:
    """Runs a case of `stranger`, by certificate and by token."""

    def run(case: str) -> Any:
        command = [sys.executable, str(Path(official_client.__file__)), str(cluster.kubeconfig)]
        done = subprocess.run(
            [*command, request.param, case],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_lists_into_models(ask: Ask) -> None:
    seen = ask("lists")
    assert seen["first"] == 5
    assert seen["remaining"] == seen["rest"] > 5
    assert len(set(seen["versions"])) == 1
    assert {"web", "echo"} <= set(seen["services"])


def test_refusals_are_understood(ask: Ask) -> None:
    seen = ask("missing")
    assert (seen["status"], seen["body"]["message"]) == (404, 'pods "nope" not found')


def test_watches(ask: Ask) -> None:
    assert ask("watches") == [
        ["ADDED", "one"],
        ["ADDED", "two"],
        ["DELETED", "one"],
        ["DELETED", "two"],
    ]


def test_a_watch_that_is_too_old_raises(ask: Ask, cluster: Running) -> None:
    cluster.control.send("compact")
    assert ask("too_old") == 410


def test_port_forward(ask: Ask) -> None:
    assert ask("forwards") is True


def test_port_forward_refused(ask: Ask) -> None:
    received, error = ask("refused")
    assert received == ""
    assert error.startswith("error forwarding port 7999 to pod ")
    assert "connect: connection refused" in error
