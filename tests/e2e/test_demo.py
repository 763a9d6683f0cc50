"""The commands `demo` and `cluster`."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import (
    PROGRAM,
    Process,
    all_ended,
    descendants,
    http_get,
    program,
    wait_until,
)
from tests.support.cluster_process import ClusterProcess
from tests.support.forked_program import run


@pytest.mark.timeout(600)
def test_demo_without_a_terminal_runs_all_checks() -> None:
    done = subprocess.run(
        [*PROGRAM, "demo"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=590, env={**os.environ, "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout
    assert done.stdout.count("✓") >= 14
    assert "checks passed in" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


@pytest.mark.timeout(180)
def test_failed_check_fails_the_demo(
    cluster: ClusterProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = (str(cluster.kubeconfig), cluster.server, str(cluster.control.path))
    code = (
        "import contextlib, sys\n"
        "from tui_forward.cli.demo import isolation_checks, recovery_checks, runner\n"
        "from tui_forward.cli.demo import transport_checks\n"
        "from tui_forward.cli.demo.check_result import CheckFailedError\n"
        "from tui_forward.api.embedded_cluster import EmbeddedCluster\n"
        "@contextlib.asynccontextmanager\n"
        f"async def running(): yield EmbeddedCluster(*{ready!r}, None)\n"
        "runner.embedded_cluster = running\n"
        "async def broken(*_): raise CheckFailedError('as the test requires')\n"
        "for module in (isolation_checks, recovery_checks, transport_checks):\n"
        "    for name in dir(module):\n"
        "        if name.startswith('check_') and name != 'check_cluster_listing':\n"
        "            setattr(module, name, broken)\n"
        # The official client, which the whole demo uses, takes seconds to import.
        "async def same_list(_): pass\n"
        "transport_checks._require_same_list = same_list\n"
        "from tui_forward.cli.main import main; sys.exit(main(['demo', *sys.argv[1:]]))"
    )
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = subprocess.run(
        [sys.executable, "-c", code, "--json"], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False, timeout=90,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout.isascii()
    checks = [json.loads(line) for line in done.stdout.splitlines()]
    assert checks[0]["passed"], done.stdout
    (deleted,) = (one for one in checks if one.get("check") == "pod deleted")
    assert not deleted["passed"]
    assert deleted["summary"] == "as the test requires"
    assert checks[-1]["passed"] == 2, done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_cluster_ends_with_its_command_and_removes_its_files(number: signal.Signals) -> None:
    """So it does by SIGTERM: see the next test."""
    process = Process(*PROGRAM, "cluster")
    try:
        process.wait_for_output("export KUBECONFIG=", "API server at https://127.0.0.1:")
        words = shlex.split(process.out[0])
        kubeconfig = Path(words[1].removeprefix("KUBECONFIG="))
        assert kubeconfig.is_file()
        below = descendants(process.popen.pid)
        assert below
        code = process.stop(number)
    finally:
        process.stop()
    assert code == (0 if number is not signal.SIGKILL else -signal.SIGKILL)
    wait_until(lambda: all_ended(below), "every process of the cluster to end")
    wait_until(lambda: not kubeconfig.parent.exists(), f"{kubeconfig.parent} to be removed")


def test_cluster_prints_json_accepts_faults_and_ends_by_a_signal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = Process(*PROGRAM, "cluster", "--json")
    try:
        wait_until(lambda: process.out, "the ready line")
        ready = json.loads(process.out[0])
        monkeypatch.setenv("KUBECONFIG", ready["kubeconfig"])

        def fault(*words: str) -> subprocess.CompletedProcess[str]:
            return run(
                [*PROGRAM, "cluster", "fault", *words], capture_output=True, text=True, timeout=60,
                check=False,
            )  # fmt: skip

        assert json.loads(fault("status").stdout)["ok"]
        unknown = fault("earthquake")
        assert unknown.returncode == 1
        assert unknown.stderr.startswith("error: ")
        with program("forward", "deploy/web", ":8080", "-n", "shop") as forward:
            forward.wait_for_output("Forwarding from 127.0.0.1:")
            assert fault("restart-component", "component=kubelet").returncode == 0
            assert http_get(forward.local_ports()[0])[0] == 200
        below = descendants(process.popen.pid)
        assert below
        assert process.stop(signal.SIGTERM) == 0
    finally:
        process.stop()
    wait_until(lambda: all_ended(below), "every process of the cluster to end")
    folder = Path(ready["kubeconfig"]).parent
    wait_until(lambda: not folder.exists(), f"{folder} to be removed")


def test_cluster_that_cannot_start_reports_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(
            [*PROGRAM, "cluster", "--port", str(port)], capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: the embedded cluster did not start")
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2
