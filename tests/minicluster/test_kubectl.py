"""Unmodified kubectl, every version found, against the whole cluster."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.minicluster.cluster import Kubectl, Running, kubectls, read, wait_for

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
def kubectl(request: pytest.FixtureRequest, cluster: Running, tmp_path: Path) -> Kubectl:
    return Kubectl(request.param, cluster, tmp_path)


@pytest.fixture
def modern(kubectl: Kubectl) -> bool:
    """Whether this kubectl speaks WebSocket tunnels, and finds `fieldValidation` by OpenAPI v3."""
    text = kubectl("version", "--client")
    version = re.search(r"v1\.(\d+)", text)
    return version is not None and int(version[1]) >= 30


@pytest.fixture
def echo(kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[str]:
    """A Deployment of this test's own that echoes; its name."""
    name = "t" + re.sub(r"[^a-z0-9]", "", request.node.name.lower())[-30:]
    kubectl("create", "--validate=false", "-f", "-", stdin=DEPLOYMENT.replace("NAME", name))
    ready(kubectl, name)
    yield name
    kubectl("-n", "ops", "delete", "deploy", name, "--wait=false")


def ready(kubectl: Kubectl, name: str) -> None:
    wait_for(
        lambda: kubectl.rows("-n", "ops", "get", "deploy", name).get(name, [""])[0] == "1/1", name
    )


def pod_of(kubectl: Kubectl, name: str) -> str:
    """The one pod of a Deployment that is not on its way out."""
    rows = kubectl.rows("-n", "ops", "get", "pods", "-l", f"app={name}")
    living = [pod for pod, cells in rows.items() if cells[1] == "Running"]
    return living[0] if len(living) == 1 else ""


def test_get(kubectl: Kubectl) -> None:
    assert {"default", "shop", "data", "ops", "kube-system"} <= set(kubectl.rows("get", "ns"))
    nodes = kubectl.rows("get", "nodes")
    assert {name: cells[0] for name, cells in nodes.items()} == {
        "node-a": "Ready",
        "node-b": "Ready",
    }

    def pods() -> dict[str, list[str]]:
        rows = kubectl.rows("get", "pods", "-n", "shop")
        return {name.split("-")[0]: cells[:2] for name, cells in rows.items()}

    wait_for(lambda: pods()["migrate"] == ["0/1", "Completed"], "the job to be done")
    shown = pods()
    assert shown["web"] == ["3/3", "Running"]
    assert shown["gateway"] == ["2/2", "Running"]
    assert shown["search"] == ["0/1", "Pending"]
    assert shown["recommender"][1] in ("ErrImagePull", "ImagePullBackOff")
    services = kubectl.rows("get", "svc", "-n", "data")
    assert services["db"][:2] == ["ClusterIP", "None"]
    assert kubectl.rows("get", "deploy", "-n", "shop")["web"][:3] == ["2/2", "2", "2"]
    for kind in ("sts", "ds", "rs", "jobs", "events", "all"):
        assert kubectl("get", kind, "-A")
    assert kubectl("get", "pods", "-A", "-o", "wide", "--chunk-size=4").count("\n") > 12


def test_other_forms(kubectl: Kubectl) -> None:
    one = json.loads(kubectl("get", "svc", "web", "-n", "shop", "-o", "json"))
    assert one["spec"]["selector"] == {"app": "web"}
    assert "Namespace:" in kubectl("describe", "sts", "db", "-n", "data")
    assert kubectl("get", "pods", "-n", "shop", "-l", "app in (web,echo)", "-o", "name")
    missing = kubectl.run("get", "pod", "nope", "-n", "shop")
    assert 'pods "nope" not found' in missing.stderr


def test_logs(kubectl: Kubectl) -> None:
    assert "serving port 7000" in kubectl("-n", "shop", "logs", "deploy/echo")
    web = kubectl("-n", "shop", "get", "pods", "-l", "app=web", "-o", "name").split()[0]
    assert kubectl("-n", "shop", "logs", web, "-c", "web", "--tail=1").count("\n") == 1
    pending = kubectl("-n", "shop", "get", "pods", "-l", "app=search", "-o", "name").strip()
    assert kubectl("-n", "shop", "logs", pending) == ""


def test_create_scale_label_delete(kubectl: Kubectl, echo: str) -> None:
    kubectl("-n", "ops", "scale", f"deploy/{echo}", "--replicas=2")
    wait_for(lambda: kubectl.rows("-n", "ops", "get", "deploy", echo)[echo][0] == "2/2", "two pods")
    kubectl("-n", "ops", "label", "deploy", echo, "colour=blue")
    assert echo in kubectl("-n", "ops", "get", "deploy", "-l", "colour=blue")
    kubectl("-n", "ops", "scale", f"deploy/{echo}", "--replicas=1")
    wait_for(lambda: pod_of(kubectl, echo), "one pod")
    old = pod_of(kubectl, echo)
    assert f'pod "{old}" deleted' in kubectl("-n", "ops", "delete", "pod", old)
    ready(kubectl, echo)
    assert old not in kubectl("-n", "ops", "get", "pods")


def test_apply_twice(kubectl: Kubectl, *, modern: bool) -> None:
    name = "applied-" + ("new" if modern else "old")
    text = DEPLOYMENT.replace("NAME", name)
    words = ["apply", "-f", "-"] + ([] if modern else ["--validate=false"])
    assert "created" in kubectl(*words, stdin=text)
    assert "unchanged" in kubectl(*words, stdin=text)
    changed = text.replace("replicas: 1", "replicas: 0")
    assert "configured" in kubectl(*words, stdin=changed)
    assert kubectl.rows("-n", "ops", "get", "deploy", name)[name][0] == "0/0"
    kubectl("-n", "ops", "delete", "deploy", name)


