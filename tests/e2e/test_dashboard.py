"""The dashboard in a terminal."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.processes import PROGRAM, dashboards, exchange, wait_until
from tests.e2e.terminal import NEEDS_TMUX, Terminal, environment
from tests.support.cluster_process import ClusterProcess
from tests.support.engine_processes import engine_processes

pytestmark = NEEDS_TMUX


@pytest.fixture
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    with Terminal(tmp_path_factory.mktemp("t")) as terminal:
        yield terminal


@pytest.mark.timeout(180)
def test_forward_is_started_used_and_stopped(
    terminal: Terminal, cluster: ClusterProcess, own_home: Path
) -> None:
    terminal.start(
        *PROGRAM, "-n", "default", **environment(own_home, KUBECONFIG=str(cluster.kubeconfig))
    )
    terminal.wait_for_text(
        "[workloads] pods services · default", "echo", "Running", "No active forwards"
    )
    terminal.press("1")
    screen = terminal.wait_for_text("● ready", "1/1", "→ :")
    found = re.search(r"→ :(\d+)", screen)
    assert found
    port = int(found[1])
    assert exchange(port, b"z" * 250_000, answer=250_000) == b"z" * 250_000
    terminal.wait_for_text("250 kB", "connections of pod/echo:echo")
    cluster.control.send("restart-component", component="kubelet")
    assert exchange(port, b"again", answer=5) == b"again"
    terminal.press("q")
    terminal.wait_for_text("Keep 1 forward running?")
    terminal.press("s")
    screen = terminal.wait_for_text("ended with 0")
    assert "Traceback" not in screen
    wait_until(lambda: not _accepts(port), "the engine to end with its last front end")


@pytest.mark.kubectl
@pytest.mark.timeout(180)
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_filtered_workload_is_forwarded_and_its_next_pod_followed(
    tmp_path_factory: pytest.TempPathFactory, cluster: ClusterProcess, own_home: Path
) -> None:
    terminal = Terminal(tmp_path_factory.mktemp("t"), 120, 36)
    try:
        terminal.start(
            *PROGRAM, "-n", "shop", **environment(own_home, KUBECONFIG=str(cluster.kubeconfig))
        )
        terminal.wait_for_text("[workloads] pods services · shop", "deploy/echo")
        terminal.press("/")
        terminal.press("deploy echo", "Enter")
        terminal.wait_for_text("· shop · /deploy echo", "1-9 Start")  # the filter is closed
        terminal.press("1")
        terminal.wait_for_text("ready on 127.0.0.1:")
        terminal.press("1")  # goes to it; the strip has its chain
        screen = terminal.wait_for_text("→ :", "● pod echo-")
        found = re.search(r"→ :(\d+)", screen)
        pod = re.search(r"pod (echo-\S+)", screen)
        assert found
        assert pod
        port = int(found[1])
        assert exchange(port, b"z" * 120_000, answer=120_000) == b"z" * 120_000
        terminal.wait_for_text("120 kB")
        kubectl = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "-n", "shop"]
        subprocess.run(
            [*kubectl, "delete", "pod", pod[1], "--wait=false"], check=True, timeout=30,
            capture_output=True, env={"PATH": os.environ["PATH"], "HOME": str(own_home)},
        )  # fmt: skip

        def answered() -> bool:
            # A connection that the old pod still accepts ends with it.
            with contextlib.suppress(ConnectionResetError):
                return exchange(port, b"again", answer=5) == b"again"
            return False

        wait_until(answered, "an answer of the next pod", 40)

        def moved() -> bool:
            now = re.search(r"pod (echo-\S+)", terminal.screen())
            return now is not None and now[1] != pod[1]

        wait_until(moved, "the next pod", 40)
        terminal.press("d")
        terminal.wait_for_text(f"…{pod[1].rpartition('-')[2]} → …", "timeline", "127.0.0.1:")
        terminal.press("Escape")
        terminal.wait_for_text("[workloads] pods services · shop")
        terminal.press("q")
        terminal.wait_for_text("Keep 1 forward running?")
        terminal.press("s")
        assert "Traceback" not in terminal.wait_for_text("ended with 0")
    finally:
        terminal.close()


def _accepts(port: int) -> bool:
    try:
        exchange(port, b"", answer=0)
    except OSError:
        return False
    return True


def _echoes(port: int) -> bool:
    try:
        return exchange(port, b"back", answer=4) == b"back"
    except (OSError, AssertionError):
        return False


def _engine(home: Path) -> psutil.Process:
    """Return the engine, which is a child of its watchdog."""
    processes = engine_processes(home)
    watchdogs = {process.pid for process in processes}
    return next(process for process in processes if process.ppid() in watchdogs)


@pytest.mark.timeout(180)
def test_killed_engine_is_restarted_with_its_forwards(
    terminal: Terminal, cluster: ClusterProcess, own_home: Path
) -> None:
    terminal.start(
        *PROGRAM, "-n", "default", **environment(own_home, KUBECONFIG=str(cluster.kubeconfig))
    )
    terminal.wait_for_text("echo", "No active forwards")
    terminal.press("1")
    found = re.search(r"→ :(\d+)", terminal.wait_for_text("● ready", "1/1", "→ :"))
    assert found
    port = int(found[1])
    for _ in range(3):
        engine = _engine(own_home)
        engine.kill()
        engine.wait(60)
        wait_until(lambda: _echoes(port), "the forward to be back on its port")
        terminal.wait_for_text("● ready", "1/1")
    # Without a watchdog the dashboard starts a new engine.
    for process in engine_processes(own_home):
        process.kill()
    wait_until(lambda: _echoes(port), "the forward to be back on its port")
    terminal.wait_for_text("● ready", "1/1")
    terminal.press("q")
    terminal.wait_for_text("Keep 1 forward running?")
    terminal.press("s")
    screen = terminal.wait_for_text("ended with 0")
    assert "Traceback" not in screen
    wait_until(lambda: not engine_processes(own_home), "the engine to end")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", ["closed", "killed"])
def test_forwards_outlive_a_dashboard_that_dies(
    tmp_path_factory: pytest.TempPathFactory, cluster: ClusterProcess, own_home: Path, how: str
) -> None:
    env = environment(own_home, KUBECONFIG=str(cluster.kubeconfig))
    with Terminal(tmp_path_factory.mktemp("t"), 160, 40) as terminal:
        terminal.start(*PROGRAM, "-n", "shop", **env)
        terminal.wait_for_text("[workloads] pods services · shop", "deploy/echo")
        terminal.press("1")
        found = re.search(r"→ :(\d+)", terminal.wait_for_text("● 1 ready", "→ :"))
        assert found
        before = {process.pid for process in engine_processes(own_home)}
        if how == "killed":
            for process in dashboards(own_home):
                process.kill()
            terminal.wait_for_text("ended with 137")
    wait_until(lambda: not dashboards(own_home), "the dashboard to end", 60)
    assert exchange(int(found[1]), b"keeps on", answer=8) == b"keeps on"
    with Terminal(tmp_path_factory.mktemp("t"), 160, 40) as terminal:
        terminal.start(*PROGRAM, "-n", "shop", **env)
        terminal.wait_for_text("● 1 ready")
        assert {process.pid for process in engine_processes(own_home)} == before
        terminal.press("q")
        terminal.wait_for_text("Keep 1 forward running?", "s Stop all")
        terminal.press("s")
        terminal.wait_for_text("ended with 0")
    wait_until(lambda: not engine_processes(own_home), "the engine to end")


@pytest.mark.timeout(180)
def test_forwards_stop_with_the_dashboard_if_so_configured(
    tmp_path_factory: pytest.TempPathFactory, cluster: ClusterProcess, own_home: Path
) -> None:
    settings = own_home / ".config/tui-forward/settings.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('keep_running = "never"\n')
    env = environment(own_home, KUBECONFIG=str(cluster.kubeconfig))
    with Terminal(tmp_path_factory.mktemp("t"), 160, 40) as terminal:
        terminal.start(*PROGRAM, "-n", "shop", **env)
        terminal.wait_for_text("[workloads] pods services · shop", "deploy/echo")
        terminal.press("1")
        terminal.wait_for_text("● 1 ready")
        assert engine_processes(own_home)
    wait_until(
        lambda: not engine_processes(own_home), "the engine to end with its last front end", 20
    )


@pytest.mark.timeout(180)
def test_demo_on_a_terminal_is_the_dashboard(
    tmp_path_factory: pytest.TempPathFactory, own_home: Path
) -> None:
    with Terminal(tmp_path_factory.mktemp("t"), is_forked=False) as terminal:
        terminal.start(*PROGRAM, "demo", **environment(own_home))
        terminal.wait_for_text("[workloads] pods services · shop", "deploy/echo", "ready")
        terminal.press("q")
        began = time.monotonic()
        assert "Traceback" not in terminal.wait_for_text("ended with 0")
        assert time.monotonic() - began < 15


def test_startup_error_is_printed_to_the_terminal(
    terminal: Terminal, cluster: ClusterProcess, own_home: Path
) -> None:
    env = environment(own_home, KUBECONFIG=str(cluster.kubeconfig), NO_COLOR="1")
    terminal.start(*PROGRAM, "--context", "nowhere", **env)
    terminal.wait_for_text(
        'error: the kubeconfig has no context "nowhere"', "hint:", "ended with 1"
    )


_PROGRAM_WITH_A_BUG = """
import sys
from tui_forward.cli.main import main
from tui_forward.tui.screens.dashboard import Dashboard

