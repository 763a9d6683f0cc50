"""Profiles on the command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.e2e.processes import PROGRAM, Process, exchange, http_get, wait_until
from tests.e2e.terminal import NEEDS_TMUX, Terminal, environment
from tests.support.cluster_process import ClusterProcess
from tests.support.engine_processes import engine_processes
from tests.support.forked_program import ForkedProcess, run
from tui_forward.cli.forward_output import forward_to_dict, json_lines
from tui_forward.cli.main import main
from tui_forward.daemon import connect_if_running, rpc, unix_socket
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.model import Forward, ForwardSpec, Target, TargetKind

pytestmark = pytest.mark.timeout(180)

SHOP = """\
# forwards of the shop
namespace: shop
forwards:
  web: {target: deploy/echo, port: echo, needs: db, local: any}
  db: {target: svc/echo, port: echo, local: any}
"""


# They start or replace processes in ways that depend on their own.
_PROCESSES = ("restart", "run")


class Shell:
    """Runs the program in a work folder: most commands in this process, which is faster."""

    def __init__(
        self, home: Path, cluster: ClusterProcess, capture: pytest.CaptureFixture[str]
    ) -> None:
        self.home = home
        self.folder = home / "work"
        self.folder.mkdir()
        self.profiles = home / ".config/tui-forward/profiles"
        self.profiles.mkdir(parents=True)
        self._capture = capture
        self.in_process = True
        os.environ["KUBECONFIG"] = str(cluster.kubeconfig)

    def __call__(
        self, *arguments: str, code: int = 0, stdin: str = "", process: bool = False
    ) -> subprocess.CompletedProcess[str]:
        if process or stdin or not self.in_process or arguments[0] in _PROCESSES:
            done = run(
                [*PROGRAM, *arguments], cwd=self.folder, capture_output=True, text=True,
                timeout=60, check=False, input=stdin,
            )  # fmt: skip
        else:
            self._capture.readouterr()
            with contextlib.chdir(self.folder):
                returned = main(arguments)
            done = subprocess.CompletedProcess(arguments, returned, *self._capture.readouterr())
        assert done.returncode == code, f"{arguments} exited with {done.returncode}: {done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def listed(self) -> dict[str, dict[str, object]]:
        """Return what `ls --json` prints, by name; without a process if the engine runs."""

        async def read() -> tuple[Forward, ...] | None:
            session = await connect_if_running(None)
            if session is None:
                return None
            try:
                return (await session.snapshot()).forwards
            finally:
                await session.close()

        forwards = asyncio.run(read())
        if forwards is None:
            lines = self("ls", "--json").stdout.splitlines()
        else:
            lines = list(json_lines(map(forward_to_dict, forwards)))
        return {one["name"]: one for one in map(json.loads, lines)}

    def ports(self) -> dict[str, int]:
        found = {}
        for name, one in self.listed().items():
            addresses = one["listening"]
            assert isinstance(addresses, list)
            found[name] = int(addresses[0].rpartition(":")[2])
        return found

    def engines(self) -> list[psutil.Process]:
        """Return the watchdog and the engine, in this order."""
        return engine_processes(self.home)


@pytest.fixture
def shell(
    own_home: Path,
    cluster: ClusterProcess,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Shell:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    shell = Shell(own_home, cluster, capfd)
    (shell.profiles / "shop.yaml").write_text(SHOP)
    return shell


def test_up_and_down(shell: Shell) -> None:
    assert "2 forwards" in shell("profile", "list").stdout
    assert "no engine is running" in shell("status").stderr
    head, *lines = shell("up", "shop", "--dry-run").stdout.splitlines()
    assert head.split() == ["NAME", "CONTEXT", "NAMESPACE", "TARGET", "LOCAL", "EFFECT"]
    assert [line.split()[:2] for line in lines] == [["+", "db"], ["+", "web"]]
    assert not shell.engines(), "a dry run must not start an engine"
    first = [json.loads(line) for line in shell("up", "shop", "--json").stdout.splitlines()]
    assert [(one["name"], one["state"]) for one in first] == [("web", "ready"), ("db", "ready")]
    ports = shell.ports()
    for port in ports.values():
        assert exchange(port, b"hello", answer=5) == b"hello"
    assert re.search(r"engine \d+, up \d+s: 2 forwards, \d+ conn", shell("status").stdout)
    assert "needs a terminal" in shell("status", "--watch", code=2).stderr
    # A second `up` changes nothing; an edit changes only its forward.
    ids = {name: one["forward"] for name, one in shell.listed().items()}
    shell("up", "shop")
    assert {name: one["forward"] for name, one in shell.listed().items()} == ids
    edited = SHOP.replace("port: echo, local: any}", "port: 7, local: any, label: data}")
    (shell.profiles / "shop.yaml").write_text(edited)
    shell("up", "shop")  # also applied automatically, see test_profile_edits
    wait_until(lambda: shell.listed()["db"]["target"] == "shop/svc/echo:7", "the edit")
    after = shell.listed()
    assert after["web"]["forward"] == ids["web"]
    assert after["db"]["forward"] != ids["db"]
    assert "stopped f" in shell("stop", "web").stderr
    assert list(shell.listed()) == ["db"]
    assert "specify forwards or --all" in shell("stop", code=2).stderr
    assert "db" in shell.listed()
    assert "svc/echo:7" in shell("stop", "--all").stderr
    assert "no active forwards" in shell("stop", "--all").stderr
    wait_until(lambda: not shell.engines(), "the engine to end with its last forward")


ANNOTATED = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: annotated, namespace: ops}
spec:
  replicas: 2
  selector: {matchLabels: {app: annotated}}
  template:
    metadata:
      labels: {app: annotated}
      annotations: {k9scli.io/port-forwards: "echo::0:echo,echo::nothing"}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: echo, image: local/echo, ports: [{name: echo, containerPort: 7000}]}
"""