def test_generators(kubectl: Kubectl, *, modern: bool) -> None:
    home = "made-" + ("new" if modern else "old")
    kubectl("create", "namespace", home)
    kubectl("-n", home, "create", "deployment", "web", "--image=local/echo", "--port=7000")
    kubectl("-n", home, "expose", "deployment", "web", "--port=80", "--target-port=7000")
    assert kubectl.rows("-n", home, "get", "svc")["web"][3] == "80/TCP"
    service = json.loads(kubectl("-n", home, "get", "svc", "web", "-o", "json"))
    assert service["spec"]["ports"][0]["targetPort"] == 7000
    wait_for(lambda: kubectl.rows("-n", home, "get", "deploy", "web")["web"][0] == "1/1", "the pod")
    kubectl("delete", "namespace", home)
    assert home not in kubectl("get", "ns")


@pytest.mark.parametrize("websockets", [True, False], ids=["websocket", "spdy"])
@pytest.mark.parametrize("kind", ["pod", "svc", "deploy"])
def test_port_forward(kubectl: Kubectl, kind: str, *, websockets: bool) -> None:
    target, port = {
        "pod": ("pod/" + pod_named(kubectl, "toolbox"), "7000"),
        "svc": ("svc/toolbox", "echo"),
        "deploy": ("deploy/toolbox", "echo"),
    }[kind]
    sent = bytes(range(256)) * 1000
    words = ("-n", "ops", target, f":{port}")
    with kubectl.forward(*words, websockets=websockets) as forward:
        assert forward.ask(sent, len(sent)) == sent
        assert forward.ask(b"again", 5) == b"again"


def pod_named(kubectl: Kubectl, app: str) -> str:
    text = kubectl("-n", "ops", "get", "pods", "-l", f"app={app}", "-o", "name")
    return text.split()[0].removeprefix("pod/")


@pytest.mark.parametrize("websockets", [True, False], ids=["websocket", "spdy"])
def test_much_data_both_ways(kubectl: Kubectl, *, websockets: bool) -> None:
    size = 8 << 20
    words = ("-n", "ops", "deploy/toolbox", ":7002", ":7001")
    with kubectl.forward(*words, websockets=websockets) as forward:
        with forward.connect(0) as source:
            source.sendall(b"%d\n" % size)
            assert len(read(source, size)) == size
        with forward.connect(1) as sink:
            sink.sendall(b"%d\n" % size + bytes(size))
            assert read(sink, 8) == b"%d\n" % size


def test_a_service_maps_its_port(kubectl: Kubectl) -> None:
    for service, port in (("web", "80"), ("web-direct", "8888")):
        with kubectl.forward("-n", "shop", f"svc/{service}", f":{port}") as forward:
            answer = forward.ask(b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n", 4096)
            assert answer.startswith(b"HTTP/1.1 200"), answer


def test_refused_in_the_pod(kubectl: Kubectl) -> None:
    with kubectl.forward("-n", "ops", "deploy/toolbox", ":7999") as forward:
        assert forward.ask(b"", 1) == b""
        wait_for(lambda: any("connection refused" in line for line in forward.said), "the refusal")


def test_websockets_switched_off_fall_back(kubectl: Kubectl, cluster: Running) -> None:
    cluster.control.send("transports", disable=["websocket"], status=403)
    try:
        with kubectl.forward("-n", "ops", "deploy/toolbox", ":7000") as forward:
            assert forward.ask(b"hello", 5) == b"hello"
    finally:
        cluster.control.send("transports", disable=[])


def test_forbidden(kubectl: Kubectl) -> None:
    denied = kubectl.run("--context", "alice", "get", "pods", "-n", "shop")
    assert 'User "alice" cannot list resource "pods"' in denied.stderr
    assert kubectl("--context", "porter", "get", "pods")
    denied = kubectl.run("--context", "viewer", "-n", "shop", "port-forward", "deploy/web", ":80")
    assert "pods/portforward" in denied.stderr


@pytest.mark.parametrize("context", ["admin-token", "admin-tokenfile"])
def test_tokens(kubectl: Kubectl, context: str) -> None:
    with kubectl.forward("--context", context, "-n", "ops", "deploy/toolbox", ":7000") as forward:
        assert forward.ask(b"hello", 5) == b"hello"


def test_may_i(kubectl: Kubectl) -> None:
    question = ("auth", "can-i", "create", "pods", "--subresource=portforward", "-n", "shop")
    assert kubectl(*question, "--context", "porter").strip() == "yes"
    assert kubectl.run(*question, "--context", "alice").stdout.strip() == "no"


def test_a_watch_follows_a_replacement(kubectl: Kubectl, echo: str) -> None:
    old = pod_of(kubectl, echo)
    kubectl("-n", "ops", "delete", "pod", old, "--wait=false")
    ready(kubectl, echo)
    kubectl("-n", "ops", "wait", "--for=condition=Available", f"deploy/{echo}", "--timeout=20s")
    kubectl("-n", "ops", "rollout", "restart", f"deploy/{echo}")
    kubectl("-n", "ops", "rollout", "status", f"deploy/{echo}", "--timeout=20s")