def bug(self):
    raise ZeroDivisionError("a bug")

Dashboard.action_favorite = bug
sys.exit(main())
"""


@pytest.mark.timeout(180)
def test_forwards_survive_a_crash_of_the_dashboard(
    terminal: Terminal, cluster: ClusterProcess, own_home: Path
) -> None:
    terminal.start(
        sys.executable, "-c", _PROGRAM_WITH_A_BUG, "-n", "default",
        **environment(own_home, KUBECONFIG=str(cluster.kubeconfig)),
    )  # fmt: skip
    terminal.wait_for_text("[workloads] pods services · default", "echo", "Running")
    terminal.press("1")
    found = re.search(r"→ :(\d+)", terminal.wait_for_text("● ready", "1/1", "→ :"))
    assert found
    terminal.press("*")
    terminal.wait_for_text("The dashboard crashed")  # for some seconds only
    terminal.wait_for_text("● ready", "1/1")
    assert exchange(int(found[1]), b"as before", answer=9) == b"as before"
    report = own_home / ".local/state/tui-forward/crash.log"
    assert "ZeroDivisionError: a bug" in report.read_text()
    terminal.press("q")
    terminal.wait_for_text("Keep 1 forward running?")
    terminal.press("s")
    assert "Traceback" not in terminal.wait_for_text("ended with 0")