def test_dry_run_of_merge_and_replace(shell: Shell) -> None:
    shell("up", "shop")
    (shell.profiles / "other.yaml").write_text(
        "namespace: shop\nforwards:\n  echo: {target: deploy/echo, port: echo, local: any}\n"
    )
    assert "cannot be combined" in shell("up", "shop", "--merge", "--replace", code=2).stderr
    shell("up", "other", "--merge")
    shell("stop", "web")
    edited = SHOP.replace("svc/echo, port: echo", "svc/echo, port: 7")
    ids = {name: one["forward"] for name, one in shell.listed().items()}
    assert set(ids) == {"db", "echo"}
    # A second file, since an edit of an active profile is applied automatically.
    (shell.profiles / "shop2.yaml").write_text(f"name: shop2\n{edited}")
    added = [["+", "db"], ["+", "web"]]
    for manner, more in (("--merge", []), ("--replace", [["-", "db"], ["-", "echo"]])):
        done = shell("up", "shop2", manner, "--dry-run")
        assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == added + more
    assert {name: one["forward"] for name, one in shell.listed().items()} == ids
    shell("up", "shop", "--merge")
    after = shell.listed()
    assert {name: after[name]["forward"] for name in ids} == ids
    assert set(after) == {"db", "echo", "web"}
    done = shell("up", "shop2", "--replace")
    assert sorted(done.stderr.splitlines()) == [
        "stopped db of profile shop", "stopped echo of profile other",
        "stopped web of profile shop",
    ]  # fmt: skip
    on = shell("ls", "--json").stdout.splitlines()
    assert {json.loads(one)["profile"] for one in on} == {"shop2"}
    assert exchange(shell.ports()["web"], b"hello", answer=5) == b"hello"
    shell("down", "shop2")
    wait_until(lambda: not shell.engines(), "the engine to end with its last forward")


@pytest.mark.kubectl
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_import_of_annotated_pods_from_kubectl_output(shell: Shell) -> None:
    def kubectl(*arguments: str, stdin: str = "") -> str:
        command = ["kubectl", "-n", "ops", *arguments]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    kubectl("create", "--validate=false", "-f", "-", stdin=ANNOTATED)
    try:
        wait_until(
            lambda: kubectl("get", "pods", "-o", "name").count("/annotated-") == 2, "the pods"
        )
        for form in ("yaml", "json"):
            text = kubectl("get", "pods", "-o", form)
            done = shell("profile", "import", "-", "--name", form, stdin=text)
            assert "2 found, 1 imported, 1 left out" in done.stderr
            assert 'there is no port "nothing"; available: echo' in done.stderr
        written = [(shell.profiles / f"{form}.yaml").read_text() for form in ("yaml", "json")]
        assert written[0] == written[1]
        shell("up", "yaml")
        assert shell.listed()["annotated-echo"]["target"] == "ops/deploy/annotated:echo"
        assert exchange(shell.ports()["annotated-echo"], b"hello", answer=5) == b"hello"
        shell("down", "yaml")
    finally:
        kubectl("delete", "deploy", "annotated", "--wait=false")


