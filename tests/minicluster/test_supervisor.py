"""The cluster as processes: start, faults, crashes and cleanup."""

from __future__ import annotations

import contextlib
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

from tests.minicluster.kubectl import TIMEOUT_S, wait_for
from tests.support.cluster_process import (
    ONE_NODE,
    ClusterProcess,
    running_cluster,
    start_cluster,
    stop_cluster,
)
from tests.support.forked_program import ForkedProcess, run
from tui_forward.errors import ApiError, TransportError

SMALL = ("--no-workloads", *ONE_NODE)
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


def request(running: ClusterProcess, method: str, path: str, body: Any = None) -> Any:
    """Send a request to the API server as the administrator."""
    pki = running.folder / "pki"
    host, port = running.server.partition("//")[2].split(":")
    connection: http.client.HTTPConnection
    if running.server.startswith("https"):
        context = ssl.create_default_context(cafile=pki / "ca.crt")
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        connection = http.client.HTTPSConnection(
            host, int(port), context=context, timeout=TIMEOUT_S
        )
    else:
        connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)
    try:
        headers = {"Content-Type": "application/json"}
        raw = json.dumps(body) if body is not None else None
        connection.request(method, path, body=raw, headers=headers)
        result = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return result


def ready_pods(running: ClusterProcess) -> dict[str, str]:
    """Return names and UIDs of the ready pods of namespace `default`."""
    items = request(running, "GET", "/api/v1/namespaces/default/pods")["items"]
    return {
        item["metadata"]["name"]: item["metadata"]["uid"]
        for item in items
        if not item["metadata"].get("deletionTimestamp")
        and any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in item["status"].get("conditions") or ()
        )
    }


def create_echo(running: ClusterProcess) -> dict[str, str]:
    request(running, "POST", "/apis/apps/v1/namespaces/default/deployments", DEPLOYMENT)
    pods: dict[str, str] = wait_for(lambda: ready_pods(running), "the pod")
    return pods


