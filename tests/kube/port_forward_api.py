"""An API server with pods and what leads to them, which upgrades port-forwards and records them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from typing import Any

from tests.kube.api_server import ApiServer, Object, Reply, Request

NAMESPACE = "default"
_WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FORWARD = re.compile(r"/api/v1/namespaces/([^/]+)/pods/([^/]+)/portforward")
_KINDS = {
    "v1": ("Pod po", "Service svc", "ReplicationController rc", "Node no", "ConfigMap cm"),
    "apps/v1": ("Deployment deploy", "ReplicaSet rs", "StatefulSet sts", "DaemonSet ds"),
    "batch/v1": ("Job", "CronJob cj"),
    "example.org/v1": ("Web",),
}


def _resources(version: str) -> list[Object]:
    found = []
    for text in _KINDS[version]:
        kind, *short = text.split(" ")
        found.append({
            "name": f"{kind.lower()}s", "singularName": kind.lower(), "kind": kind,
            "namespaced": kind != "Node", "verbs": ["get", "list", "watch"], "shortNames": short,
        })  # fmt: skip
    return found


def discovery(path: str) -> Object | None:
    """Return what an API server offers at a path; None for other paths."""
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = []
        for group_version in (one for one in _KINDS if "/" in one):
            group, _, version = group_version.partition("/")
            entry = {"groupVersion": group_version, "version": version}
            groups.append({"name": group, "versions": [entry], "preferredVersion": entry})
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if version not in _KINDS:
        return None
    return {
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version,
        "resources": _resources(version),
    }  # fmt: skip


def _pod(name: str, namespace: str, labels: dict[str, str], **status: Any) -> Object:
    ports = [
        {"name": "http", "containerPort": 8080, "protocol": "TCP"},
        {"name": "metrics", "containerPort": 9090, "protocol": "TCP"},
        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
    ]
    started = "2026-01-01T00:00:00Z"
    container = {"name": "main", "ready": True, "restartCount": 0, "image": "i", "imageID": "",
                 "state": {"running": {"startedAt": started}}}  # fmt: skip
    return {
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace, "uid": f"{namespace}-{name}",
                     "labels": labels, "creationTimestamp": started},
        "spec": {"nodeName": "node-a",
                 "containers": [{"name": "main", "image": "i", "ports": ports}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "startTime": started,
                   "conditions": [{"type": "Ready", "status": "True",
                                   "lastTransitionTime": started}],
                   "containerStatuses": [container], **status},
    }  # fmt: skip


def _service(name: str, **spec: Any) -> Object:
    ports = [
        {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"},
        {"name": "by-name", "port": 81, "targetPort": "metrics", "protocol": "TCP"},
        {"name": "stats", "port": 8125, "targetPort": 8125, "protocol": "UDP"},
    ]
    return {
        "kind": "Service", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": f"service-{name}"},
        "spec": {"clusterIP": "10.1.0.1", "ports": ports, **spec},
    }  # fmt: skip


def _owner(version: str, kind: str) -> Object:
    labels = {"app": "web"}
    selector: Object = labels if kind == "ReplicationController" else {"matchLabels": labels}
    return {
        "kind": kind, "apiVersion": version,
        "metadata": {"name": "web", "namespace": NAMESPACE, "uid": kind},
        "spec": {"selector": selector, "replicas": 1},
    }  # fmt: skip


class PortForwardApi(ApiServer):
    """Pods `web-1` and `pods` in two namespaces; services and workloads named `web`.

    Attributes:
        forwarded: Namespace and pod of each port-forward that was upgraded.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.forwarded: list[tuple[str, str]] = []
        self.intercept = self._discover
        for namespace in (NAMESPACE, "shop"):
            self.put("namespaces", {"metadata": {"name": namespace}})
            self.put("pods", _pod("web-1", namespace, {"app": "web"}))
            self.put("pods", _pod("pods", namespace, {}))
        self.put("pods", _pod("pending", NAMESPACE, {}, phase="Pending", containerStatuses=[]))
        self.put("services", _service("web", selector={"app": "web"}))
        self.put("services", _service("headless", selector={"app": "web"}, clusterIP="None"))
        self.put("services", _service("bare"))
        self.put("replicationcontrollers", _owner("v1", "ReplicationController"))
        for kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"):
            self.put(f"{kind.lower()}s", _owner("apps/v1", kind))
        self.put("jobs", _owner("batch/v1", "Job"))
        node = {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "web"}}
        self.put("nodes", node)

    def _discover(self, request: Request) -> Reply | None:
        found = discovery(request.path)
        return None if found is None else Reply(200, json.dumps(found).encode())

    def _read(self, request: Request) -> Reply:
        reply = super()._read(request)
        if request.plural == "pods":  # a typed client accepts no other kind
            reply.body = reply.body.replace(b'{"kind":"List"', b'{"kind":"PodList"')
        return reply

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        match = _FORWARD.fullmatch(request.path)
        key = request.header("Sec-WebSocket-Key")
        if match is None or key is None:
            await super()._answer(request, writer)
            return
        self.requests.append(request)
        self.forwarded.append((match[1], match[2]))
        digest = hashlib.sha1((key + _WEBSOCKET_GUID).encode(), usedforsecurity=False).digest()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        await writer.drain()
        await asyncio.Event().wait()