def test_run_sets_variables_and_returns_the_exit_code(shell: Shell) -> None:
    code = (
        "import os, socket, sys\n"
        "with socket.create_connection((os.environ['DB_HOST'], int(os.environ['DB_PORT']))) as s:\n"
        "    s.sendall(b'hello'); got = s.recv(5)\n"
        "print(got.decode(), os.environ['WEB_URL'].split(':')[0], *sys.argv[1:]); sys.exit(7)\n"
    )
    done = shell("run", "shop", "--", sys.executable, "-c", code, "--json", "-y", code=7)
    assert done.stdout == "hello tcp --json -y\n"
    wait_until(lambda: not shell.engines(), "the engine to end with the command")
    assert "no command given" in shell("run", "shop", code=2).stderr
    assert "command not found" in shell("run", "shop", "--", "no-such-cmd", code=127).stderr
    # Forwards that were active before stay active.
    shell("up", "shop")
    ids = {name: one["forward"] for name, one in shell.listed().items()}
    file = shell.folder / "env"
    shell("run", "shop", "--env-file", str(file), "--", "true")
    assert {name: one["forward"] for name, one in shell.listed().items()} == ids
    names = [line.partition("=")[0] for line in file.read_text().splitlines()]
    assert names == ["WEB_HOST", "WEB_PORT", "WEB_URL", "DB_HOST", "DB_PORT", "DB_URL"]
    shell("down", "shop")