def still_running(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return the processes that still run."""
    found = []
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it may end in between
            if each.is_running() and each.status() != "zombie":
                found.append(each)
    return found


@pytest.fixture(scope="module")
def small_cluster() -> Iterator[ClusterProcess]:
    """Run a cluster with one node and one echo pod."""
    with running_cluster(*SMALL) as running:
        create_echo(running)
        yield running


def test_stop_leaves_no_processes_and_files() -> None:
    running = start_cluster(*SMALL)
    create_echo(running)
    processes = running.child_processes()
    assert len(processes) >= 5
    stop_cluster(running)
    assert running.process.returncode == 0
    assert not running.folder.exists()
    assert still_running(processes) == []


@pytest.mark.parametrize("is_temporary", [True, False], ids=["temporary", "given"])
def test_killed_supervisor_leaves_no_processes_and_files(
    tmp_path: Path, *, is_temporary: bool
) -> None:
    running = (
        start_cluster(*SMALL) if is_temporary else start_cluster(*SMALL, "--dir", str(tmp_path))
    )
    create_echo(running)
    processes = running.child_processes()
    running.process.kill()
    running.process.wait()
    assert running.process.stdout is not None
    running.process.stdout.close()
    wait_for(lambda: not still_running(processes), "the exit of all components")
    if is_temporary:
        wait_for(lambda: not running.folder.exists(), "the removal of the folder")
    else:
        wait_for(lambda: not list(tmp_path.iterdir()), "an empty folder")


def test_cluster_stops_with_parent_process() -> None:
    owner = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    command = [sys.executable, "-m", "tui_forward.minicluster", "--json", *SMALL]
    command += ["--parent-pid", str(owner.pid)]
    process = ForkedProcess(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        folder = Path(json.loads(process.stdout.readline())["dir"])
        owner.communicate(b"\n")
        assert process.wait(TIMEOUT_S) == 0
        assert not folder.exists()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def test_secrets_are_readable_by_this_user_only(small_cluster: ClusterProcess) -> None:
    for path in (
        small_cluster.kubeconfig,
        small_cluster.folder / "pki" / "admin.key",
        small_cluster.folder,
    ):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert stat.S_IMODE(Path(small_cluster.control.path).stat().st_mode) == 0o600


@pytest.mark.parametrize("component", ["apiserver", "kubelet", "runtime"])
@pytest.mark.parametrize("kill", [False, True], ids=["in-order", "killed"])
def test_component_restart_keeps_pods(
    small_cluster: ClusterProcess, component: str, *, kill: bool
) -> None:
    name = component if component == "apiserver" else f"{component}-node-a"
    before = small_cluster.control.send("status")["components"][name]
    pods = ready_pods(small_cluster)
    node = request(small_cluster, "GET", "/api/v1/nodes/node-a")["status"]["daemonEndpoints"]
    small_cluster.control.send("restart-component", component=component, kill=kill)
    after = small_cluster.control.send("status")["components"][name]
    assert after["pid"] != before["pid"]
    assert after.get("port") == before.get("port")
    assert wait_for(lambda: ready_pods(small_cluster), "the pods") == pods
    assert (
        request(small_cluster, "GET", "/api/v1/nodes/node-a")["status"]["daemonEndpoints"] == node
    )
    check_crash_and_restart(small_cluster)


def check_crash_and_restart(running: ClusterProcess) -> None:
    """Crash the pod's container and wait for its restart, which involves all components."""
    (name,) = ready_pods(running)

    def restarts() -> int:
        path = f"/api/v1/namespaces/default/pods/{name}"
        statuses = request(running, "GET", path)["status"]["containerStatuses"]
        return int(statuses[0]["restartCount"])

    before = restarts()
    wait_for(lambda: crash_pod(running, name), "the crash")
    wait_for(lambda: restarts() > before and name in ready_pods(running), "the restart")


def crash_pod(running: ClusterProcess, name: str) -> bool:
    try:
        running.control.send("crash-pod", namespace="default", pod=name)
    except ApiError:
        return False  # a restarted runtime is still restoring its pods
    return True


def test_crashed_component_is_restarted(small_cluster: ClusterProcess) -> None:
    before = small_cluster.control.send("status")["components"]["apiserver"]
    os.kill(before["pid"], signal.SIGKILL)

    def is_restarted() -> bool:
        component = small_cluster.control.send("status")["components"]["apiserver"]
        return bool(component["pid"] not in (None, before["pid"]) and component.get("objects"))

    wait_for(is_restarted, "the API server")
    assert (
        small_cluster.control.send("status")["components"]["apiserver"]["restarts"]
        == before["restarts"] + 1
    )
    assert ready_pods(small_cluster)


def test_connections_are_refused_while_api_server_is_stopped(small_cluster: ClusterProcess) -> None:
    small_cluster.control.send("stop-component", component="apiserver")
    port = int(small_cluster.server.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    small_cluster.control.send("start-component", component="apiserver")
    assert ready_pods(small_cluster)


def test_deleted_pod_is_replaced(small_cluster: ClusterProcess) -> None:
    (old,) = ready_pods(small_cluster)
    small_cluster.control.send("delete-pod", namespace="default", pod=old)
    wait_for(lambda: [name for name in ready_pods(small_cluster) if name != old], "the replacement")
    path = f"/api/v1/namespaces/default/pods/{old}"
    wait_for(
        lambda: request(small_cluster, "GET", path).get("code") == 404, "the end of the old pod"
    )


def test_not_ready_fault(small_cluster: ClusterProcess) -> None:
    (name,) = ready_pods(small_cluster)
    small_cluster.control.send("not-ready", namespace="default", pod=name, ready=False)
    wait_for(lambda: not ready_pods(small_cluster), "the pod to be unready")
    small_cluster.control.send("clear")
    small_cluster.control.send("not-ready", namespace="default", pod=name, ready=True)
    wait_for(lambda: ready_pods(small_cluster), "the pod to be ready")


def test_token_rotation_updates_file_and_kubeconfig(small_cluster: ClusterProcess) -> None:
    token = small_cluster.folder / "tokens" / "admin-tokenfile.token"
    before, config = token.read_text(), small_cluster.kubeconfig.read_text()
    reply = small_cluster.control.send("rotate-token", user="kubernetes-admin")
    assert reply["contexts"] == ["admin-token", "admin-tokenfile"]
    assert token.read_text() != before
    assert small_cluster.kubeconfig.read_text() != config
    with pytest.raises(ApiError, match="unknown user"):
        small_cluster.control.send("rotate-token", user="unknown")


def test_added_user_has_a_context_and_no_permissions(small_cluster: ClusterProcess) -> None:
    account = "system:serviceaccount:shop:ci"
    reply = small_cluster.control.send("add-user", user=account, namespace="shop")
    assert reply["context"] == account
    assert account in small_cluster.kubeconfig.read_text()
    tokens = json.loads((small_cluster.folder / "tokens" / "tokens.json").read_text())
    groups = next(each["groups"] for each in tokens if each["user"] == account)
    assert groups == ["system:serviceaccounts", "system:serviceaccounts:shop"]
    # The same user again gets other groups; a name of another context is refused.
    small_cluster.control.send("add-user", user=account, groups="dev,ops")
    with pytest.raises(ApiError, match="a context already"):
        small_cluster.control.send("add-user", user="minicluster")


def test_faults_of_all_components(small_cluster: ClusterProcess) -> None:
    for component in ("apiserver", "kubelet", "runtime"):
        small_cluster.control.send("stall", component=component, for_s=0.05)
        small_cluster.control.send("cut", component=component)
    for component in ("apiserver", "kubelet"):
        small_cluster.control.send("delay", component=component, seconds=0.01)
    small_cluster.control.send("streaming", drain_timeout_s=0.5)
    small_cluster.control.send("expire-tokens")
    small_cluster.control.send("clear")
    for fields in ({"component": "nowhere"}, {"component": "kubelet", "node": "node-z"}):
        with pytest.raises(ApiError, match="unknown component"):
            small_cluster.control.send("restart-component", **fields)
    with pytest.raises(ApiError, match="unknown fault"):
        small_cluster.control.send("bogus")


def test_fault_command(small_cluster: ClusterProcess) -> None:
    command = [sys.executable, "-m", "tui_forward.minicluster", "fault", "--control"]
    command += [small_cluster.control.path]

    def send(*words: str) -> subprocess.CompletedProcess[str]:
        return run([*command, *words], capture_output=True, text=True)

    assert json.loads(send("transports", 'disable=["spdy"]', "status=403").stdout) == {"ok": True}
    assert send("clear").returncode == 0
    unknown = send("nonsense")
    assert (unknown.returncode, "unknown fault" in unknown.stderr) == (1, True)
    assert send("clear", "nonsense").returncode == 1
    with pytest.raises(TransportError):
        type(small_cluster.control)("/nowhere.sock").send("status")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--port", "{used}"), "cannot use port"),
        (("--dir", "{full}"), "is not empty"),
    ],
)
def test_start_failures_are_reported(
    tmp_path: Path, options: tuple[str, str], message: str
) -> None:
    (tmp_path / "something").touch()
    with socket.create_server(("127.0.0.1", 0)) as used:
        words = [
            word.format(used=used.getsockname()[1], full=tmp_path) for word in (*options, *SMALL)
        ]
        command = [sys.executable, "-m", "tui_forward.minicluster", *words]
        done = run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "something"]


def test_longest_restart_period_is_that_of_all_kubelets(tmp_path: Path) -> None:
    options = ("--nodes", "a,b", "--no-workloads", "--max-container-restart-period", "2.5")
    with running_cluster(*options, "--dir", str(tmp_path)):
        for node in ("a", "b"):
            config = json.loads((tmp_path / "etc" / f"kubelet-{node}.json").read_text())
            assert config["crash_backoff_max_s"] == 2.5


def test_plain_http_in_folder_with_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 20) / "cluster"
    with running_cluster(*SMALL, "--plain-http", "--dir", str(folder)) as running:
        assert running.server.startswith("http://")
        assert len(running.control.path) < 90
        create_echo(running)
    assert not folder.exists()


def test_containerd_that_does_not_run_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "containerd.sock"
    done = run(
        [sys.executable, "-P", "-m", "tui_forward.minicluster", "--runtime", "containerd",
         "--containerd-socket", str(missing), *SMALL],
        capture_output=True, text=True, timeout=TIMEOUT_S, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        f"minicluster: cannot connect to containerd at {missing}: no such file or directory "
        "(Start containerd, and run this command as root; or choose another runtime)\n"
    )
