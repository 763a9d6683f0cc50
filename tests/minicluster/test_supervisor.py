"""The cluster as processes: how it begins, what it survives, and that nothing is left of it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.minicluster.cluster import PATIENCE_S, Running, end, running_cluster, start, wait_for
from tui_forward.errors import ApiError, TransportError

SMALL = ("--no-workloads", "--nodes", "node-a")
DEPLOYMENT = {
    "metadata": {"name": "echo"},
    "spec": {
        "selector": {"matchLabels": {"app": "echo"}},
        "template": {
            "metadata": {"labels": {"app": "echo"}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [
                    {"name": "c", "image": "local/echo", "ports": [{"containerPort": 7000}]}
                ],
            },
        },
    },
}


def ask(running: Running, method: str, path: str, body: Any = None) -> Any:
    """Ask the API server as the administrator."""
    pki = running.folder / "pki"
    host, port = running.server.partition("//")[2].split(":")
    connection: http.client.HTTPConnection
    if running.server.startswith("https"):
        context = ssl.create_default_context(cafile=pki / "ca.crt")
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        connection = http.client.HTTPSConnection(
            host, int(port), context=context, timeout=PATIENCE_S
        )
    else:
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
    try:
        headers = {"Content-Type": "application/json"}
        raw = json.dumps(body) if body is not None else None
        connection.request(method, path, body=raw, headers=headers)
        answer = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return answer


def ready_pods(running: Running) -> dict[str, str]:
    """Name and UID of the Ready pods of namespace `default`."""
    items = ask(running, "GET", "/api/v1/namespaces/default/pods")["items"]
    return {
        item["metadata"]["name"]: item["metadata"]["uid"]
        for item in items
        if not item["metadata"].get("deletionTimestamp")
        and any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in item["status"].get("conditions") or ()
        )
    }


def with_echo(running: Running) -> dict[str, str]:
    ask(running, "POST", "/apis/apps/v1/namespaces/default/deployments", DEPLOYMENT)
    found: dict[str, str] = wait_for(lambda: ready_pods(running), "the pod")
    return found


def left_of(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Which processes still run."""
    return [each for each in processes if each.is_running() and each.status() != "zombie"]


@pytest.fixture(scope="module")
def small() -> Iterator[Running]:
    """One node, no workloads but one pod that echoes."""
    with running_cluster(*SMALL) as running:
        with_echo(running)
        yield running


def test_nothing_is_left_of_it() -> None:
    running = start(*SMALL)
    with_echo(running)
    family = running.family()
    assert len(family) >= 5
    end(running)
    assert running.process.returncode == 0
    assert not running.folder.exists()
    assert left_of(family) == []


@pytest.mark.parametrize("own", [True, False], ids=["temporary", "given"])
def test_nothing_is_left_when_it_is_killed(tmp_path: Path, *, own: bool) -> None:
    running = start(*SMALL) if own else start(*SMALL, "--dir", str(tmp_path))
    with_echo(running)
    family = running.family()
    running.process.kill()
    running.process.wait()
    assert running.process.stdout is not None
    running.process.stdout.close()
    wait_for(lambda: not left_of(family), "the hops' end")
    if own:
        wait_for(lambda: not running.folder.exists(), "the folder's end")
    else:
        wait_for(lambda: not list(tmp_path.iterdir()), "an empty folder")