def test_terminated_run_stops_its_forwards(shell: Shell) -> None:
    running = ForkedProcess(
        [*PROGRAM, "run", "shop", "--", "sleep", "60"], cwd=shell.folder,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        wait_until(lambda: _runs(running.pid, "sleep"), "the command to start")
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 128 + signal.SIGTERM
    finally:
        running.kill()
        running.communicate()
    wait_until(lambda: not shell.engines(), "the engine to end with the command")


def test_metrics_are_printed_and_served_on_loopback_only(shell: Shell) -> None:
    assert "\ntui_forward_up 0\n" in shell("metrics").stdout
    assert not shell.engines()
    assert "other machines can reach it" in shell("metrics", "--listen", "0.0.0.0:0", code=2).stderr
    shell("up", "shop")
    for port in shell.ports().values():
        exchange(port, b"x" * 1000, answer=1000)
    serving = Process(*PROGRAM, "metrics", "--listen", "127.0.0.1:0")
    try:
        serving.wait_for_output("/metrics")
        port = int(serving.err[0].rpartition(":")[2].partition("/")[0])
        wait_until(lambda: b"} 1000" in http_get(port, "/metrics")[1], "the bytes")
        status, body = http_get(port, "/metrics")
        assert status == 200
        assert body.endswith(b"# EOF\n")
        assert http_get(port, "/")[0] == 404
    finally:
        serving.stop()
    shell("down", "shop")


def test_restart_keeps_forwards_and_connections(shell: Shell) -> None:
    assert "no engine is running" in shell("restart", code=2).stderr
    shell("up", "shop")
    ports, before = shell.ports(), {process.pid for process in shell.engines()}
    ids = {name: one["forward"] for name, one in shell.listed().items()}
    over, served, lost = threading.Event(), 0, []

    def call() -> None:
        nonlocal served
        while not over.is_set():
            try:
                assert exchange(ports["web"], b"new", answer=3) == b"new"
            except (OSError, AssertionError) as error:
                lost.append(error)
            served += 1

    with socket.create_connection(("127.0.0.1", ports["db"])) as client:
        client.settimeout(10)
        client.sendall(b"before")
        assert client.recv(6) == b"before"
        caller = threading.Thread(target=call)
        caller.start()
        try:
            wait_until(lambda: served > 10, "calls")
            done = shell("restart")
            after = served
            wait_until(lambda: served > after + 10, "calls afterwards")
        finally:
            over.set()
            caller.join()
        assert not lost
        assert done.stdout.count(" ready ") == 2
        assert re.search(r"connections? continues? in the old engine", done.stderr)
        # The open connection continues in the old process.
        client.sendall(b"after")
        assert client.recv(5) == b"after"
    assert shell.ports() == ports
    assert {name: one["forward"] for name, one in shell.listed().items()} == ids
    wait_until(
        lambda: not before & {process.pid for process in shell.engines()}, "the old engine to end"
    )
    shell("down", "shop")


def _start_older_engine(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Start an engine of the previous version with a forward that keeps running."""
    path = unix_socket.default_socket_path(None, os.environ)
    unix_socket.ensure_private_dir(path)
    older = (
        "import sys\n"
        "from tui_forward.daemon import rpc, __main__ as engine\n"
        "rpc.VERSION -= 1\n"
        "sys.exit(engine.main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", older, "--detach", "--socket", str(path)]
    subprocess.run(command, check=True, timeout=30, cwd=folder, stdout=subprocess.PIPE)
    target = Target(context="", namespace="shop", kind=TargetKind.SERVICE, name="echo", port="echo")

    async def start_forward() -> None:
        session = await RemoteSession.open(path)
        await session.start(ForwardSpec(target=target, local_port=0))
        await session.set_keep_running(True)
        await session.close()

    with monkeypatch.context() as patch:
        patch.setattr(rpc, "VERSION", rpc.VERSION - 1)
        asyncio.run(start_forward())


@NEEDS_TMUX
def test_older_engine_is_replaced_after_confirmation(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _start_older_engine(monkeypatch, shell.folder)
    before = {process.pid for process in shell.engines()}
    done = shell("ls", code=1)
    assert "older than this program" in done.stderr
    assert "tui-forward restart" in done.stderr
    env = environment(shell.home, KUBECONFIG=os.environ["KUBECONFIG"])
    with Terminal(tmp_path_factory.mktemp("t"), width=100) as terminal:
        terminal.start(*PROGRAM, "ls", **env)
        terminal.wait_for_text("Restart the engine?")
        terminal.press("n", "Enter")
        terminal.wait_for_text("tui-forward restart", "ended with 1")
    with Terminal(tmp_path_factory.mktemp("t"), width=100) as terminal:
        terminal.start(*PROGRAM, "ls", **env)
        terminal.wait_for_text("Restart the engine?")
        terminal.press("Enter")
        terminal.wait_for_text("svc/echo:echo", "ended with 0")
    (one,) = (json.loads(line) for line in shell("ls", "--json").stdout.splitlines())
    assert one["forward"] == "f1"
    wait_until(
        lambda: not before & {process.pid for process in shell.engines()}, "the old engine to end"
    )
    assert "no engine is running" not in shell("stop", "f1").stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_can_be_interrupted_before_its_forwards_are_ready(
    shell: Shell, number: signal.Signals
) -> None:
    (shell.profiles / "shop.yaml").write_text(SHOP.replace("deploy/echo", "deploy/search"))
    running = ForkedProcess(
        [*PROGRAM, "run", "shop", "--", "sleep", "60"], cwd=shell.folder,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        wait_until(lambda: len(shell.engines()) == 2 and "web" in shell.listed(), "the forwards")
        running.send_signal(number)
        assert running.wait(60) == 128 + number
    finally:
        running.kill()
        _, errors = running.communicate()
    assert b"Traceback" not in errors
    wait_until(lambda: not shell.engines(), "the engine to end with the command")


def test_invalid_profile_changes_nothing_and_reports_its_position(shell: Shell) -> None:
    shell("up", "shop")
    before = shell.listed()
    (shell.profiles / "shop.yaml").write_text(SHOP.replace("svc/echo", "cm/echo"))
    errors = shell("up", "shop", code=1).stderr
    assert re.search(r'shop\.yaml:5:16: target: cannot forward to "cm/echo"', errors)
    assert "hint:" in errors
    assert shell("profile", "check", code=1).stdout.count("\n") == 1
    assert "invalid" in shell("profile", "list").stdout
    assert shell.listed().keys() == before.keys()
    assert "stopped 2 forwards" in shell("down", "shop").stderr, (
        "an invalid file must not prevent it"
    )
    assert 'no profile "shpo"' in shell("up", "shpo", code=2).stderr


def test_local_port_conflict_names_both_profiles(shell: Shell) -> None:
    shell("up", "shop")
    port = shell.ports()["db"]
    (shell.profiles / "other.yaml").write_text(
        f"forwards: {{api: {{target: svc/echo, namespace: shop, port: 7, local: {port}}}}}"
    )
    errors = shell("up", "other", code=1).stderr
    assert (
        f"cannot start api of profile other: local port {port} is in use by db of profile shop"
        in errors
    )
    assert set(shell.listed()) == {"web", "db"}
    shell("down", "shop")


def test_untrusted_profile_starts_nothing(shell: Shell) -> None:
    (shell.folder / ".git").mkdir()
    team = shell.folder / ".tui-forward.yaml"
    team.write_text(SHOP.replace("local: any}", "local: any, address: 0.0.0.0}"))
    assert "of this working tree" in shell("profile", "list").stdout
    assert "OPEN TO OTHER MACHINES on 0.0.0.0" in shell("profile", "show", "work").stdout
    for command in (("up", "work"), ("run", "work", "--", "true")):
        errors = shell(*command, code=2).stderr
        assert "is not trusted, or has changed" in errors
    # A dry run does not make it trusted.
    assert "+  db" in shell("up", "work", "--dry-run").stdout
    assert "is not trusted" in shell("up", "work", code=2).stderr
    assert not shell.engines()
    team.write_text(SHOP)
    shell("up", "work", "--yes")
    shell("up", "work")
    team.write_text(SHOP.replace("local: any}", "local: any, label: x}"))
    assert "is not trusted, or has changed" in shell("up", "work", code=2).stderr
    assert "stopped 2 forwards" in shell("down", "work").stderr


def _runs(pid: int, name: str) -> bool:
    return any(child.name() == name for child in psutil.Process(pid).children())


def _echoes(port: int) -> bool:
    try:
        return exchange(port, b"back", answer=4) == b"back"
    except (OSError, AssertionError):
        return False
