"""Objects for tests, as an API server would send them."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

CAPTURES = Path(__file__).parent.parent / "captures" / "api"


def capture(name: str) -> Any:
    return json.loads((CAPTURES / f"{name}.json").read_text())


def capture_body(name: str) -> bytes:
    body: str = capture(name)["body"]
    return body.encode()


def pod(
    name: str = "web-1",
    namespace: str = "shop",
    *,
    uid: str = "",
    labels: dict[str, str] | None = None,
    phase: str = "Running",
    ready: bool | None = None,
    ready_at: str = "2026-01-01T00:00:00Z",
    created: str = "2026-01-01T00:00:00Z",
    node: str = "node-a",
    deleting: bool = False,
    restarts: int = 0,
    container_id: str = "",
    waiting: str = "",
    waiting_message: str = "",
    owner: tuple[str, str] | None = None,
    ports: list[dict[str, Any]] | None = None,
    unschedulable: str = "",
    ip: str = "10.0.0.1",
) -> dict[str, Any]:
    running = phase == "Running" and not waiting
    ready = running if ready is None else ready
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-{name}",
        "creationTimestamp": created,
        "labels": labels if labels is not None else {"app": "web"},
    }
    if owner:
        metadata["ownerReferences"] = [{"kind": owner[0], "name": owner[1], "controller": True}]
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    if ports is None:
        ports = [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]
    state: dict[str, Any] = {"running": {"startedAt": created}}
    if waiting:
        state = {"waiting": {"reason": waiting, "message": waiting_message}}
    conditions: list[dict[str, Any]] = [
        {"type": "Ready", "status": str(ready), "lastTransitionTime": ready_at}
    ]
    if unschedulable:
        conditions = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": unschedulable,
            }
        ]
    status: dict[str, Any] = {"phase": phase, "conditions": conditions, "podIP": ip}
    if not unschedulable:
        status["containerStatuses"] = [
            {
                "name": "main",
                "ready": ready,
                "restartCount": restarts,
                "state": state,
                "containerID": container_id or f"containerd://{uid or name}-{restarts}",
            }
        ]
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": {
            "nodeName": "" if unschedulable else node,
            "containers": [{"name": "main", "ports": ports}],
        },
        "status": status,
    }


def service(
    name: str = "web",
    namespace: str = "shop",
    *,
    selector: dict[str, str] | None = None,
    ports: list[dict[str, Any]] | None = None,
    cluster_ip: str = "10.0.0.9",
    kind: str = "ClusterIP",
) -> dict[str, Any]:
    if ports is None:
        ports = [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-svc-{name}"},
        "spec": {
            "type": kind,
            "clusterIP": cluster_ip,
            "selector": {"app": "web"} if selector is None else selector,
            "ports": ports,
        },
    }


def endpoint_slice(
    name: str,
    *endpoints: dict[str, Any],
    service: str = "web",
    namespace: str = "shop",
    ports: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": service}
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}] if ports is None else ports,
    }


def endpoint(
    address: str = "10.0.0.1", pod: str = "", *, ready: bool | None = True, namespace: str = "shop"
) -> dict[str, Any]:
    one: dict[str, Any] = {"addresses": [address], "conditions": {"ready": ready}}
    if pod:
        one["targetRef"] = {"kind": "Pod", "name": pod, "namespace": namespace}
    return one


def workload(
    name: str = "web",
    namespace: str = "shop",
    *,
    labels: dict[str, str] | None = None,
    replicas: int = 2,
    ready: int = 2,
    owner: tuple[str, str] | None = None,
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "uid": f"uid-{name}"}
    if owner:
        metadata["ownerReferences"] = [{"kind": owner[0], "name": owner[1], "controller": True}]
    return {
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"} if labels is None else labels},
        },
        "status": {"readyReplicas": ready},
    }


@lru_cache(maxsize=1)
def _large_pod() -> str:
    """Return a recorded pod, enlarged to 13 KB by environment variables."""
    item = json.loads(capture("pods-page-1")["body"])["items"][0]
    item["spec"]["containers"][0]["env"] += [
        {"name": f"E{number}", "value": "v" * 40} for number in range(110)
    ]
    return json.dumps(item, separators=(",", ":"))


def large_page(first: int, count: int, total: int) -> bytes:
    """Return a page of realistic pods that differ in every decoded field."""
    template = _large_pod()
    items = [
        template.replace("svc000-7c9d8b6f5-00000", f"svc{number % 100:03}-7c9d8b6f5-{number:05}")
        .replace("svc000", f"svc{number % 100:03}")
        .replace("e9837f27-d2f5-436b-84f6-b883c8714fda", f"e9837f27-d2f5-436b-84f6-{number:012}")
        .replace("containerd://0000000000", f"containerd://{number:010}")
        .replace('"resourceVersion":"665"', f'"resourceVersion":"{1000 + number}"')
        for number in range(first, first + count)
    ]
    rest = total - first - count
    metadata = '{"resourceVersion":"20000"'
    if rest > 0:
        metadata += f',"continue":"{first + count}","remainingItemCount":{rest}'
    return (
        f'{{"kind":"PodList","apiVersion":"v1","metadata":{metadata}}},"items":['
        + ",".join(items)
        + "]}\n"
    ).encode()
