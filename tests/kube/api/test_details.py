"""Details of pods and nodes, and logs: decoding and requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.kube.api_server import ApiServer, Reply, Request, status_body
from tests.kube.kubeconfigs import cluster_for, kubeconfig, write
from tests.kube.objects import pod
from tui_forward.errors import ApiError
from tui_forward.kube.api.details import NodeDetails, decode_node, pod_details

NODE: dict[str, Any] = {
    "kind": "Node",
    "metadata": {"name": "node-a"},
    "status": {
        "addresses": [
            {"type": "Hostname", "address": "node-a"},
            {"type": "InternalIP", "address": "192.168.0.7"},
        ],
        "conditions": [
            {"type": "MemoryPressure", "status": "False"},
            {"type": "Ready", "status": "True", "message": "kubelet is posting ready status"},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "kubeletVersion": "v1.36.2",
            "containerRuntimeVersion": "containerd://1.6.20",
        },
    },
}


def test_node_is_decoded() -> None:
    assert decode_node(json.dumps(NODE).encode()) == NodeDetails(
        name="node-a",
        address="192.168.0.7",
        port=10250,
        kubelet="v1.36.2",
        runtime="containerd 1.6.20",
        ready=True,
        trouble="",
    )


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_unready_node_has_a_reason(status: str) -> None:
    body = msgspec.json.encode(
        {
            "metadata": {"name": "n"},
            "status": {
                "conditions": [
                    {"type": "Ready", "status": status, "reason": "NodeStatusUnknown"},
                ],
                "addresses": [{"type": "ExternalIP", "address": "1.2.3.4"}],
                "nodeInfo": {"containerRuntimeVersion": "strange"},
            },
        }
    )
    found = decode_node(body)
    assert (found.ready, found.trouble) == (False, "NodeStatusUnknown")
    assert (found.address, found.runtime) == ("1.2.3.4", "strange")


@pytest.mark.parametrize("body", [b"{}", b'{"status":{"conditions":null,"addresses":null}}'])
def test_empty_node_gets_defaults(body: bytes) -> None:
    assert decode_node(body) == NodeDetails(name="")


def test_pod_details_have_container_names() -> None:
    raw = pod("web-1")
    raw["spec"]["containers"].append({"name": "second", "ports": [{"containerPort": 9}]})
    raw["spec"]["initContainers"] = [{"name": "init"}]
    raw["spec"]["ephemeralContainers"] = [{"name": "debugger"}]
    found = pod_details(json.dumps(raw).encode())
    assert found.pod.name == "web-1"
    assert found.containers == ("main", "second", "init", "debugger")
    assert found.runtime == "containerd"
    assert [found.container_of(port) for port in (8080, 9, 7, None)] == [
        "main",
        "second",
        "main",
        "main",
    ]


def test_empty_pod_gets_defaults() -> None:
    found = pod_details(b'{"metadata":{"name":"x"},"spec":{"containers":null}}')
    assert (found.containers, found.runtime, found.container_of(80)) == ((), "", "")


async def test_details_are_read_from_the_server(config_path: Path, api: ApiServer) -> None:
    cluster = cluster_for(write(config_path, kubeconfig(api.url)))
    api.put("nodes", NODE)
    api.put("pods", pod("web-1"))
    assert (await cluster.node("node-a")).runtime == "containerd 1.6.20"
    assert (await cluster.pod_details("shop", "web-1")).containers == ("main",)
    api.denied.add(("get", "nodes"))
    with pytest.raises(ApiError, match='not allowed to get nodes "node-a"') as no:
        await cluster.node("node-a")
    assert no.value.forbidden
    with pytest.raises(ApiError, match="not found"):
        await cluster.pod_details("shop", "nope")
    api.intercept = lambda _: Reply(200, b"<html>")
    with pytest.raises(ApiError, match="get pods"):
        await cluster.pod_details("shop", "web-1")
    api.denied.clear()
    with pytest.raises(ApiError, match="get nodes"):
        await cluster.node("node-a")
    await cluster.close()


class Kubelet:
    """Cuts logs like a real kubelet: the limit counts from the first of the last lines."""

    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        tail = b"".join(line + b"\n" for line in self.lines[-int(request.query["tailLines"]) :])
        return Reply(200, tail[: int(request.query["limitBytes"])], "text/plain")


async def test_log_is_read(config_path: Path, api: ApiServer) -> None:
    cluster = cluster_for(write(config_path, kubeconfig(api.url)))
    kubelet = api.intercept = Kubelet([b"one", b"two", b"three"])
    log = await cluster.pod_log("shop", "web-1", container="main", lines=2, max_bytes=1000)
    assert log == b"two\nthree\n"
    (request,) = kubelet.requests
    assert request.path == "/api/v1/namespaces/shop/pods/web-1/log"
    assert request.query == {
        "tailLines": "2", "limitBytes": "1000", "timestamps": "true", "container": "main",
    }  # fmt: skip
    assert "*/*" in (request.header("accept") or ""), "a log is no JSON"
    await cluster.pod_log("shop", "web-1", lines=2, max_bytes=1000)
    assert "container" not in kubelet.requests[1].query
    since = "2026-01-02T03:04:05Z"
    await cluster.pod_log("shop", "web-1", lines=2, max_bytes=99, previous=True, since=since)
    query = kubelet.requests[2].query
    assert (query["previous"], query["sinceTime"]) == ("true", since)
    await cluster.close()


async def test_byte_limit_keeps_the_newest_lines(config_path: Path, api: ApiServer) -> None:
    cluster = cluster_for(write(config_path, kubeconfig(api.url)))
    kubelet = api.intercept = Kubelet([b"%03d" % number + b"x" * 96 for number in range(500)])
    log = await cluster.pod_log("shop", "web-1", lines=400, max_bytes=5000)
    assert log.endswith(b"499" + b"x" * 96 + b"\n")
    assert log.startswith(b"475")
    assert len(kubelet.requests) == 3
    api.intercept = Kubelet([b"y" * 9000])
    assert await cluster.pod_log("shop", "web-1", lines=400, max_bytes=5000) == b"y" * 5000
    await cluster.close()


async def test_refused_log_is_an_api_error(config_path: Path, api: ApiServer) -> None:
    cluster = cluster_for(write(config_path, kubeconfig(api.url)))
    text = 'container "main" in pod "web-1" is waiting to start: ContainerCreating'
    api.intercept = lambda _: Reply(400, status_body(400, "BadRequest", text))
    with pytest.raises(ApiError, match="is waiting to start") as failed:
        await cluster.pod_log("shop", "web-1", lines=1, max_bytes=100)
    assert failed.value.status == 400
    api.intercept = lambda _: Reply(403, status_body(403, "Forbidden", "pods is forbidden"))
    with pytest.raises(ApiError, match='get pods/log "web-1" in namespace shop'):
        await cluster.pod_log("shop", "web-1", lines=1, max_bytes=100)
    await cluster.close()
