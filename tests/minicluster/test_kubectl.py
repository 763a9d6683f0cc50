"""Unmodified kubectl, in every installed version, with a whole cluster."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.minicluster.kubectl import Kubectl, kubectls, read_exactly, wait_for
from tests.support.cluster_process import ClusterProcess

pytestmark = pytest.mark.kubectl

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: ops}
spec:
  replicas: 1
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: echo, image: local/echo, ports: [{name: echo, containerPort: 7000}]}
"""


@pytest.fixture(params=kubectls())
def kubectl(request: pytest.FixtureRequest, cluster: ClusterProcess, tmp_path: Path) -> Kubectl:
    return Kubectl(request.param, cluster, tmp_path)


@pytest.fixture
def is_modern(kubectl: Kubectl) -> bool:
    """Return whether this kubectl supports WebSocket tunnels and OpenAPI v3."""
    text = kubectl("version", "--client")
    version = re.search(r"v1\.(\d+)", text)
    return version is not None and int(version[1]) >= 30


@pytest.fixture
def echo(kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[str]:
    """Create an echo Deployment for this test; return its name."""
    name = "t" + re.sub(r"[^a-z0-9]", "", request.node.name.lower())[-30:]
    kubectl("create", "--validate=false", "-f", "-", stdin=DEPLOYMENT.replace("NAME", name))
    wait_ready(kubectl, name)
    yield name
    kubectl("-n", "ops", "delete", "deploy", name, "--wait=false")


def wait_ready(kubectl: Kubectl, name: str) -> None:
    wait_for(
        lambda: kubectl.rows("-n", "ops", "get", "deploy", name).get(name, [""])[0] == "1/1", name
    )


def running_pod_of(kubectl: Kubectl, name: str) -> str:
    """Return the only running pod of a Deployment; empty if there is none or several."""
    rows = kubectl.rows("-n", "ops", "get", "pods", "-l", f"app={name}")
    running = [pod for pod, cells in rows.items() if cells[1] == "Running"]
    return running[0] if len(running) == 1 else ""


def test_kubectl_get(kubectl: Kubectl) -> None:
    assert {"default", "shop", "data", "ops", "kube-system"} <= set(kubectl.rows("get", "ns"))
    nodes = kubectl.rows("get", "nodes")
    assert {name: cells[0] for name, cells in nodes.items()} == {
        "node-a": "Ready",
        "node-b": "Ready",
    }

    def pods() -> dict[str, list[str]]:
        rows = kubectl.rows("get", "pods", "-n", "shop")
        return {name.split("-")[0]: cells[:2] for name, cells in rows.items()}

    wait_for(lambda: pods()["migrate"] == ["0/1", "Completed"], "the job to complete")
    rows = pods()
    assert rows["web"] == ["3/3", "Running"]
    assert rows["gateway"] == ["2/2", "Running"]
    assert rows["search"] == ["0/1", "Pending"]
    assert rows["recommender"][1] in ("ErrImagePull", "ImagePullBackOff")
    services = kubectl.rows("get", "svc", "-n", "data")
    assert services["db"][:2] == ["ClusterIP", "None"]
    assert kubectl.rows("get", "deploy", "-n", "shop")["web"][:3] == ["2/2", "2", "2"]
    for kind in ("sts", "ds", "rs", "jobs", "events", "all"):
        assert kubectl("get", kind, "-A")
    assert kubectl("get", "pods", "-A", "-o", "wide", "--chunk-size=4").count("\n") > 12


def test_services_have_endpoints(kubectl: Kubectl) -> None:
    def addresses() -> list[str]:
        row = kubectl.rows("-n", "shop", "get", "endpoints", "stock").get("stock", [""])
        return [each for each in row[0].split(",") if each.endswith(":8080")]

    found = wait_for(lambda: len(each := addresses()) == 3 and each, "three pods of stock")
    rows = kubectl.rows("-n", "shop", "get", "endpointslices")
    (stock,) = (cells for name, cells in rows.items() if name.startswith("stock-"))
    assert stock[:2] == ["IPv4", "8080"]
    assert sorted(f"{each}:8080" for each in stock[2].split(",")) == sorted(found)
    assert found[0] in kubectl("-n", "shop", "describe", "svc", "stock")
    kubernetes = kubectl.rows("get", "endpoints", "kubernetes")["kubernetes"]
    assert kubernetes[0].startswith("127.0.0.1:")


def test_output_formats_describe_and_missing_pod(kubectl: Kubectl) -> None:
    one = json.loads(kubectl("get", "svc", "web", "-n", "shop", "-o", "json"))
    assert one["spec"]["selector"] == {"app": "web"}
    assert "Namespace:" in kubectl("describe", "sts", "db", "-n", "data")
    assert kubectl("get", "pods", "-n", "shop", "-l", "app in (web,echo)", "-o", "name")
    missing = kubectl.run("get", "pod", "nope", "-n", "shop")
    assert 'pods "nope" not found' in missing.stderr


def test_kubectl_logs(kubectl: Kubectl) -> None:
    assert "serving port 7000" in kubectl("-n", "shop", "logs", "deploy/echo")
    web = kubectl("-n", "shop", "get", "pods", "-l", "app=web", "-o", "name").split()[0]
    assert kubectl("-n", "shop", "logs", web, "-c", "web", "--tail=1").count("\n") == 1
    pending = kubectl("-n", "shop", "get", "pods", "-l", "app=search", "-o", "name").strip()
    assert kubectl("-n", "shop", "logs", pending) == ""


def test_create_scale_label_delete(kubectl: Kubectl, echo: str) -> None:
    kubectl("-n", "ops", "scale", f"deploy/{echo}", "--replicas=2")
    wait_for(lambda: kubectl.rows("-n", "ops", "get", "deploy", echo)[echo][0] == "2/2", "two pods")
    kubectl("-n", "ops", "label", "deploy", echo, "tier=blue")
    assert echo in kubectl("-n", "ops", "get", "deploy", "-l", "tier=blue")
    kubectl("-n", "ops", "scale", f"deploy/{echo}", "--replicas=1")
    wait_for(lambda: running_pod_of(kubectl, echo), "one pod")
    old = running_pod_of(kubectl, echo)
    assert f'pod "{old}" deleted' in kubectl("-n", "ops", "delete", "pod", old)
    wait_ready(kubectl, echo)
    assert old not in kubectl("-n", "ops", "get", "pods")


def test_apply_twice_is_unchanged(kubectl: Kubectl, *, is_modern: bool) -> None:
    name = "applied-" + ("new" if is_modern else "old")
    text = DEPLOYMENT.replace("NAME", name)
    arguments = ["apply", "-f", "-"] + ([] if is_modern else ["--validate=false"])
    assert "created" in kubectl(*arguments, stdin=text)
    assert "unchanged" in kubectl(*arguments, stdin=text)
    changed = text.replace("replicas: 1", "replicas: 0")
    assert "configured" in kubectl(*arguments, stdin=changed)
    assert kubectl.rows("-n", "ops", "get", "deploy", name)[name][0] == "0/0"
    kubectl("-n", "ops", "delete", "deploy", name)


def test_create_and_expose_commands(kubectl: Kubectl, *, is_modern: bool) -> None:
    namespace = "made-" + ("new" if is_modern else "old")
    kubectl("create", "namespace", namespace)
    kubectl("-n", namespace, "create", "deployment", "web", "--image=local/echo", "--port=7000")
    kubectl("-n", namespace, "expose", "deployment", "web", "--port=80", "--target-port=7000")
    assert kubectl.rows("-n", namespace, "get", "svc")["web"][3] == "80/TCP"
    service = json.loads(kubectl("-n", namespace, "get", "svc", "web", "-o", "json"))
    assert service["spec"]["ports"][0]["targetPort"] == 7000
    wait_for(
        lambda: kubectl.rows("-n", namespace, "get", "deploy", "web")["web"][0] == "1/1", "the pod"
    )
    kubectl("delete", "namespace", namespace)
    assert namespace not in kubectl("get", "ns")


@pytest.mark.parametrize("websockets", [True, False], ids=["websocket", "spdy"])
@pytest.mark.parametrize("kind", ["pod", "svc", "deploy"])
def test_port_forward(kubectl: Kubectl, kind: str, *, websockets: bool) -> None:
    target, port = {
        "pod": ("pod/" + pod_named(kubectl, "toolbox"), "7000"),
        "svc": ("svc/toolbox", "echo"),
        "deploy": ("deploy/toolbox", "echo"),
    }[kind]
    sent = bytes(range(256)) * 1000
    arguments = ("-n", "ops", target, f":{port}")
    with kubectl.port_forward(*arguments, websockets=websockets) as forward:
        assert forward.exchange(sent, len(sent)) == sent
        assert forward.exchange(b"second", 6) == b"second"


def pod_named(kubectl: Kubectl, app: str) -> str:
    text = kubectl("-n", "ops", "get", "pods", "-l", f"app={app}", "-o", "name")
    return text.split()[0].removeprefix("pod/")


@pytest.mark.parametrize("websockets", [True, False], ids=["websocket", "spdy"])
def test_large_transfer_in_both_directions(kubectl: Kubectl, *, websockets: bool) -> None:
    size = 8 << 20
    arguments = ("-n", "ops", "deploy/toolbox", ":7002", ":7001")
    with kubectl.port_forward(*arguments, websockets=websockets) as forward:
        with forward.connect(0) as source:
            source.sendall(b"%d\n" % size)
            assert len(read_exactly(source, size)) == size
        with forward.connect(1) as sink:
            sink.sendall(b"%d\n" % size + bytes(size))
            assert read_exactly(sink, 8) == b"%d\n" % size


def test_service_port_is_mapped_to_target_port(kubectl: Kubectl) -> None:
    for service, port in (("web", "80"), ("web-direct", "8888")):
        with kubectl.port_forward("-n", "shop", f"svc/{service}", f":{port}") as forward:
            answer = forward.exchange(b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n", 4096)
            assert answer.startswith(b"HTTP/1.1 200"), answer


def test_closed_port_in_pod_is_reported(kubectl: Kubectl) -> None:
    with kubectl.port_forward("-n", "ops", "deploy/toolbox", ":7999") as forward:
        assert forward.exchange(b"", 1) == b""
        wait_for(
            lambda: any("connection refused" in line for line in forward.output),
            "the error message",
        )


def test_disabled_websockets_fall_back_to_spdy(kubectl: Kubectl, cluster: ClusterProcess) -> None:
    cluster.control.send("transports", disable=["websocket"], status=403)
    try:
        with kubectl.port_forward("-n", "ops", "deploy/toolbox", ":7000") as forward:
            assert forward.exchange(b"hello", 5) == b"hello"
    finally:
        cluster.control.send("transports", disable=[])


def test_forbidden_requests_are_reported(kubectl: Kubectl) -> None:
    denied = kubectl.run("--context", "alice", "get", "pods", "-n", "shop")
    assert 'User "alice" cannot list resource "pods"' in denied.stderr
    assert kubectl("--context", "porter", "get", "pods")
    denied = kubectl.run("--context", "viewer", "-n", "shop", "port-forward", "deploy/web", ":80")
    assert "pods/portforward" in denied.stderr


@pytest.mark.parametrize("context", ["admin-token", "admin-tokenfile"])
def test_port_forward_with_token(kubectl: Kubectl, context: str) -> None:
    with kubectl.port_forward(
        "--context", context, "-n", "ops", "deploy/toolbox", ":7000"
    ) as forward:
        assert forward.exchange(b"hello", 5) == b"hello"


def test_auth_can_i(kubectl: Kubectl) -> None:
    command = ("auth", "can-i", "create", "pods", "--subresource=portforward", "-n", "shop")
    assert kubectl(*command, "--context", "porter").strip() == "yes"
    assert kubectl.run(*command, "--context", "alice").stdout.strip() == "no"


def test_roles_and_bindings(kubectl: Kubectl, cluster: ClusterProcess) -> None:
    user = f"dev-{kubectl.path.parent.name}"
    assert cluster.control.send("add-user", user=user, groups=["team"])["context"] == user
    as_user = ("--context", user, "-n", "data")
    can_list = (*as_user, "auth", "can-i", "list", "pods")
    assert kubectl.run(*can_list).stdout.strip() == "no"
    kubectl("-n", "data", "create", "role", user, "--verb=get,list", "--resource=pods")
    kubectl("-n", "data", "create", "rolebinding", user, f"--role={user}", "--group=team")
    try:
        assert kubectl(*can_list).strip() == "yes"
        assert "db-0" in kubectl.rows(*as_user, "get", "pods")
        allowed = kubectl(*as_user, "auth", "can-i", "--list")
        assert re.search(r"^pods +\[\] +\[\] +\[get list\]$", allowed, re.MULTILINE)
        assert re.search(r"^ +\[/healthz\] +\[\] +\[get\]$", allowed, re.MULTILINE)
        assert kubectl.rows("-n", "data", "get", "rolebindings")[user][0] == f"Role/{user}"
        assert "pods" in kubectl("-n", "data", "describe", "role", user)
        denied = kubectl.run(*as_user, "port-forward", "pod/db-0", ":5432")
        assert f'User "{user}" cannot' in denied.stderr
        as_admin = ("auth", "can-i", "list", "pods", "-n", "data", f"--as={user}")
        assert kubectl.run(*as_admin).stdout.strip() == "no"
        assert kubectl(*as_admin, "--as-group=team").strip() == "yes"
    finally:
        kubectl("-n", "data", "delete", "role,rolebinding", user)


def test_wait_and_rollout_follow_replacement(kubectl: Kubectl, echo: str) -> None:
    old = running_pod_of(kubectl, echo)
    kubectl("-n", "ops", "delete", "pod", old, "--wait=false")
    wait_ready(kubectl, echo)
    kubectl("-n", "ops", "wait", "--for=condition=Available", f"deploy/{echo}", "--timeout=20s")
    kubectl("-n", "ops", "rollout", "restart", f"deploy/{echo}")
    kubectl("-n", "ops", "rollout", "status", f"deploy/{echo}", "--timeout=20s")