def test_it_ends_with_its_owner() -> None:
    owner = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    command = [sys.executable, "-m", "tui_forward.minicluster", "--json", *SMALL]
    command += ["--parent-pid", str(owner.pid)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        folder = Path(json.loads(process.stdout.readline())["dir"])
        owner.communicate(b"\n")
        assert process.wait(PATIENCE_S) == 0
        assert not folder.exists()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def test_secrets_are_for_this_user_only(small: Running) -> None:
    for path in (small.kubeconfig, small.folder / "pki" / "admin.key", small.folder):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert stat.S_IMODE(Path(small.control.path).stat().st_mode) == 0o600


@pytest.mark.parametrize("hop", ["apiserver", "kubelet", "runtime"])
@pytest.mark.parametrize("kill", [False, True], ids=["in-order", "killed"])
def test_a_hop_restarts_without_touching_the_pods(small: Running, hop: str, *, kill: bool) -> None:
    name = hop if hop == "apiserver" else f"{hop}-node-a"
    before = small.control.send("status")["components"][name]
    pods = ready_pods(small)
    node = ask(small, "GET", "/api/v1/nodes/node-a")["status"]["daemonEndpoints"]
    small.control.send("restart-component", component=hop, kill=kill)
    after = small.control.send("status")["components"][name]
    assert after["pid"] != before["pid"]
    assert after.get("port") == before.get("port")
    assert wait_for(lambda: ready_pods(small), "the pods") == pods
    assert ask(small, "GET", "/api/v1/nodes/node-a")["status"]["daemonEndpoints"] == node
    crash_and_come_back(small)


def crash_and_come_back(running: Running) -> None:
    """Crash the pod's container and see it restarted: all hops work together."""
    (name,) = ready_pods(running)

    def restarts() -> int:
        path = f"/api/v1/namespaces/default/pods/{name}"
        statuses = ask(running, "GET", path)["status"]["containerStatuses"]
        return int(statuses[0]["restartCount"])

    before = restarts()
    wait_for(lambda: crashed(running, name), "the crash")
    wait_for(lambda: restarts() > before and name in ready_pods(running), "the restart")


def crashed(running: Running, name: str) -> bool:
    try:
        running.control.send("crash-pod", namespace="default", pod=name)
    except ApiError:
        return False  # a runtime that has just come up is finding its pods
    return True


def test_a_hop_that_dies_is_started_again(small: Running) -> None:
    before = small.control.send("status")["components"]["apiserver"]
    os.kill(before["pid"], signal.SIGKILL)

    def back() -> bool:
        hop = small.control.send("status")["components"]["apiserver"]
        return bool(hop["pid"] not in (None, before["pid"]) and hop.get("objects"))

    wait_for(back, "the API server")
    assert (
        small.control.send("status")["components"]["apiserver"]["restarts"]
        == before["restarts"] + 1
    )
    assert ready_pods(small)


def test_while_the_api_server_is_down_connections_are_refused(small: Running) -> None:
    small.control.send("stop-component", component="apiserver")
    port = int(small.server.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    small.control.send("start-component", component="apiserver")
    assert ready_pods(small)


def test_a_deleted_pod_is_replaced(small: Running) -> None:
    (old,) = ready_pods(small)
    small.control.send("delete-pod", namespace="default", pod=old)
    wait_for(lambda: [name for name in ready_pods(small) if name != old], "the replacement")
    path = f"/api/v1/namespaces/default/pods/{old}"
    wait_for(lambda: ask(small, "GET", path).get("code") == 404, "the old one's end")


def test_not_ready_on_request(small: Running) -> None:
    (name,) = ready_pods(small)
    small.control.send("not-ready", namespace="default", pod=name, ready=False)
    wait_for(lambda: not ready_pods(small), "the pod to be unready")
    small.control.send("clear")
    small.control.send("not-ready", namespace="default", pod=name, ready=True)
    wait_for(lambda: ready_pods(small), "the pod to be ready")


def test_tokens_rotate_in_file_and_kubeconfig(small: Running) -> None:
    token = small.folder / "tokens" / "admin-tokenfile.token"
    before, config = token.read_text(), small.kubeconfig.read_text()
    answer = small.control.send("rotate-token", user="kubernetes-admin")
    assert answer["contexts"] == ["admin-token", "admin-tokenfile"]
    assert token.read_text() != before
    assert small.kubeconfig.read_text() != config
    with pytest.raises(ApiError, match="unknown user"):
        small.control.send("rotate-token", user="nobody")


def test_every_hop_can_be_disturbed(small: Running) -> None:
    for hop in ("apiserver", "kubelet", "runtime"):
        small.control.send("stall", component=hop, for_s=0.05)
        small.control.send("cut", component=hop)
    for hop in ("apiserver", "kubelet"):
        small.control.send("delay", component=hop, seconds=0.01)
    small.control.send("streaming", drain_timeout_s=0.5)
    small.control.send("expire-tokens")
    small.control.send("clear")
    for wrong in ({"component": "nowhere"}, {"component": "kubelet", "node": "node-z"}):
        with pytest.raises(ApiError, match="unknown component"):
            small.control.send("restart-component", **wrong)
    with pytest.raises(ApiError, match="unknown fault"):
        small.control.send("bogus")


def test_faults_by_hand(small: Running) -> None:
    command = [sys.executable, "-m", "tui_forward.minicluster", "fault", "--control"]
    command += [small.control.path]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *words], capture_output=True, text=True, check=False)

    assert json.loads(run("transports", 'disable=["spdy"]', "status=403").stdout) == {"ok": True}
    assert run("clear").returncode == 0
    bad = run("nonsense")
    assert (bad.returncode, "unknown fault" in bad.stderr) == (1, True)
    assert run("clear", "nonsense").returncode == 1
    with pytest.raises(TransportError):
        type(small.control)("/nowhere.sock").send("status")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--port", "{taken}"), "cannot use port"),
        (("--dir", "{full}"), "is not empty"),
    ],
)
def test_what_cannot_be_started(tmp_path: Path, options: tuple[str, str], message: str) -> None:
    (tmp_path / "something").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = [
            word.format(taken=taken.getsockname()[1], full=tmp_path) for word in (*options, *SMALL)
        ]
        command = [sys.executable, "-m", "tui_forward.minicluster", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "something"]


def test_plain_http_in_a_deep_folder(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 20) / "cluster"
    with running_cluster(*SMALL, "--plain-http", "--dir", str(folder)) as running:
        assert running.server.startswith("http://")
        assert len(running.control.path) < 90
        with_echo(running)
    assert not folder.exists()
